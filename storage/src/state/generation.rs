//! One sled database in a folder of its own, and the file that names the current folder.
//!
//! ```text
//! state/
//!   CURRENT        two lines: `twm-state 2` (format version) and `generation N`
//!   REDO           the batch being written, see `redo.rs`; there was none in version 1
//!   state-N/       the current sled database
//!   state-N+1/     a replacement being built; removed at the next start
//!   state-1.new/   the first database being created; removed at the next start
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::{Result, StateError};
use crate::durable::{self, Naming};
use crate::env::{Clock, SystemClock};

/// Newest version of the layout above, and of the sled database in it.
const FORMAT: u64 = 2;
const POINTER: &str = "CURRENT";
const PREFIX: &str = "state-";
const BEING_CREATED: &str = "state-1.new";

/// Approximate size of sled's page cache, bytes. The hot state is in the state machine: sled is read at
/// start, for a snapshot, for cold records and where runs of the seen-set are merged.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// sled moves a page over a quarter of a segment into a blob file, which it never syncs. A leaf page
/// has up to 20 entries (split above 16, merged below 4), each of at most 65 KiB here.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How often sled's flusher thread runs, in milliseconds. Durability does not depend on it, but the file
/// would grow without bound: besides that thread, which frees up to one segment each time it runs, sled
/// moves one page out of a half-empty segment for every page that it rewrites. Small values scattered
/// among large ones reached 667 MB for 20 MB of entries, and 142 MB with the thread.
const CLEANING_MS: u64 = 100;
/// How long to wait for sled's threads, see [`wait_until_released`].
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Makes a file's data durable; tests let it fail.
pub(super) type SyncFile = Box<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// An open database.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) db: sled::Db,
    /// Our own handle of sled's file, because sled does not expose its own.
    file: File,
}

impl Generation {
    /// Opens or creates generation `number` under `root`.
    pub(super) fn open(root: &Path, number: u64) -> Result<Self> {
        let path = folder(root, number);
        let db = open_db(&path)?;
        let file = open_file(&path)?;
        Ok(Self { number, path, db, file })
    }

    /// Makes everything written so far durable: sled's `flush()` passes the bytes to the system and waits
    /// with `sync_file_range`, which according to its manual page is no guarantee against a power cut (sled's
    /// issues 1351 and 1452), so the data is synced once more.
    pub(super) fn sync(&self, sync_file: &SyncFile) -> Result<()> {
        self.db.flush().map_err(|source| self.failed(source))?;
        sync_file(&self.file).naming("sync", &self.path.join("db"))?;
        Ok(())
    }

    /// Makes the names of a new database durable.
    pub(super) fn sync_names(&self) -> Result<()> {
        sync_names(&self.path)
    }

    pub(super) fn failed(&self, source: sled::Error) -> StateError {
        StateError::Sled { path: self.path.clone(), source }
    }
}

/// The number of the current generation; creates the first one, and removes what a crash left.
pub(super) fn find_current(root: &Path) -> Result<u64> {
    durable::create_folder(root)?;
    let (found, being_created) = list(root)?;
    if let Some(leftover) = being_created {
        fs::remove_dir_all(&leftover).naming("remove", &leftover)?;
    }
    let missing = |why: String| StateError::MissingGeneration { path: root.to_owned(), why };
    let current = match (read_pointer(root)?, found.as_slice()) {
        (Some((FORMAT, current)), _) if found.contains(&current) => current,
        // From here on, no older program may open it.
        (Some((_, current)), _) if found.contains(&current) => point_to(root, current)?,
        (Some((_, current)), _) => return Err(missing(format!("the folder {PREFIX}{current} is missing"))),
        (None, []) => create_first(root)?,
        // A crash between the rename of the first folder and the pointer to it.
        (None, [only]) => point_to(root, *only)?,
        (None, several) => return Err(missing(format!("{POINTER} is missing, and {several:?} are there"))),
    };
    for other in found.into_iter().filter(|number| *number != current) {
        remove(root, other)?;
    }
    Ok(current)
}

/// Makes generation `number` the current one.
pub(super) fn point_to(root: &Path, number: u64) -> Result<u64> {
    let text = format!("twm-state {FORMAT}\ngeneration {number}\n");
    durable::replace_file(&root.join(POINTER), text.as_bytes())?;
    Ok(number)
}

/// Removes an obsolete generation.
pub(super) fn remove(root: &Path, number: u64) -> Result<()> {
    let path = folder(root, number);
    match fs::remove_dir_all(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => Ok(other.naming("remove", &path)?),
    }
}

fn folder(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{PREFIX}{number}"))
}

/// Creates the first database under another name, so that a numbered folder is always complete.
fn create_first(root: &Path) -> Result<u64> {
    let new = root.join(BEING_CREATED);
    drop(open_db(&new)?);
    open_file(&new)?.sync_all().naming("sync", &new)?;
    sync_names(&new)?;
    let path = folder(root, 1);
    fs::rename(&new, &path).naming("create", &path)?;
    durable::sync_folder(root)?;
    point_to(root, 1)
}

fn open_db(path: &Path) -> Result<sled::Db> {
    wait_until_released(path)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(CLEANING_MS));
    config.open().map_err(|source| StateError::Sled { path: path.to_owned(), source })
}

/// Waits until sled's background threads have released a database that was just closed in this process: they
/// hold its file, and the lock on it, a moment longer than the `Db` lives. A file that stays locked belongs
/// to another process, and sled refuses it.
fn wait_until_released(path: &Path) -> Result<()> {
    let file = path.join("db");
    let handle = match File::open(&file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.naming("open", &file)?,
    };
    let clock = SystemClock::new();
    while clock.monotonic() < RELEASE_PATIENCE {
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::park_timeout(Duration::from_millis(2)),
            other => return Ok(other.map_err(io::Error::from).naming("lock", &file)?),
        }
    }
    Ok(())
}

fn open_file(path: &Path) -> Result<File> {
    let file = path.join("db");
    Ok(File::open(&file).naming("open", &file)?)
}

/// sled syncs neither its settings nor its folders.
fn sync_names(path: &Path) -> Result<()> {
    let settings = path.join("conf");
    File::open(&settings).and_then(|file| file.sync_all()).naming("sync", &settings)?;
    durable::sync_folder(&path.join("blobs"))?;
    durable::sync_folder(path)?;
    Ok(durable::sync_parent(path)?)
}

/// The generations under `root`, ascending, and the folder of an unfinished first one.
fn list(root: &Path) -> Result<(Vec<u64>, Option<PathBuf>)> {
    let mut found = Vec::new();
    let mut being_created = None;
    for entry in fs::read_dir(root).naming("list", root)? {
        let entry = entry.naming("list", root)?;
        let name = entry.file_name();
        if name == BEING_CREATED {
            being_created = Some(entry.path());
        } else if let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok()) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok((found, being_created))
}

/// Format version and number of the current generation.
fn read_pointer(root: &Path) -> Result<Option<(u64, u64)>> {
    let path = root.join(POINTER);
    let Some(bytes) = durable::read_small(&path, 256)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let mut number = |name: &str| lines.next()?.strip_prefix(name)?.parse::<u64>().ok();
    let damaged = || StateError::DamagedPointer { path: path.clone(), found: text.to_string() };
    let version = number("twm-state ").ok_or_else(damaged)?;
    if version > FORMAT {
        return Err(StateError::NewerFormat { path, found: version, supported: FORMAT });
    }
    let current = number("generation ").ok_or_else(damaged)?;
    Ok(Some((version, current)))
}
