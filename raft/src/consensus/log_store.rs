//! openraft's log storage over a [`LogDisk`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use storage::planted::{Bug, planted};
use tokio::sync::oneshot;

use super::types::{Entry, LogId, TypeConfig, Vote};
use super::wal_log::WalLog;

/// Most bytes of entries in one replication message, well below the limit of a frame.
const MAX_REPLICATED: usize = 4 << 20;

/// Called once a write is durable or has failed.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The extent of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct LogMarks {
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) committed: Option<LogId>,
    pub(crate) vote: Option<Vote>,
}

/// A log on some kind of disk. A write can be read at once, and is durable when its [`Done`] is called, in the order
/// of the writes. A [`Done`] that is dropped without being called means that the disk has failed.
pub(crate) trait LogDisk: Send + Sync + 'static {
    fn marks(&self) -> LogMarks;

    /// The entries from `start` up to `end`, as many as fit in `max_bytes` and at least one.
    fn entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>>;

    fn append(&self, entries: Vec<Entry>, done: Done) -> io::Result<()>;

    fn save_vote(&self, vote: Vote, done: Done) -> io::Result<()>;

    /// Need not be durable.
    fn save_committed(&self, committed: LogId) -> io::Result<()>;

    /// Removes the entries from `from` on, which exist.
    fn truncate(&self, from: u64, done: Done) -> io::Result<()>;

    /// Removes the entries up to this one.
    fn purge(&self, upto: LogId, done: Done) -> io::Result<()>;

    fn size_on_disk(&self) -> u64;

    /// Why the disk has failed.
    fn broken(&self) -> io::Error;
}

/// Where logs are stored.
pub(crate) trait LogHome: Send + Sync + 'static {
    /// Creates a log in a folder that does not exist yet, and binds it to `owner` for good. Idempotent.
    fn create(&self, folder: &Path, owner: &str) -> io::Result<LogStore>;

    /// Opens the log of `owner` in a folder.
    fn open(&self, folder: &Path, owner: &str) -> io::Result<LogStore>;
}

/// Logs in folders of the file system.
pub(crate) struct Folders;

impl LogHome for Folders {
    fn create(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        LogStore::create(folder, owner)
    }

    fn open(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        LogStore::open(folder, owner)
    }
}

/// A handle of the log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    disk: Arc<dyn LogDisk>,
    /// Most bytes of entries in one replication message.
    most_replicated: usize,
}

impl LogStore {
    /// Creates a log in a folder of the file system; see [`LogHome::create`].
    pub(crate) fn create(folder: &Path, owner: &str) -> io::Result<Self> {
        WalLog::create(folder, owner).map(Self::over)
    }

    /// Opens the log of `owner` in a folder of the file system. An end that was torn by an interrupted write is cut
    /// off; any other damage is an error, and so is a log that is missing or belongs to another owner.
    pub(crate) fn open(folder: &Path, owner: &str) -> io::Result<Self> {
        WalLog::open(folder, owner).map(Self::over)
    }

    /// A store over this disk.
    pub(crate) fn over(disk: impl LogDisk) -> Self {
        Self { disk: Arc::new(disk), most_replicated: MAX_REPLICATED }
    }

    /// The same with other replication messages; for simulations, whose logs are short.
    #[cfg(debug_assertions)]
    pub(crate) fn replicating_at_most(self, bytes: usize) -> Self {
        Self { most_replicated: bytes, ..self }
    }

    /// Bytes on disk.
    pub(crate) fn size_on_disk(&self) -> u64 {
        self.disk.size_on_disk()
    }

