//! Files of this node: drafts that are being written, and downloads.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::layout::{Layout, parse_draft};
use super::super::published::Published;
use super::super::sink::Sink;
use super::super::{Codec, Compression, DatasetError, FileKey, ItemId, Result};
use super::remote::DraftId;
use crate::durable::{self, Naming};
use crate::net::hdfs::HdfsFile;

/// Most files that are kept for a second reader.
const CACHED: usize = 64;
/// Begins the names of downloads, in the moment before they are unlinked.
const DOWNLOAD: &str = "download-";

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

    /// Downloads a file into one without a name.
    pub(super) fn download(&self, remote: &mut HdfsFile) -> Result<File> {
        let number = self.downloads.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.temporary.join(format!("{DOWNLOAD}{number}"));
        let options = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let mut file = options.naming(durable::CREATE, &path)?;
        durable::remove_file(&path)?;
        io::copy(remote, &mut file).map_err(|error| DatasetError::of_copy(error, &path))?;
        Ok(file)
    }
}

/// An open file without a name, opened again.
pub(super) fn reopened(found: &Published) -> Result<File> {
    let path = format!("/proc/self/fd/{}", found.file.as_raw_fd());
    Ok(File::open(path).naming("open", &found.path)?)
}

/// Files that were read and will probably be read again: an update reads the newest post first, and all others after its
/// walk.
#[derive(Default)]
pub(super) struct Cache(VecDeque<(FileKey, Published)>);

impl Cache {
    /// Keeps a file for the next reader.
    pub(super) fn keep(&mut self, key: &FileKey, file: Published) {
        self.forget(key);
        if self.0.len() >= CACHED {
            self.0.pop_front();
        }
        self.0.push_back((key.clone(), file));
    }

    /// Takes a file out.
    pub(super) fn take(&mut self, key: &FileKey) -> Option<Published> {
        let place = self.0.iter().position(|(cached, _)| cached == key)?;
        self.0.remove(place).map(|(_, file)| file)
    }

    pub(super) fn forget(&mut self, key: &FileKey) {
        self.0.retain(|(cached, _)| cached != key);
    }
}
