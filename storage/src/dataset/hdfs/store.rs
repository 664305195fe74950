//! A dataset in a folder of an HDFS, for tools.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::provenance::BatchName;
use super::super::store::{Rewritable, Store, StoredBatches, StoredFile, StoredFiles};
use super::super::{DatasetError, FileKey, OutputState, Result, SourceName};
use super::remote::DRAFTS;
use super::{HdfsOutput, provenance};
use crate::durable::Naming;
use crate::net::hdfs::{Hdfs, HdfsFile, HdfsStatus, RenameOutcome};

/// Bytes written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Most names tried for a file that is set aside.
const MAX_ASIDE: u32 = 10_000;
/// Ends the names of the original program.
const TWIN: &str = ".gz";

/// The published files in a folder of an HDFS, also under the names of the original program.
#[derive(Debug, Clone)]
pub struct HdfsStore(Hdfs);

impl HdfsStore {
    /// The dataset in a folder.
    pub fn new(hdfs: Hdfs) -> Self {
        Self(hdfs)
    }

    fn changed(&self, name: &str) -> DatasetError {
        DatasetError::Changed { path: format!("{self}/{name}").into() }
    }

    /// Writes a local file under a name of its own, which nobody but an operator clears away if this process dies.
    fn write(&self, local: &Path) -> Result<String> {
        let name = own_name(&self.0);
        let mut from = File::open(local).naming("open", local)?;
        let mut to = self.0.create(&name)?;
        loop {
            let mut piece = Vec::new();
            (&mut from).take(PIECE_BYTES as u64).read_to_end(&mut piece).naming("read", local)?;
            if piece.is_empty() {
                to.close()?;
                return Ok(name);
            }
            to.write(piece.into())?;
        }
    }

    /// Renames a file unless its new name is taken; returns whether it was renamed.
    fn place(&self, own: &str, name: &str) -> Result<bool> {
        let above = name.rsplit_once('/').map_or("", |(above, _)| above);
        self.0.create_folder(above)?;
        match self.0.rename(own, name, false)? {
            RenameOutcome::Renamed => Ok(true),
            RenameOutcome::Taken => Ok(false),
            RenameOutcome::Missing => Err(self.changed(own)),
        }
    }

    /// Moves the file that was read out of the way, and returns its new name. A rename has no condition: what was renamed is
    /// looked at afterwards.
    fn move_aside(&self, read: &StoredFile) -> Result<String> {
        for name in aside_names(&read.name) {
            match self.0.rename(&read.name, &name, false)? {
                RenameOutcome::Taken => {}
                RenameOutcome::Missing => return Err(self.changed(&read.name)),
                RenameOutcome::Renamed => {
                    let moved = self.0.status(&name)?.map(|found| version(&found));
                    if moved.as_ref() == Some(&read.version) {
                        return Ok(name);
                    }
                    // If a later one was published meanwhile, it stays set aside.
                    self.0.rename(&name, &read.name, false)?;
                    return Err(self.changed(&read.name));
                }
            }
        }
        Err(DatasetError::Exists { path: format!("{self}/{}.unreadable", read.name).into() })
    }
}

impl Store for HdfsStore {
    fn files(&self) -> Result<StoredFiles<'_>> {
        Ok(Box::new(folders(&self.0)?.into_iter().flat_map(move |(source, folder)| {
            let (files, error) = match in_folder(&self.0, &source, &folder) {
                Ok(files) => (files, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            error.into_iter().chain(files.into_iter().map(Ok))
        })))
    }

    fn lookup(&self, name: &str) -> Result<Option<StoredFile>> {
        let canonical = name.strip_suffix(TWIN).unwrap_or(name);
        let Some(file) = StoredFile::of_name(canonical, 0, String::new()) else { return Ok(None) };
        let found = self.0.status(name)?.filter(|found| !found.is_folder);
        Ok(found.map(|found| StoredFile {
            name: name.to_owned(),
            bytes: found.bytes,
            version: version(&found),
            ..file
        }))
    }

    /// Under either name, ours first.
    fn find(&self, key: &FileKey) -> Result<Option<StoredFile>> {
        let name = key.stored_name()?;
        match self.lookup(&name)? {
            Some(found) => Ok(Some(found)),
            None => self.lookup(&format!("{name}{TWIN}")),
        }
    }

    fn look(&self) -> Result<OutputState> {
        HdfsOutput::new(&self.0).look()
    }

    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>> {
        let is_same = |found: &HdfsStatus| version(found) == file.version;
        if !self.0.status(&file.name)?.as_ref().is_some_and(is_same) {
            return Err(self.changed(&file.name));
        }
        match self.0.open_file(&file.name)? {
            Some(opened) => Ok(Box::<HdfsFile>::new(opened)),
            None => Err(self.changed(&file.name)),
        }
    }

    fn batches(&self) -> Result<StoredBatches<'_>> {
        provenance::list(&self.0)
    }

    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>> {
        match self.0.open_file(&name.stored_name())? {
            Some(opened) => Ok(Box::<HdfsFile>::new(opened)),
            None => Err(self.changed(&name.stored_name())),
        }
    }

    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
        provenance::put(&self.0, name, bytes)
    }

    fn create(&self, key: &FileKey, from: &Path) -> Result<bool> {
        let own = self.write(from)?;
        let created = self.place(&own, &key.stored_name()?);
        if !matches!(created, Ok(true)) {
            self.0.delete(&own)?;
        }
        created
    }
}

