//! The Raft log and vote on disk, in `raft-log`: one group-committed write-ahead log for appends, votes,
//! truncations and purges. Nothing is acknowledged before it is synced.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;

use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;
use storage::FileError;

use super::log_check::{self, LogError};
use super::log_codec::{Flushed, LogTypes, StoredLogId, StoredOwner, StoredPayload, StoredVote};
use super::log_store::{Done, LogDisk, LogMarks};
use super::types::{Entry, LogId, Payload, Vote};

/// How long the log's writer waits for more writes to sync together. 1 ms, the crate's default, costs latency
/// (619 writes/s for one client); 0 disables grouping (6,000/s at any depth).
const FLUSH_WAIT: Duration = Duration::from_micros(60);

/// Size of one log file, bytes. Purging frees whole files, and the entries of the newest one are in memory.
pub(super) const FILE_SIZE: usize = 8 << 20;
const FILE_RECORDS: usize = 64 * 1024;

/// Bytes of entries cached for replication and apply. A follower that lags further is served from the disk.
const CACHE_BYTES: usize = 8 << 20;

/// A log in a folder.
pub(super) struct WalLog {
    log: Arc<RwLock<RaftLog<LogTypes>>>,
    folder: Arc<PathBuf>,
    /// The last entry that is known to be on disk.
    synced: Arc<Mutex<Option<LogId>>>,
}

impl WalLog {
    /// Creates a log in a folder that does not exist yet, and binds it to `owner` for good. The folder gets its name
    /// once the owner is on disk, so that an interrupted creation leaves no log without an owner. Idempotent: an
    /// existing log is opened.
    pub(super) fn create(dir: &Path, owner: &str) -> io::Result<Self> {
        if fs::exists(dir)? {
            return Self::open(dir, owner);
        }
        let draft = dir.with_extension("new");
        let made = |action| move |source| io::Error::from(LogError::from(failure(action, dir, source)));
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(made("clear the place of")(error));
            }
            _ => DirBuilder::new().recursive(true).mode(0o700).create(&draft).map_err(made("create"))?,
        }
        let (tell, told) = mpsc::channel();
        let mut log = open_files(&draft)?;
        log.save_user_data(Some(StoredOwner(owner.to_owned())))?;
        // The receiver outlives the writer.
        log.flush(true, Some(Flushed::call(move |result| drop(tell.send(result)))))?;
        told.recv().unwrap_or_else(|_| Err(io::Error::other("its writer stopped"))).map_err(made("write"))?;
        drop(log);
        fs::rename(&draft, dir).map_err(made("name"))?;
        let parent = dir.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(made("sync the name of"))?;
        Self::open(dir, owner)
    }

    /// Opens the log of `owner` in a folder. An end that was torn by an interrupted write is cut off; any other
    /// damage is an error, and so is a log that is missing or belongs to another owner.
    pub(super) fn open(dir: &Path, owner: &str) -> io::Result<Self> {
        log_check::check(dir, owner)?.iter().try_for_each(log_check::Torn::cut)?;
        let log = open_files(dir)?;
        let state = log.log_state();
        let first = state.purged().map_or(0, |id| id.0.index + 1);
        if state.last().is_some_and(|last| last.0.index >= first) {
            let oldest = log.read(first, first + 1).next().transpose()?;
            oldest.ok_or_else(|| LogError::Gap { path: dir.to_owned(), missing: first })?;
        }
        let (log, folder) = (Arc::new(RwLock::new(log)), Arc::new(dir.to_owned()));
        Ok(Self { log, folder, synced: Arc::default() })
    }

    fn read(&self) -> RwLockReadGuard<'_, RaftLog<LogTypes>> {
        self.log.read().unwrap_or_else(|e| e.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, RaftLog<LogTypes>> {
        self.log.write().unwrap_or_else(|e| e.into_inner())
    }

    /// Names the log and the error of its disk. Once its writer has ended, the log itself reports only a closed
    /// channel.
    fn failed(&self, log: &RaftLog<LogTypes>, error: io::Error) -> io::Error {
        named(&self.folder, log.wait_worker_idle().err().unwrap_or(error))
    }

    /// Writes and requests a sync.
    fn synced<W>(&self, done: Done, write: W) -> io::Result<()>
    where
        W: FnOnce(&mut RaftLog<LogTypes>) -> io::Result<()>,
    {
        let mut log = self.write();
        // Captures the folder only: the writer runs this closure and must not hold the last handle of the log,
        // because dropping that one waits for the writer to end.
        let folder = self.folder.clone();
        let synced = move |result: io::Result<()>| done(result.map_err(|error| named(&folder, error)));
        let written = write(&mut log).and_then(|()| log.flush(true, Some(Flushed::call(synced))));
        written.map_err(|error| self.failed(&log, error))
    }
}

