//! The journal of budgets.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use storage::planted::{Bug, planted};

use super::BudgetError;
use super::boot::{Timekeeper, millis};
use super::record::{self, Kept, Key, MAGIC, Record, Unreadable};

/// The file is rewritten once it has grown by this many bytes and by this factor over its live contents.
const SLACK_BYTES: u64 = 1 << 20;
const SLACK_FACTOR: u64 = 4;

/// A budget that was unused for this long is dropped: no network has longer windows.
const MEMORY: Duration = Duration::from_secs(32 * 24 * 3600);

/// What was found when the file was opened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Budgets remembered.
    pub budgets: usize,
    /// Bytes at the end that were never completely written; nothing was sent based on them.
    pub torn_bytes: usize,
    /// Where a damaged file was moved.
    pub damaged: Option<PathBuf>,
    /// For how long nothing may be sent, because a damaged file may have contained more.
    pub hold: Duration,
}

/// The file, open for appending, and its live contents.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    compacted: u64,
    hold_until: Duration,
    in_force: HashMap<Key, Kept>,
}

/// The stored budgets and their ages.
pub(super) type Remembered = HashMap<Key, (Kept, Duration)>;

impl Journal {
    /// Opens or creates the file. Its contents are returned with their ages.
    pub(super) fn open(
        path: &Path,
        time: &Timekeeper,
        default_window: Duration,
    ) -> Result<(Self, Remembered, OpenReport), BudgetError> {
        let mut found = read(path, time)?;
        if planted(Bug::BudgetsForgotten) {
            found.budgets.clear();
        }
        let budgets = found.budgets.len();
        let mut report =
            OpenReport { budgets, torn_bytes: found.torn_bytes, hold: found.hold, damaged: None };
        if let Some(offset) = found.damaged_at {
            let longest = found.budgets.values().map(|(kept, _)| Duration::from_millis(kept.window_ms)).max();
            report.hold = report.hold.max(longest.unwrap_or_default()).max(default_window);
            let aside = keep_aside(path)?;
            tracing::warn!(
                file = %path.display(), offset, kept_as = %aside.display(), hold_s = report.hold.as_secs(),
                "the budgets' file is damaged: nothing is sent until all windows that it may have known have ended"
            );
            report.damaged = Some(aside);
        }
        let in_force = found.budgets.iter().map(|(key, (kept, _))| (key.clone(), kept.clone())).collect();
        let hold_until = time.now() + report.hold;
        let (file, bytes) = rewrite(path, &in_force, hold_until, time)?;
        let journal = Self { path: path.to_owned(), file, bytes, compacted: bytes, hold_until, in_force };
        Ok((journal, found.budgets, report))
    }

    /// Appends records; they are on disk when this returns.
    pub(super) fn append(&mut self, records: Vec<(Key, Kept)>, time: &Timekeeper) -> Result<(), BudgetError> {
        let mut buffer = Vec::new();
        for (key, kept) in records {
            encode(&self.path, &Record::Budget { key: key.clone(), kept: kept.clone() }, &mut buffer)?;
            self.in_force.insert(key, kept);
        }
        let written = self.file.write_all(&buffer).and_then(|()| self.file.sync_data());
        written.map_err(|source| BudgetError::Write { path: self.path.clone(), source })?;
        self.bytes += buffer.len() as u64;
        if self.bytes > SLACK_BYTES + SLACK_FACTOR * self.compacted {
            (self.file, self.bytes) = rewrite(&self.path, &self.in_force, self.hold_until, time)?;
            self.compacted = self.bytes;
        }
        Ok(())
    }
}

/// Writes the live contents to a new file that replaces the old one.
fn rewrite(
    path: &Path,
    in_force: &HashMap<Key, Kept>,
    hold_until: Duration,
    time: &Timekeeper,
) -> Result<(File, u64), BudgetError> {
    let hold_ms = millis(hold_until.saturating_sub(time.now()));
    let mut buffer = MAGIC.to_vec();
    encode(path, &Record::Opened { hold_ms, at: time.stamp() }, &mut buffer)?;
    for (key, kept) in in_force {
        encode(path, &Record::Budget { key: key.clone(), kept: kept.clone() }, &mut buffer)?;
    }
    let unfinished = path.with_extension("new");
    let replace = || {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(&buffer)?;
        file.sync_data()?;
        fs::rename(&unfinished, path)?;
        File::open(folder(path))?.sync_all()?;
        Ok(file)
    };
    let file = replace().map_err(|source| BudgetError::Write { path: path.to_owned(), source })?;
    Ok((file, buffer.len() as u64))
}

/// The contents of a file.
#[derive(Default)]
struct Found {
    budgets: Remembered,
    torn_bytes: usize,
    damaged_at: Option<usize>,
    hold: Duration,
}

fn read(path: &Path, time: &Timekeeper) -> Result<Found, BudgetError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(source) => return Err(BudgetError::Read { path: path.to_owned(), source }),
    };
    let mut found = Found::default();
    let Some(records) = bytes.strip_prefix(&MAGIC) else {
        if bytes.len() > MAGIC.len() && bytes[..MAGIC.len() - 1] == MAGIC[..MAGIC.len() - 1] {
            return Err(BudgetError::NewerFormat {
                path: path.to_owned(),
                found: bytes[MAGIC.len() - 1] as char,
            });
        }
        // The file is renamed into place when complete, so a file without a header was not torn.
        found.damaged_at = Some(0);
        return Ok(found);
    };
    let mut latest: HashMap<Key, Kept> = HashMap::new();
    let mut rest = records;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        match record::decode(rest) {
            Ok((Record::Opened { hold_ms, at }, length)) => {
                found.hold = Duration::from_millis(hold_ms).saturating_sub(time.since(at));
                rest = &rest[length..];
            }
            Ok((Record::Budget { key, kept }, length)) => {
                latest.insert(key, kept);
                rest = &rest[length..];
            }
            Err(Unreadable::Torn) => {
                found.torn_bytes = rest.len();
                break;
            }
            Err(Unreadable::Damaged) => {
                found.damaged_at = Some(offset);
                break;
            }
        }
    }
    let with_age = |(key, kept): (Key, Kept)| {
        let age = time.since(kept.at);
        (age < MEMORY).then_some((key, (kept, age)))
    };
    found.budgets = latest.into_iter().filter_map(with_age).collect();
    Ok(found)
}

fn encode(path: &Path, record: &Record, buffer: &mut Vec<u8>) -> Result<(), BudgetError> {
    record::encode(record, buffer)
        .map_err(|source| BudgetError::Write { path: path.to_owned(), source: io::Error::other(source) })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Links a damaged file under a second name, the first free one. The original is replaced only once the new file,
/// which includes the pause, is complete.
fn keep_aside(path: &Path) -> Result<PathBuf, BudgetError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free =
        (0u32..).map(|n| path.with_file_name(format!("{name}.damaged-{n}"))).find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("damaged"));
    let kept = fs::hard_link(path, &aside).or_else(|_no_links_here| fs::copy(path, &aside).map(drop));
    kept.map_err(|source| BudgetError::Write { path: aside.clone(), source })?;
    Ok(aside)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
