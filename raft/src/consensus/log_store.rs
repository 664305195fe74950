//! The Raft log and vote on disk, in `raft-log`: one group-committed write-ahead log for appends,
//! votes, truncations and purges. Nothing is acknowledged before it is synced.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;
use storage::FileError;
use tokio::sync::oneshot;

use super::log_check::{self, LogError};
use super::log_codec::{Flushed, LogTypes, StoredLogId, StoredOwner, StoredPayload, StoredVote};
use super::types::{Entry, LogId, Payload, TypeConfig, Vote};

/// How long the log's writer waits for more to sync together. 1 ms, the crate's default, costs
/// latency (619 writes/s for one client); 0 turns grouping off (6,000/s at any depth).
const FLUSH_WAIT: Duration = Duration::from_micros(60);

/// Most bytes of entries that one replication message carries, well below the frame's limit.
const MAX_REPLICATED: usize = 4 << 20;

/// Size of one file of the log, bytes. Purged entries free whole files, and the entries of the newest one are in memory.
pub(super) const FILE_SIZE: usize = 8 << 20;
const FILE_RECORDS: usize = 64 * 1024;

/// Bytes of entries kept in memory for replication and apply. A follower that lags further is served from the disk.
const CACHE_BYTES: usize = 8 << 20;

/// A handle of the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<RwLock<RaftLog<LogTypes>>>,
    folder: Arc<PathBuf>,
}

impl LogStore {
    /// Makes a new log in a folder that is not there yet, and binds it to `owner` for good. The folder appears under its
    /// name once the owner is on disk, so that an interrupted creation leaves no log of nobody. May be repeated: a log
    /// that is there is opened.
    pub(crate) fn create(dir: &Path, owner: &str) -> io::Result<Self> {
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

    /// Opens the log of `owner` in a folder. An end that an interrupted write tore is cut off; any other damage is an
    /// error, and so is a log that is missing or another's.
    pub(crate) fn open(dir: &Path, owner: &str) -> io::Result<Self> {
        log_check::check(dir, owner)?;
        let log = open_files(dir)?;
        let state = log.log_state();
        let first = state.purged().map_or(0, |id| id.0.index + 1);
        if state.last().is_some_and(|last| last.0.index >= first) {
            let oldest = log.read(first, first + 1).next().transpose()?;
            oldest.ok_or_else(|| LogError::Gap { path: dir.to_owned(), missing: first })?;
        }
        Ok(Self { log: Arc::new(RwLock::new(log)), folder: Arc::new(dir.to_owned()) })
    }

    /// Bytes on disk.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.read().on_disk_size()
    }

