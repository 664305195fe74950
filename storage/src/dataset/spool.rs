//! Files of this node, beside a dataset in a store: drafts that are being written, and downloads.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{Layout, parse_draft};
use super::sink::Sink;
use super::{Codec, Compression, FileKey, ItemId, Result};
use crate::durable::{self, Naming};

/// Begins the names of downloads, in the moment before they are unlinked.
const DOWNLOAD: &str = "download-";

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DraftId {
    pub(super) key: FileKey,
    pub(super) lease: u64,
}

/// A local folder.
#[derive(Debug)]
pub(super) struct Spool {
    layout: Arc<Layout>,
    downloads: AtomicU64,
}

impl Spool {
    /// Opens the folder and removes what an earlier process left in it.
    pub(super) fn open(folder: PathBuf, item_id: ItemId) -> Result<Self> {
        durable::create_shared_folder(&folder)?;
        for entry in fs::read_dir(&folder).naming("list", &folder)? {
            let path = entry.naming("list", &folder)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Only its own files: an operator may have named a folder with others.
            if name.starts_with(DOWNLOAD) || parse_draft(name).is_some() {
                durable::remove_file(&path)?;
            }
        }
        let layout = Arc::new(Layout::new(folder.clone(), folder, item_id));
        Ok(Self { layout, downloads: AtomicU64::default() })
    }

    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The file of a draft.
    pub(super) fn path(&self, draft: &DraftId) -> Result<PathBuf> {
        self.layout.draft(&draft.key, draft.lease)
    }

    /// An empty file for a draft; an older one is removed.
    pub(super) fn create(&self, draft: &DraftId, compression: Compression) -> Result<Sink> {
        Sink::create(&self.path(draft)?, compression, &self.layout.drafts_sync)
    }

    /// How a draft is compressed.
    pub(super) fn codec(&self, draft: &DraftId) -> Result<Codec> {
        let path = self.path(draft)?;
        let mut start = Vec::new();
        let file = File::open(&path).naming("open", &path)?;
        file.take(4).read_to_end(&mut start).naming("read", &path)?;
        Ok(Codec::of_start(&start))
    }

    /// Removes all files of a draft.
    pub(super) fn remove(&self, draft: &DraftId) -> Result<()> {
        for path in self.layout.leftovers(&draft.key, draft.lease)? {
            durable::remove_file(&path)?;
        }
        Ok(())
    }

    /// An empty file without a name, and the name that it had for a moment.
    pub(super) fn unnamed(&self) -> Result<(File, PathBuf)> {
        let number = self.downloads.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.temporary.join(format!("{DOWNLOAD}{number}"));
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = options.naming(durable::CREATE, &path)?;
        durable::remove_file(&path)?;
        Ok((file, path))
    }
}
