//! Paths of a dataset's files.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::published::{Published, PublishedFiles, Version};
use super::{DatasetError, FileKey, ItemId, Result, SourceName};
use crate::durable::{self, Naming};
use crate::folder_sync::FolderSync;

/// Most names tried for an unreadable file.
const MAX_SET_ASIDE: u32 = 10_000;
/// Suffix of a draft's name: the file to which the end of a follower list is rewritten.
const REWRITTEN: &str = ".rewritten";
/// Suffix of a draft's name: its second name from just before its publication until the cluster knows of it.
const PROOF: &str = ".published";
/// Ends a source's name in that of a draft; ids are written without it.
const SOURCE_END: char = '~';
/// Suffix of a draft's name: a file of spilled ids, in the moment before it is unlinked.
const SPILL: &str = ".spill";

/// The folders of a dataset.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) output: PathBuf,
    pub(super) temporary: PathBuf,
    pub(super) item_id: ItemId,
    /// Makes names in the temporary folder durable.
    pub(super) drafts_sync: Arc<FolderSync>,
}

impl Layout {
    pub(super) fn new(output: PathBuf, temporary: PathBuf, item_id: ItemId) -> Self {
        let drafts_sync = Arc::new(FolderSync::of(temporary.clone()));
        Self { output, temporary, item_id, drafts_sync }
    }

    /// The path under which a file is published.
    pub(super) fn published(&self, key: &FileKey) -> Result<PathBuf> {
        key.path_under(&self.output)
    }

    /// The same file under the original program's name.
    pub(super) fn twin(&self, key: &FileKey) -> Result<PathBuf> {
        Ok(key.folder_under(&self.output).join(format!("{}.gz", key.name()?)))
    }

    /// The published file under either name, ours first: a twin is older.
    pub(super) fn existing(&self, key: &FileKey) -> Result<Option<PathBuf>> {
        for path in [self.published(key)?, self.twin(key)?] {
            match fs::metadata(&path) {
                Ok(_) => return Ok(Some(path)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e).naming("look at", &path)?,
            }
        }
        Ok(None)
    }

    /// The draft of a lease.
    pub(super) fn draft(&self, key: &FileKey, lease: u64) -> Result<PathBuf> {
        self.draft_named(key, lease, "")
    }

    /// Where a draft is rewritten before it takes the draft's name.
    pub(super) fn rewritten(&self, key: &FileKey, lease: u64) -> Result<PathBuf> {
        self.draft_named(key, lease, REWRITTEN)
    }

    /// The second name of a draft before its publication.
    pub(super) fn proof(&self, key: &FileKey, lease: u64) -> Result<PathBuf> {
        self.draft_named(key, lease, PROOF)
    }

    fn draft_named(&self, key: &FileKey, lease: u64, suffix: &str) -> Result<PathBuf> {
        Ok(self.temporary.join(format!("{}{suffix}", draft_name(key, lease)?)))
    }

    /// All names that a draft can leave behind.
    pub(super) fn leftovers(&self, key: &FileKey, lease: u64) -> Result<[PathBuf; 4]> {
        let draft = self.draft(key, lease)?;
        Ok([spill(&draft), self.rewritten(key, lease)?, self.proof(key, lease)?, draft])
    }

    /// The drafts in the temporary folder; other files are ignored.
    pub(super) fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        let mut drafts = Vec::new();
        for entry in fs::read_dir(&self.temporary).naming("list", &self.temporary)? {
            let name = entry.naming("list", &self.temporary)?.file_name();
            drafts.extend(name.to_str().and_then(parse_draft));
        }
        drafts.sort();
        drafts.dedup();
        Ok(drafts)
    }

    /// Renames an unreadable file, unless it was replaced in the meantime: `seen` is what was read. Returns
    /// its new name.
    pub(super) fn rename_aside(&self, path: &Path, seen: &Version) -> Result<Option<PathBuf>> {
        let now = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.naming("look at", path)?,
        };
        if Version::of(&now) != *seen {
            return Ok(None);
        }
        let to = free_name(path)?;
        fs::rename(path, &to).naming("set aside", path)?;
        durable::sync_parent(path)?;
        tracing::warn!(path = %path.display(), to = %to.display(), "unreadable file set aside");
        Ok(Some(to))
    }
}