    /// Writes and waits for the sync.
    async fn synced(&self, write: impl FnOnce(&dyn LogDisk, Done) -> io::Result<()>) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        // The receiver is dropped only with the caller, and then nobody needs the result.
        write(&*self.disk, Box::new(move |result| drop(tell.send(result))))?;
        told.await.unwrap_or_else(|_| Err(self.disk.broken()))
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
        self.disk.entries(start, end, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let most = if planted(Bug::AppendUnbounded) { usize::MAX } else { self.most_replicated };
        self.disk.entries(start, end, most)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.disk.marks().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let LogMarks { purged, last, .. } = self.disk.marks();
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = *vote;
        if planted(Bug::VoteNotSynced) {
            return self.disk.save_vote(vote, Box::new(drop));
        }
        self.synced(move |disk, done| disk.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        committed.map_or(Ok(()), |committed| self.disk.save_committed(committed))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.disk.marks().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        if planted(Bug::AppendNotSynced) {
            self.disk.append(entries.into_iter().collect(), Box::new(drop))?;
            callback.io_completed(Ok(()));
            return Ok(());
        }
        let done = move |result| callback.io_completed(result);
        self.disk.append(entries.into_iter().collect(), Box::new(done))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        // Nothing to remove: the log refuses an index that it does not have.
        if self.disk.marks().last.is_none_or(|last| last.index < from) {
            return Ok(());
        }
        self.synced(move |disk, done| disk.truncate(from, done)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.synced(move |disk, done| disk.purge(upto, done)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::BoxFuture;
    use openraft::testing::log_id;
    use openraft::type_config::TypeConfigExt;

    use super::super::types::Payload;
    use super::*;
    use crate::model::{DiskId, MemberId};

    /// A disk whose syncs end when the test says so.
    #[derive(Default)]
    struct SlowDisk {
        syncing: Arc<Mutex<Vec<Done>>>,
    }

    impl SlowDisk {
        fn write(&self, done: Done) -> io::Result<()> {
            self.syncing.lock().unwrap().push(done);
            Ok(())
        }
    }

    impl LogDisk for SlowDisk {
        fn marks(&self) -> LogMarks {
            LogMarks { last: Some(log_id::<TypeConfig>(1, MOST, 9)), ..LogMarks::default() }
        }

        fn entries(&self, _: u64, _: u64, _: usize) -> io::Result<Vec<Entry>> {
            Ok(Vec::new())
        }

        fn append(&self, _: Vec<Entry>, done: Done) -> io::Result<()> {
            self.write(done)
        }

        fn save_vote(&self, _: Vote, done: Done) -> io::Result<()> {
            self.write(done)
        }

        fn save_committed(&self, _: LogId) -> io::Result<()> {
            Ok(())
        }

        fn truncate(&self, _: u64, done: Done) -> io::Result<()> {
            self.write(done)
        }

        fn purge(&self, _: LogId, done: Done) -> io::Result<()> {
            self.write(done)
        }

        fn size_on_disk(&self) -> u64 {
            0
        }

        fn broken(&self) -> io::Error {
            io::Error::other("broken")
        }
    }

    #[tokio::test]
    async fn no_write_is_acknowledged_before_its_sync_ends() {
        let disk = SlowDisk::default();
        let syncing = Arc::clone(&disk.syncing);
        let store = LogStore::over(disk);
        let at = |index| log_id::<TypeConfig>(1, MOST, index);
        let (vote, append, truncate, purge) = (store.clone(), store.clone(), store.clone(), store);
        let writes: [BoxFuture<'_, io::Result<()>>; 4] = [
            Box::pin(async move { { vote }.save_vote(&Vote::new(2, MOST)).await }),
            Box::pin(async move {
                let (tell, told) = TypeConfig::oneshot();
                let entry = Entry { log_id: at(10), payload: Payload::Blank };
                { append }.append([entry], IOFlushed::signal(tell)).await?;
                told.await.unwrap_or_else(|_| Err(io::Error::other("dropped")))
            }),
            Box::pin(async move { { truncate }.truncate_after(Some(at(8))).await }),
            Box::pin(async move { { purge }.purge(at(3)).await }),
        ];
        for mut write in writes {
            assert!(futures::poll!(&mut write).is_pending());
            let done = syncing.lock().unwrap().pop().unwrap();
            assert!(futures::poll!(&mut write).is_pending());
            done(Ok(()));
            write.await.unwrap();
        }
    }

    /// The member with the longest encoding.
    const MOST: MemberId = MemberId { node: u64::MAX, disk: DiskId(u64::MAX) };

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
        // As many entries as openraft requests at once, the long ones last.
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
            // The overhead of the call is some dozens of bytes.
            assert!(bytes + 1_024 < longest, "{bytes} of {longest}");
        }
        assert!(batches < 24, "more than one long command travels at once: {batches}");
    }
}