impl LogDisk for WalLog {
    fn marks(&self) -> LogMarks {
        let log = self.read();
        let state = log.log_state();
        LogMarks {
            purged: state.purged().map(|id| id.0),
            last: state.last().map(|id| id.0),
            committed: state.committed().map(|id| id.0),
            vote: state.vote().map(|vote| vote.0),
        }
    }

    fn entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let log = self.read();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in log.read(start, end) {
            let (StoredLogId(log_id), StoredPayload(payload)) = entry?;
            if let Payload::Normal(command) = &payload {
                bytes += command.0.len();
            }
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { log_id, payload });
        }
        Ok(entries)
    }

    fn append(&self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        let (last, synced) = (entries.last().map(|entry| entry.log_id), Arc::clone(&self.synced));
        let done: Done = Box::new(move |result: io::Result<()>| {
            if result.is_ok() {
                let mut synced = lock(&synced);
                *synced = (*synced).max(last);
            }
            done(result);
        });
        let entries = entries.into_iter().map(|e| (StoredLogId(e.log_id), StoredPayload(e.payload)));
        self.synced(done, |log| log.append(entries).map(drop))
    }

    fn save_vote(&self, vote: Vote, done: Done) -> io::Result<()> {
        self.synced(done, |log| log.save_vote(StoredVote(vote)).map(drop))
    }

    /// Not synced: if it is lost, a restarted node needs one message from its leader. It is not written before the
    /// entry is on this disk, because the check of a damaged log takes it as proof that the entry was.
    fn save_committed(&self, committed: LogId) -> io::Result<()> {
        if Some(committed) > *lock(&self.synced) {
            return Ok(());
        }
        let mut log = self.write();
        let written = log.commit(StoredLogId(committed)).and_then(|_| log.flush(false, None));
        written.map_err(|error| self.failed(&log, error))
    }

    fn truncate(&self, from: u64, done: Done) -> io::Result<()> {
        self.synced(done, |log| log.truncate(from).map(drop))
    }

    fn purge(&self, upto: LogId, done: Done) -> io::Result<()> {
        self.synced(done, |log| log.purge(StoredLogId(upto)).map(drop))
    }

    fn size_on_disk(&self) -> u64 {
        self.read().on_disk_size()
    }

    fn broken(&self) -> io::Error {
        self.failed(&self.read(), io::Error::other("its writer stopped"))
    }
}

/// Opens and replays the files of a log, or starts a new one if there are none.
fn open_files(dir: &Path) -> io::Result<RaftLog<LogTypes>> {
    let mut config = raft_log::Config::new(dir.display());
    config.wal.flush_batch_wait = Some(FLUSH_WAIT);
    config.wal.read_buffer_size = Some(1 << 20);
    config.wal.chunk_max_size = Some(FILE_SIZE);
    config.wal.chunk_max_records = Some(FILE_RECORDS);
    config.log_cache_capacity = Some(CACHE_BYTES);
    RaftLog::open(Arc::new(config))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(folder: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), failure("write the Raft log in", folder, source))
}

fn failure(action: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use openraft::testing::log_id;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::super::types::TypeConfig;
    use super::*;
    use crate::model::MemberId;

    /// The writer once held the last handle, and panicked while it waited for its own end.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_that_is_dropped_while_it_syncs_waits_for_the_sync_and_keeps_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("log");
        let store = WalLog::create(&folder, "disk").unwrap();
        let (open_gate, gate) = mpsc::channel::<()>();
        let held = Flushed::call(move |_| gate.recv().expect("the test opens the gate"));
        store.write().flush(true, Some(held)).unwrap();
        let entry = Entry { log_id: log_id::<TypeConfig>(1, MemberId::from(1), 0), payload: Payload::Blank };
        store.append(vec![entry], Box::new(drop)).unwrap();

        let log = Arc::downgrade(&store.log);
        let dropped = thread::spawn(move || drop(store));
        let alone = async {
            while log.strong_count() > 0 {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), alone)
            .await
            .expect("a task that waits for the sync does not hold the log");
        open_gate.send(()).unwrap();
        dropped.join().unwrap();

        let store = WalLog::open(&folder, "disk").unwrap();
        assert_eq!(store.marks().last.map(|id| id.index), Some(0));
    }
}