impl PublishedFiles for Layout {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        let Some(path) = self.existing(key)? else { return Ok(None) };
        let file = File::open(&path).naming("open", &path)?;
        let version = Version::of(&file.metadata().naming("look at", &path)?);
        Ok(Some(Published { path, file, version }))
    }

    fn set_aside(&self, _key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        self.rename_aside(&found.path, &found.version)
    }
}

impl Version {
    pub(super) fn of(found: &Metadata) -> Self {
        Self::Inode(found.dev(), found.ino())
    }
}

/// The first free name for an unreadable file.
pub(super) fn free_name(path: &Path) -> Result<PathBuf> {
    let name = path.as_os_str().to_string_lossy();
    let names = (1..MAX_SET_ASIDE).map(|n| match n {
        1 => format!("{name}.unreadable"),
        n => format!("{name}.unreadable-{n}"),
    });
    let free = names.map(PathBuf::from).find(|to| fs::symlink_metadata(to).is_err());
    Ok(free.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists)).naming("set aside", path)?)
}

/// Where the spilled ids of `file` are stored.
pub(super) fn spill(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SPILL);
    name.into()
}

/// The name of a draft.
pub(super) fn draft_name(key: &FileKey, lease: u64) -> Result<String> {
    let name = key.name()?;
    Ok(match key.account.source.folder() {
        Some(source) => format!("{source}{SOURCE_END}{name}.{lease}"),
        None => format!("{name}.{lease}"),
    })
}

/// The draft with a name.
pub(super) fn parse_draft(name: &str) -> Option<(FileKey, u64)> {
    let name = [REWRITTEN, SPILL, PROOF].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let (file, lease) = name.rsplit_once('.')?;
    let (source, file) = match file.split_once(SOURCE_END) {
        Some((source, file)) => (source.parse().ok()?, file),
        None => (SourceName::default(), file),
    };
    let mut key = FileKey::of_name(file)?;
    key.account.source = source;
    Some((key, lease.parse().ok()?))
}

/// The published files under `output`, in the order of the folders; drafts, files that were set aside and all
/// other files are skipped.
pub fn dataset_files(output: &Path) -> Result<impl Iterator<Item = Result<(FileKey, PathBuf)>> + use<>> {
    // One folder at a time: a dataset has a hundred folders, and possibly millions of files.
    Ok(dataset_folders(output)?.into_iter().flat_map(|(source, folder)| {
        let (files, error) = match sorted(&folder) {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let keyed = files.into_iter().filter_map(move |path| {
            let mut key = FileKey::of_path(&path)?;
            key.account.source = source.clone();
            Some(Ok((key, path)))
        });
        error.into_iter().chain(keyed)
    }))
}

/// The folders under `output` in which files are published, with the source of these files.
pub fn dataset_folders(output: &Path) -> Result<Vec<(SourceName, PathBuf)>> {
    let mut found = Vec::new();
    for folder in folders(output)? {
        // Folders of accounts have shorter names.
        let name = folder.file_name().and_then(|name| name.to_str());
        match name.and_then(|name| name.parse::<SourceName>().ok()) {
            Some(source) if source != SourceName::default() => {
                // It may also be a folder of files in the default source's form.
                found.push((SourceName::default(), folder.clone()));
                found.extend(folders(&folder)?.into_iter().map(|folder| (source.clone(), folder)));
            }
            _ => found.push((SourceName::default(), folder)),
        }
    }
    Ok(found)
}

fn folders(under: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = sorted(under)?;
    folders.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.is_dir()
    });
    Ok(folders)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).naming("list", folder)?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.naming("list", folder)?;
    paths.sort();
    Ok(paths)
}

/// The error that reports a file that was set aside, or the original one if it was not.
pub(super) fn report_set_aside(unreadable: DatasetError, to: Option<PathBuf>) -> DatasetError {
    match (unreadable, to) {
        (DatasetError::Unreadable { path, why, .. }, Some(to)) => DatasetError::SetAside { path, to, why },
        (other, _) => other,
    }
}
