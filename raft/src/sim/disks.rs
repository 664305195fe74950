//! Disks in memory that lose what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::state::{MemoryStore, StateStore};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::consensus::{Done, Entry, LogDisk, LogHome, LogId, LogMarks, LogStore, Payload, Vote};
use crate::server::Disks;

/// How long a sync takes on a healthy disk.
const SYNC: Duration = Duration::from_micros(400);

/// Most bytes of entries in one replication message: few, so that a node that lags takes several.
pub(super) const MOST_REPLICATED: usize = 4 << 10;

/// A log with its owner.
type Owned = (String, Arc<Mutex<Content>>);

/// Faults of a node's disk.
#[derive(Debug, Default)]
pub(super) struct DiskHealth {
    /// How much longer a sync takes.
    slower: Duration,
    /// How many of the next syncs fail.
    failing: u32,
    /// Votes that are written and not yet synced.
    votes: u32,
}

/// The disks of one node: several folders, of which it uses one at a time. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SimDisks {
    logs: Arc<Mutex<BTreeMap<PathBuf, Owned>>>,
    states: Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryStore>>>>,
    health: Arc<Mutex<DiskHealth>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisks {
    pub(super) fn disks(&self) -> Disks {
        let states = Arc::clone(&self.states);
        let open = move |folder: &Path| {
            let mut states = lock(&states);
            Ok(Arc::clone(states.entry(folder.to_owned()).or_default()) as Arc<dyn StateStore>)
        };
        Disks { logs: Arc::new(self.clone()), states: Arc::new(open) }
    }

    /// Makes each sync take this much longer.
    pub(super) fn slow_down(&self, slower: Duration) {
        lock(&self.health).slower = slower;
    }

    /// Makes the next sync fail.
    pub(super) fn fail_next(&self) {
        lock(&self.health).failing = 1;
    }

    /// Makes syncs fast and successful.
    pub(super) fn heal(&self) {
        let mut health = lock(&self.health);
        *health = DiskHealth { votes: health.votes, ..DiskHealth::default() };
    }

    /// Whether a vote is written and not yet synced.
    pub(super) fn syncs_a_vote(&self) -> bool {
        lock(&self.health).votes > 0
    }
}

impl LogHome for SimDisks {
    fn create(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        lock(&self.logs).entry(folder.to_owned()).or_insert_with(|| (owner.to_owned(), Arc::default()));
        self.open(folder, owner)
    }

    fn open(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        let logs = lock(&self.logs);
        let (its, content) = logs.get(folder).ok_or_else(|| io::Error::other("the log is missing"))?;
        if its != owner {
            return Err(io::Error::other(format!("the log is of {its}, not of {owner}")));
        }
        // What an earlier process wrote and did not sync is lost.
        lock(&self.health).votes = 0;
        let log = SimLog::over(Arc::clone(content), Arc::clone(&self.health));
        Ok(LogStore::over(log).replicating_at_most(MOST_REPLICATED))
    }
}

/// A log.
#[derive(Clone, Default)]
struct Content {
    marks: LogMarks,
    entries: BTreeMap<u64, Entry>,
}

enum Write {
    Append(Vec<Entry>),
    Vote(Vote),
    Truncate(u64),
    Purge(LogId),
}

impl Content {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(entries) => {
                for entry in entries {
                    self.marks.last = Some(entry.log_id);
                    self.entries.insert(entry.log_id.index, copy(entry));
                }
            }
            Write::Vote(vote) => self.marks.vote = Some(*vote),
            Write::Truncate(from) => {
                self.entries.split_off(from);
                let last = self.entries.values().next_back().map(|entry| entry.log_id);
                self.marks.last = last.or(self.marks.purged);
            }
            Write::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.marks.purged = Some(*upto);
                self.marks.last = self.marks.last.max(Some(*upto));
            }
        }
    }
}

fn copy(entry: &Entry) -> Entry {
    let payload = match &entry.payload {
        Payload::Blank => Payload::Blank,
        Payload::Normal(command) => Payload::Normal(command.clone()),
        Payload::Membership(membership) => Payload::Membership(membership.clone()),
    };
    Entry { log_id: entry.log_id, payload }
}

fn size(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(command) => command.0.len(),
        _ => 0,
    }
}

/// An open log: what is read, which is ahead of what is on disk.
struct SimLog {
    written: Mutex<Content>,
    health: Arc<Mutex<DiskHealth>>,
    syncs: mpsc::UnboundedSender<(Write, Done)>,
}

impl SimLog {
    fn over(disk: Arc<Mutex<Content>>, health: Arc<Mutex<DiskHealth>>) -> Self {
        let written = Mutex::new(lock(&disk).clone());
        let (syncs, mut due) = mpsc::unbounded_channel::<(Write, Done)>();
        let of_disk = Arc::clone(&health);
        tokio::spawn(async move {
            let health = of_disk;
            let mut together = Vec::new();
            while due.recv_many(&mut together, usize::MAX).await > 0 {
                let slower = lock(&health).slower;
                sleep(SYNC + slower).await;
                let fails = {
                    let mut health = lock(&health);
                    let fails = health.failing > 0;
                    health.failing = health.failing.saturating_sub(1);
                    fails
                };
                for (write, done) in together.drain(..) {
                    if fails {
                        done(Err(io::Error::other("the simulated disk failed")));
                        continue;
                    }
                    lock(&disk).write(&write);
                    if matches!(write, Write::Vote(_)) {
                        let mut health = lock(&health);
                        health.votes = health.votes.saturating_sub(1);
                    }
                    done(Ok(()));
                }
                // What was written after a failed sync must not count as durable.
                if fails {
                    return;
                }
            }
        });
        Self { written, health, syncs }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        lock(&self.written)
    }

    fn write(&self, write: Write, done: Done) -> io::Result<()> {
        self.content().write(&write);
        if matches!(write, Write::Vote(_)) {
            lock(&self.health).votes += 1;
        }
        self.syncs.send((write, done)).map_err(|_| self.broken())
    }
}

impl LogDisk for SimLog {
    fn marks(&self) -> LogMarks {
        self.content().marks
    }

    fn entries(&self, start: u64, end: u64, most: usize) -> io::Result<Vec<Entry>> {
        let content = self.content();
        let mut bytes = 0;
        let mut found = Vec::new();
        for entry in content.entries.range(start..end).map(|(_, entry)| entry) {
            bytes += size(entry);
            if bytes > most && !found.is_empty() {
                break;
            }
            found.push(copy(entry));
        }
        Ok(found)
    }

    fn append(&self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        self.write(Write::Append(entries), done)
    }

    fn save_vote(&self, vote: Vote, done: Done) -> io::Result<()> {
        self.write(Write::Vote(vote), done)
    }

    fn save_committed(&self, committed: LogId) -> io::Result<()> {
        self.content().marks.committed = Some(committed);
        Ok(())
    }

    fn truncate(&self, from: u64, done: Done) -> io::Result<()> {
        self.write(Write::Truncate(from), done)
    }

    fn purge(&self, upto: LogId, done: Done) -> io::Result<()> {
        self.write(Write::Purge(upto), done)
    }

    fn size_on_disk(&self) -> u64 {
        self.content().entries.len() as u64
    }

    fn broken(&self) -> io::Error {
        io::Error::other("the simulated disk is gone")
    }
}
