//! Disks in memory, which lose what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use storage::state::{MemoryStore, StateStore};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::consensus::{Done, Entry, LogDisk, LogHome, LogId, LogMarks, LogStore, Payload, Vote};
use crate::server::Disks;

/// How long a sync takes.
const SYNC: Duration = Duration::from_micros(400);

/// A log with its owner.
type Owned = (String, Arc<Mutex<Content>>);

/// The disks of all nodes, by folder. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SimDisks {
    logs: Arc<Mutex<BTreeMap<PathBuf, Owned>>>,
    states: Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryStore>>>>,
}

impl SimDisks {
    pub(super) fn disks(&self) -> Disks {
        let states = Arc::clone(&self.states);
        let open = move |folder: &Path| {
            let mut states = states.lock().unwrap();
            Ok(Arc::clone(states.entry(folder.to_owned()).or_default()) as Arc<dyn StateStore>)
        };
        Disks { logs: Arc::new(self.clone()), states: Arc::new(open) }
    }
}

impl LogHome for SimDisks {
    fn create(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        let mut logs = self.logs.lock().unwrap();
        logs.entry(folder.to_owned()).or_insert_with(|| (owner.to_owned(), Arc::default()));
        drop(logs);
        self.open(folder, owner)
    }

    fn open(&self, folder: &Path, owner: &str) -> io::Result<LogStore> {
        let logs = self.logs.lock().unwrap();
        let (its, content) = logs.get(folder).ok_or_else(|| io::Error::other("the log is missing"))?;
        if its != owner {
            return Err(io::Error::other(format!("the log is of {its}, not of {owner}")));
        }
        Ok(LogStore::over(SimLog::over(Arc::clone(content))))
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

/// A log that was opened: what is read, which is ahead of what is on the disk.
struct SimLog {
    written: Mutex<Content>,
    syncs: mpsc::UnboundedSender<(Write, Done)>,
}

impl SimLog {
    fn over(disk: Arc<Mutex<Content>>) -> Self {
        let written = Mutex::new(disk.lock().unwrap().clone());
        let (syncs, mut due) = mpsc::unbounded_channel::<(Write, Done)>();
        tokio::spawn(async move {
            let mut together = Vec::new();
            while due.recv_many(&mut together, usize::MAX).await > 0 {
                sleep(SYNC).await;
                for (write, done) in together.drain(..) {
                    disk.lock().unwrap().write(&write);
                    done(Ok(()));
                }
            }
        });
        Self { written, syncs }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.written.lock().unwrap()
    }

    fn write(&self, write: Write, done: Done) -> io::Result<()> {
        self.content().write(&write);
        self.syncs.send((write, done)).map_err(|_| self.broken())
    }
}

impl LogDisk for SimLog {
    fn marks(&self) -> LogMarks {
        self.content().marks
    }

    fn entries(&self, start: u64, end: u64, _: usize) -> io::Result<Vec<Entry>> {
        Ok(self.content().entries.range(start..end).map(|(_, entry)| copy(entry)).collect())
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
