//! The files named on a command line.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::thread;

use storage::dataset::store::StoredFile;
use storage::dataset::{self, FileKey, FileKind, SourceName, dataset_folders, open_decoded};

use super::place::{Fetched, Named, Remote, connect, url};
use crate::ctl::CtlError;
use crate::ctl::progress::Spinner;
use crate::ctl::render::count;

/// Files between two updates of the progress.
const SHOW_EVERY: u64 = 64;
/// Files of a remote dataset that are downloaded at a time.
const AHEAD: usize = 8;

/// A file of a dataset.
pub struct DatasetFile {
    /// What it holds.
    pub key: FileKey,
    /// Where it is on this machine.
    pub path: PathBuf,
    /// Its published name, if it was set aside as unreadable.
    pub published: Option<PathBuf>,
    /// The remote file of which `path` is a copy.
    pub remote: Option<Fetched>,
}

impl DatasetFile {
    /// Where it is, for messages.
    pub fn shown(&self) -> String {
        self.remote.as_ref().map_or_else(|| self.path.display().to_string(), |file| file.shown(&self.path))
    }

    /// A file of a remote dataset, downloaded.
    fn fetch(place: &Remote, file: StoredFile) -> Result<Self, CtlError> {
        let fetched = Fetched::new(place, file)?;
        let path = fetched.path();
        let published = FileKey::of_set_aside(&path).map(|(_, published)| published);
        Ok(Self { key: fetched.file.key.clone(), path, published, remote: Some(fetched) })
    }
}

/// Which files of a folder are selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSelection {
    /// Published files.
    Published,
    /// Published files and those that were set aside.
    All,
}

/// Calls `visit` with each file in `paths`, folders being datasets. A file that fails is reported and does not stop
/// the others; returns the number of failures.
pub fn each(
    paths: &[PathBuf],
    meant: FileSelection,
    mut visit: impl FnMut(&DatasetFile) -> Result<(), CtlError>,
) -> Result<u64, CtlError> {
    let (mut seen, mut failed) = (0, 0);
    let spinner = Spinner::new();
    let mut visit = |file: Result<DatasetFile, CtlError>| {
        seen += 1;
        if seen % SHOW_EVERY == 0 {
            spinner.show(format!("{} files", count(seen)));
        }
        let visited = file.and_then(|file| {
            let result = visit(&file);
            result.map_err(|error| match &file.remote {
                Some(fetched) => fetched.failure(error),
                None => error,
            })
        });
        match visited {
            Err(CtlError::Failed(why)) => {
                spinner.note(&format!("twm-ctl: {why}"));
                failed += 1;
                Ok(())
            }
            other => other,
        }
    };
    for path in paths {
        if let Some(url) = url(path) {
            each_remote(url, meant, &mut visit)?;
            continue;
        }
        if !is_folder(path) {
            visit(single(path))?;
            continue;
        }
        // A dataset, or one folder of it.
        let mut found = false;
        let itself = std::iter::once((SourceName::default(), path.clone()));
        let folders = itself.chain(dataset_folders(path).map_err(failure)?);
        for (source, folder) in folders {
            for mut file in folder_files(&folder)? {
                file.key.account.source = source.clone();
                if file.published.is_none() || meant == FileSelection::All {
                    found = true;
                    visit(Ok(file))?;
                }
            }
        }
        if !found {
            visit(Err(no_files(path.display())))?;
        }
    }
    Ok(failed)
}

fn no_files(place: impl Display) -> CtlError {
    CtlError::Failed(format!("{place} holds no files of a dataset, ID.twt, ID.fws and ID.prf"))
}

