//! The Raft log and vote on disk, in `raft-log`: one group-committed write-ahead log for appends,
//! votes, truncations and purges. Nothing is acknowledged before it is synced.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;
use storage::FileError;
use tokio::sync::oneshot;

use super::log_codec::{Flushed, LogTypes, StoredLogId, StoredPayload, StoredVote};
use super::types::{Entry, LogId, Payload, TypeConfig, Vote};

/// How long the log's writer waits for more to sync together. 1 ms, the crate's default, costs
/// latency (619 writes/s for one client); 0 turns grouping off (6,000/s at any depth).
const FLUSH_WAIT: Duration = Duration::from_micros(60);

/// Most bytes of entries that one replication message carries, well below the frame's limit.
const MAX_REPLICATED: usize = 4 << 20;

/// Size of one file of the log, bytes. Purged entries free whole files, and the entries of the newest one are in memory.
const FILE_SIZE: usize = 8 << 20;
const FILE_RECORDS: usize = 64 * 1024;

/// Bytes of entries kept in memory for replication and apply. A follower that lags further is served from the disk.
const CACHE_BYTES: usize = 8 << 20;

/// A log that cannot be this data directory's.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum NotOurs {
    #[error(
        "the log of this data directory is missing, and with it the votes that it gave and the entries that it acknowledged"
    )]
    Missing,
    #[error("it is the log of another data directory")]
    Foreign,
    #[error("there is a log already")]
    Used,
}

impl NotOurs {
    fn in_folder(self, dir: &Path) -> String {
        format!(
            "{self} ({}); see whether its volume is mounted. If the log is lost, replace this disk: empty the data \
             directory and run `twm-ctl member replace`",
            dir.display()
        )
    }
}

/// A handle of the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<RwLock<RaftLog<LogTypes>>>,
    folder: Arc<PathBuf>,
}

impl LogStore {
    /// Makes the log of a new data directory in a folder that is not there or empty. `owner` names the data directory.
    /// May be repeated: a log of the same owner is opened as it is.
    ///
    /// # Errors
    /// The folder holds a log of another owner; or the disk fails.
    pub(crate) fn create(dir: &Path, owner: &str) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let store = Self::over(dir)?;
        {
            let mut log = store.write();
            let state = log.log_state();
            match &state.user_data {
                Some(found) if found != owner => return Err(io::Error::other(NotOurs::Used.in_folder(dir))),
                None if state.last().is_some() => return Err(io::Error::other(NotOurs::Used.in_folder(dir))),
                // A creation that was cut off is repeated.
                Some(_) | None => {}
            }
            log.save_user_data(Some(owner.to_owned()))?;
        }
        let (tell, told) = std::sync::mpsc::channel();
        let flushed = Flushed::call(move |result| drop(tell.send(result)));
        store.write().flush(true, Some(flushed))?;
        told.recv().map_err(|_| io::Error::other("the log's writer stopped"))??;
        File::open(dir)?.sync_all()?;
        Ok(store)
    }

    /// Opens the log of a data directory. A torn tail is cut off; any other damage is an error.
    ///
    /// # Errors
    /// There is no log, or one of another data directory: its votes and acknowledgements are not here.
    pub(crate) fn open(dir: &Path, owner: &str) -> io::Result<Self> {
        if !dir.try_exists()? {
            return Err(io::Error::other(NotOurs::Missing.in_folder(dir)));
        }
        let store = Self::over(dir)?;
        let found = store.read().log_state().user_data.clone();
        match found {
            Some(found) if found == owner => Ok(store),
            Some(_) => Err(io::Error::other(NotOurs::Foreign.in_folder(dir))),
            None => Err(io::Error::other(NotOurs::Missing.in_folder(dir))),
        }
    }

    fn over(dir: &Path) -> io::Result<Self> {
        let mut config = raft_log::Config::new(dir.display());
        config.wal.flush_batch_wait = Some(FLUSH_WAIT);
        config.wal.read_buffer_size = Some(1 << 20);
        config.wal.chunk_max_size = Some(FILE_SIZE);
        config.wal.chunk_max_records = Some(FILE_RECORDS);
        config.log_cache_capacity = Some(CACHE_BYTES);
        let log = RaftLog::open(Arc::new(config))?;
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

fn named(folder: &Path, source: io::Error) -> io::Error {
    io::Error::new(
        source.kind(),
        FileError { action: "write the Raft log in", path: folder.to_owned(), source },
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use openraft::testing::log_id;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;
    use crate::model::{DiskId, MemberId};

    /// The member that takes most bytes.
    const MOST: MemberId = MemberId { node: u64::MAX, disk: DiskId(u64::MAX) };

    #[tokio::test]
    async fn a_log_that_is_missing_or_of_another_data_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let missing = LogStore::open(&dir.path().join("log"), "1/a").err().unwrap().to_string();
        assert!(missing.contains("is missing"), "{missing}");
        assert!(!dir.path().join("log").exists(), "nothing is made in its place");
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let emptied = LogStore::open(&dir.path().join("log"), "1/a").err().unwrap().to_string();
        assert!(emptied.contains("is missing"), "{emptied}");
        drop(LogStore::create(&dir.path().join("log"), "1/a").unwrap());
        drop(LogStore::open(&dir.path().join("log"), "1/a").unwrap());
        let foreign = LogStore::open(&dir.path().join("log"), "2/b").err().unwrap().to_string();
        assert!(foreign.contains("another data directory"), "{foreign}");
    }

    /// The writer held the last handle once, and panicked in waiting for its own end.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_that_is_dropped_while_it_syncs_waits_for_the_sync_and_keeps_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = LogStore::create(dir.path(), "me").unwrap();
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

        let mut store = LogStore::open(dir.path(), "me").unwrap();
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
        let mut store = LogStore::create(dir.path(), "largest").unwrap();
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