impl Rewritable for HdfsStore {
    /// In between, the old file has the name of one that was set aside.
    fn replace(&self, read: &StoredFile, from: &Path) -> Result<()> {
        let own = self.write(from)?;
        let replaced = self.move_aside(read).and_then(|aside| {
            if self.place(&own, &read.name)? {
                self.0.delete(&aside)?;
                return Ok(());
            }
            Err(self.changed(&read.name))
        });
        if replaced.is_err() {
            self.0.delete(&own)?;
        }
        replaced
    }

    fn keep_aside(&self, read: &StoredFile, bytes: &Path) -> Result<String> {
        let own = self.write(bytes)?;
        for name in aside_names(&read.name) {
            if self.place(&own, &name)? {
                return Ok(name);
            }
        }
        Err(DatasetError::Exists { path: format!("{self}/{}.unreadable", read.name).into() })
    }

    fn remove(&self, read: &StoredFile) -> Result<()> {
        let aside = self.move_aside(read)?;
        self.0.delete(&aside)?;
        Ok(())
    }
}

impl fmt::Display for HdfsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.place())
    }
}

/// A name for a file that is being written. Its folder is none of an owner's, and stays when the output is taken over.
pub(super) fn own_name(hdfs: &Hdfs) -> String {
    format!("{DRAFTS}/copies/{}", hdfs.unique())
}

fn version(found: &HdfsStatus) -> String {
    format!("{}-{}", found.modified, found.bytes)
}

fn aside_names(name: &str) -> impl Iterator<Item = String> + use<'_> {
    // The mark of a file that was set aside follows this program's name.
    let name = name.strip_suffix(TWIN).unwrap_or(name);
    (1..MAX_ASIDE).map(move |n| match n {
        1 => format!("{name}.unreadable"),
        n => format!("{name}.unreadable-{n}"),
    })
}

/// The folders in which files are published, with the source of these files; see
/// [`dataset_folders`](super::super::dataset_folders).
fn folders(hdfs: &Hdfs) -> Result<Vec<(SourceName, String)>> {
    let mut found = Vec::new();
    for name in below(hdfs, "")? {
        match name.parse::<SourceName>() {
            Ok(source) if source != SourceName::default() => {
                found.push((SourceName::default(), name.clone()));
                let inner = below(hdfs, &name)?;
                found.extend(inner.into_iter().map(|folder| (source.clone(), format!("{name}/{folder}"))));
            }
            _ => found.push((SourceName::default(), name)),
        }
    }
    Ok(found)
}

fn below(hdfs: &Hdfs, folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for found in hdfs.list(folder)?.into_iter().flatten() {
        let (name, HdfsStatus { is_folder, .. }) = found?;
        if is_folder && !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(names)
}

/// The files of one folder: a dataset has a hundred folders, and possibly millions of files.
fn in_folder(hdfs: &Hdfs, source: &SourceName, folder: &str) -> Result<Vec<StoredFile>> {
    let mut files: Vec<StoredFile> = Vec::new();
    for found in hdfs.list(folder)?.into_iter().flatten() {
        let (name, found) = found?;
        let path = Path::new(&name);
        let published = FileKey::of_path(path).map(|key| (key, false));
        let aside = || FileKey::of_set_aside(path).map(|(key, _)| (key, true));
        let Some((mut key, set_aside)) = published.or_else(aside).filter(|_| !found.is_folder) else {
            continue;
        };
        key.account.source = source.clone();
        // Of two names, that of the original program is an older file, and comes right after the other in the order of bytes.
        let is_twin =
            name.ends_with(TWIN) && files.last().is_some_and(|last| last.key == key && !last.set_aside);
        if !is_twin {
            let (name, version) = (format!("{folder}/{name}"), version(&found));
            files.push(StoredFile { key, name, bytes: found.bytes, version, set_aside });
        }
    }
    Ok(files)
}