    fn read(&self) -> RwLockReadGuard<'_, RaftLog<LogTypes>> {
        self.log.read().unwrap_or_else(|e| e.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, RaftLog<LogTypes>> {
        self.log.write().unwrap_or_else(|e| e.into_inner())
    }

    /// Names the log and what is wrong with its disk. After its writer has ended, the log itself says only that nobody
    /// takes what is written.
    fn failed(&self, log: &RaftLog<LogTypes>, error: io::Error) -> io::Error {
        named(&self.folder, log.wait_worker_idle().err().unwrap_or(error))
    }

    /// Writes under the lock, then waits for the sync outside of it.
    async fn synced<W>(&self, write: W) -> io::Result<()>
    where
        W: FnOnce(&mut RaftLog<LogTypes>) -> io::Result<()>,
    {
        let (tell, told) = oneshot::channel();
        {
            let mut log = self.write();
            let written = write(&mut log).and_then(|()| {
                // The receiver is gone only when the caller is; nobody waits for the result then.
                log.flush(true, Some(Flushed::call(move |result| drop(tell.send(result)))))
            });
            written.map_err(|error| self.failed(&log, error))?;
        }
        match told.await {
            Ok(result) => result.map_err(|error| named(&self.folder, error)),
            Err(_) => Err(self.failed(&self.read(), io::Error::other("its writer stopped"))),
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
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n + 1,
            Bound::Excluded(&n) => n,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(start, end, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start, end, MAX_REPLICATED)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.read().log_state().vote().map(|vote| vote.0))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.read();
        let state = log.log_state();
        Ok(LogState {
            last_purged_log_id: state.purged().map(|id| id.0),
            last_log_id: state.last().map(|id| id.0),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = StoredVote(*vote);
        self.synced(move |log| log.save_vote(vote).map(drop)).await
    }

    /// Not synced: what is lost of it costs a restarted node one message from its leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        let mut log = self.write();
        let written = log.commit(StoredLogId(committed)).and_then(|_| log.flush(false, None));
        written.map_err(|error| self.failed(&log, error))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.read().log_state().committed().map(|id| id.0))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|e| (StoredLogId(e.log_id), StoredPayload(e.payload)));
        let mut log = self.write();
        // The folder alone: the writer, which runs this, would otherwise be able to hold the last handle of the log,
        // and whoever drops that one waits for the writer's end.
        let folder = self.folder.clone();
        let synced = move |result: io::Result<()>| {
            callback.io_completed(result.map_err(|error| named(&folder, error)));
        };
        let written = log.append(entries).and_then(|_| log.flush(true, Some(Flushed::call(synced))));
        written.map_err(|error| self.failed(&log, error))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        // Nothing lies behind: the log refuses an index that it does not have.
        if self.read().log_state().last().is_none_or(|last| last.0.index < from) {
            return Ok(());
        }
        self.synced(move |log| log.truncate(from).map(drop)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.synced(move |log| log.purge(StoredLogId(upto)).map(drop)).await
    }
}

/// Opens the files of a log and replays them; begins a log where there are none.
fn open_files(dir: &Path) -> io::Result<RaftLog<LogTypes>> {
    let mut config = raft_log::Config::new(dir.display());
    config.wal.flush_batch_wait = Some(FLUSH_WAIT);
    config.wal.read_buffer_size = Some(1 << 20);
    config.wal.chunk_max_size = Some(FILE_SIZE);
    config.wal.chunk_max_records = Some(FILE_RECORDS);
    config.log_cache_capacity = Some(CACHE_BYTES);
    RaftLog::open(Arc::new(config))
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

    use super::*;
    use crate::model::{DiskId, MemberId};

    /// The member that takes most bytes.
    const MOST: MemberId = MemberId { node: u64::MAX, disk: DiskId(u64::MAX) };

    /// The writer held the last handle once, and panicked in waiting for its own end.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_that_is_dropped_while_it_syncs_waits_for_the_sync_and_keeps_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("log");
        let mut store = LogStore::create(&folder, "disk").unwrap();
        let (open_gate, gate) = mpsc::channel::<()>();
        let held = Flushed::call(move |_| gate.recv().expect("the test opens the gate"));
        store.write().flush(true, Some(held)).unwrap();
        let entry = Entry { log_id: log_id::<TypeConfig>(1, MemberId::from(1), 0), payload: Payload::Blank };
        store.append([entry], IOFlushed::noop()).await.unwrap();

        let log = Arc::downgrade(&store.log);
        let dropped = thread::spawn(move || drop(store));
        let alone = async {
            while log.strong_count() > 0 {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), alone)
            .await
            .expect("whoever waits for the sync does not hold the log");
        open_gate.send(()).unwrap();
        dropped.join().unwrap();

        let mut store = LogStore::open(&folder, "disk").unwrap();
        assert_eq!(store.get_log_state().await.unwrap().last_log_id.map(|id| id.index), Some(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_longest_commands_and_the_largest_batch_fit_the_frame_of_their_connection() {
        use openraft::raft::AppendEntriesRequest;

        use super::super::messages::RaftMessage;
        use super::super::types::PackedCommand;
        use crate::wire::Purpose;
        use crate::wire::bounds::{MAX_COMMAND, longest_frame};

        let dir = tempfile::tempdir().unwrap();
        let mut store = LogStore::create(&dir.path().join("log"), "largest").unwrap();
        let entry = |index, bytes: usize| Entry {
            log_id: log_id::<TypeConfig>(u64::MAX, MOST, index),
            payload: Payload::Normal(PackedCommand(vec![7; bytes].into())),
        };
        // As many entries as openraft asks for at once, the long ones last.
        let small = (0..1_000).map(|index| entry(index, 1));
        let entries: Vec<_> = small.chain((1_000..1_024).map(|index| entry(index, MAX_COMMAND))).collect();
        store.append(entries, IOFlushed::noop()).await.unwrap();
        let longest = longest_frame(Purpose::Replication);
        let (mut start, mut batches) = (0, 0);
        while start < 1_024 {
            let entries = store.limited_get_log_entries(start, 1_024).await.unwrap();
            start += entries.len() as u64;
            batches += 1;
            let message = RaftMessage::Append(AppendEntriesRequest {
                vote: Vote::new_committed(u64::MAX, MOST),
                prev_log_id: Some(log_id::<TypeConfig>(u64::MAX, MOST, u64::MAX)),
                leader_commit: Some(log_id::<TypeConfig>(u64::MAX, MOST, u64::MAX)),
                entries,
            });
            let bytes = postcard::to_stdvec(&message).unwrap().len();
            // The call around it takes some dozens of bytes.
            assert!(bytes + 1_024 < longest, "{bytes} of {longest}");
        }
        assert!(batches < 24, "more than one long command travels at once: {batches}");
    }
}