/// Visits the files of a remote dataset, or the one that a URL names. Some are downloaded ahead.
fn each_remote(
    text: &str,
    meant: FileSelection,
    visit: &mut dyn FnMut(Result<DatasetFile, CtlError>) -> Result<(), CtlError>,
) -> Result<(), CtlError> {
    let Named { place, file } = connect(text)?;
    if let Some(name) = file {
        let found = place.lookup(&name).map_err(failure)?;
        let found = found.ok_or_else(|| CtlError::Failed(format!("{text} does not exist")));
        return visit(found.and_then(|found| DatasetFile::fetch(&place, found)));
    }
    let listed = place.files().map_err(failure)?;
    let files = listed.filter(|file| match file {
        Ok(file) => !file.set_aside || meant == FileSelection::All,
        Err(_) => true,
    });
    let files = Mutex::new(files);
    let next = || files.lock().ok().and_then(|mut files| files.next());
    let mut found = false;
    thread::scope(|scope| {
        let (ready, fetched) = mpsc::sync_channel(0);
        for _ in 0..AHEAD {
            let (ready, next, place) = (ready.clone(), &next, &place);
            scope.spawn(move || {
                while let Some(file) = next() {
                    let file = file.map_err(failure).and_then(|file| DatasetFile::fetch(place, file));
                    // Nobody receives after an error that ends the command.
                    if ready.send(file).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ready);
        for file in fetched {
            found = true;
            visit(file)?;
        }
        Ok::<(), CtlError>(())
    })?;
    if found { Ok(()) } else { visit(Err(no_files(text))) }
}

/// Whether a path is a folder.
pub fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_dir())
}

/// The file that a path names.
fn single(path: &Path) -> Result<DatasetFile, CtlError> {
    fs::metadata(path).map_err(|error| CtlError::Failed(format!("{}: {error}", path.display())))?;
    named(path).ok_or_else(|| {
        CtlError::Failed(format!(
            "{} is no file of a dataset; they are named ID.twt, ID.fws and ID.prf, and ID.twt.unreadable when set aside",
            path.display()
        ))
    })
}

fn named(path: &Path) -> Option<DatasetFile> {
    if let Some(key) = FileKey::of_path(path) {
        return Some(DatasetFile { key, path: path.to_owned(), published: None, remote: None });
    }
    let (key, published) = FileKey::of_set_aside(path)?;
    Some(DatasetFile { key, path: path.to_owned(), published: Some(published), remote: None })
}

/// The files of one folder of a dataset, followed by those that were set aside.
fn folder_files(folder: &Path) -> Result<Vec<DatasetFile>, CtlError> {
    let failed = |error: std::io::Error| CtlError::Failed(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        files.extend(named(&entry.map_err(failed)?.path()));
    }
    files.sort_by(|a, b| (a.published.is_some(), &a.path).cmp(&(b.published.is_some(), &b.path)));
    Ok(files)
}

/// The copies of each file in one folder of several datasets, in the order of the datasets; if a dataset has a file
/// under both names, the effective one comes later.
pub fn copies(
    datasets: &[PathBuf],
    source: &SourceName,
    folder: &Path,
) -> Result<BTreeMap<FileKey, Vec<Copy>>, CtlError> {
    let mut copies: BTreeMap<FileKey, Vec<Copy>> = BTreeMap::new();
    for (dataset, root) in datasets.iter().enumerate() {
        let folder = root.join(folder);
        if !is_folder(&folder) {
            continue;
        }
        let mut files = folder_files(&folder)?;
        // The original program's name has a lower precedence than ours, and is longer.
        files.sort_by(|a, b| b.path.cmp(&a.path));
        for file in files.into_iter().filter(|file| file.published.is_none()) {
            let mut key = file.key;
            key.account.source = source.clone();
            copies.entry(key).or_default().push(Copy { dataset, path: file.path });
        }
    }
    Ok(copies)
}

/// A copy of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Index of the dataset.
    pub dataset: usize,
    /// Where it is.
    pub path: PathBuf,
}

/// The kind of a file: by its name, or else by its first byte.
pub fn kind(path: &Path) -> Result<FileKind, CtlError> {
    if let Some(file) = named(path) {
        return Ok(file.key.kind);
    }
    let name = path.display();
    if is_folder(path) {
        return Err(CtlError::Failed(format!(
            "{name} is a folder; name a file, or an account with --user and --output"
        )));
    }
    let mut decoded = open_decoded(path).map_err(failure)?;
    let start = decoded.bytes.fill_buf().map_err(|error| CtlError::Failed(format!("{name}: {error}")))?;
    Ok(if start.first() == Some(&b'{') { FileKind::Timeline } else { FileKind::Followers })
}

/// The failure of one file, which does not stop the command.
pub fn failure(error: dataset::DatasetError) -> CtlError {
    CtlError::Failed(error.to_string())
}
