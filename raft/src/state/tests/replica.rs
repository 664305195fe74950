//! A replica that can be checkpointed and restarted at any point.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::state::{MemoryStore, SledStore, StateStore};

use super::super::{Frozen, State, write_checkpoint};
use crate::model::{Command, EventId, Response};

/// A state machine, its store, and the log that it would replay after a restart.
pub(super) struct Replica {
    pub(super) state: State,
    store: Arc<dyn StateStore>,
    /// The store's folder, if it is on disk.
    folder: Option<PathBuf>,
    /// Entries behind the last checkpoint, each with the response it had.
    log: Vec<(u64, Command, Response)>,
    checkpoint: Checkpoint,
}

/// The stage of a checkpoint, with the length of the log when it was frozen.
enum Checkpoint {
    None,
    Frozen(Frozen, usize),
    /// On disk, but the state machine does not know yet.
    Written,
}

impl Replica {
    pub(super) fn in_memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()), None)
    }

    pub(super) fn on_disk(folder: &Path) -> Self {
        Self::over(Arc::new(SledStore::open(folder).unwrap()), Some(folder.to_owned()))
    }

    fn over(store: Arc<dyn StateStore>, folder: Option<PathBuf>) -> Self {
        let state = State::load(Arc::clone(&store)).unwrap();
        Self { state, store, folder, log: Vec::new(), checkpoint: Checkpoint::None }
    }

    /// The entries behind the last checkpoint.
    pub(super) fn log(&self) -> impl Iterator<Item = &(u64, Command, Response)> {
        self.log.iter()
    }

    pub(super) fn apply(&mut self, index: u64, command: &Command) -> Response {
        let response = self.state.apply(index, command.clone());
        assert!(self.state.failure().is_none(), "{:?} by {command:?}", self.state.failure());
        self.log.push((index, command.clone(), response.clone()));
        response
    }

    /// Advances a checkpoint by one stage: freezes the state, writes it, finishes.
    pub(super) fn go_on_with_checkpoint(&mut self) {
        self.checkpoint = match std::mem::replace(&mut self.checkpoint, Checkpoint::None) {
            Checkpoint::None => Checkpoint::Frozen(self.state.freeze().unwrap(), self.log.len()),
            Checkpoint::Frozen(frozen, at) => {
                let applied = (b"m".to_vec(), at.to_be_bytes().to_vec());
                write_checkpoint(&*self.store, frozen, vec![applied]).unwrap();
                self.log.drain(..at);
                Checkpoint::Written
            }
            Checkpoint::Written => {
                self.state.checkpoint_written();
                Checkpoint::None
            }
        };
    }

    /// Drops everything in memory, loads the last checkpoint and replays the log.
    pub(super) fn restart(&mut self) {
        self.checkpoint = Checkpoint::None;
        if let Some(folder) = &self.folder {
            // The database is locked while anything has it open.
            self.state = State::load(Arc::new(MemoryStore::new())).unwrap();
            self.store = Arc::new(MemoryStore::new());
            self.store = Arc::new(SledStore::open(folder).unwrap());
        }
        self.state = State::load(Arc::clone(&self.store)).unwrap().observed_like(&self.state);
        self.state.check_invariants().unwrap();
        for (index, command, response) in &self.log {
            assert_eq!(&self.state.apply(*index, command.clone()), response, "replay of {command:?}");
            assert!(self.state.failure().is_none(), "{:?} by {command:?}", self.state.failure());
        }
    }

    /// Asserts that another replica, which applied the same commands, is in the same state.
    pub(super) fn assert_same(&self, other: &Self) {
        let (a, b) = (&self.state, &other.state);
        assert_eq!(a.head, b.head);
        assert_eq!(a.requests.answers(), b.requests.answers());
        assert_eq!(a.outbox(), b.outbox());
        let events = |state: &State| state.events_after(EventId::default(), usize::MAX).read();
        assert_eq!(events(a), events(b), "TWM-M1: the events differ");
        assert!(a.spend.is_same(&b.spend), "the ledgers of money differ");
        assert_eq!(a.crawls(), b.crawls());
        assert_eq!(a.sessions(), b.sessions());
        let active = |state: &State| state.crawls.active().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(active(a), active(b));
        assert_eq!(a.writers, b.writers);
        assert!(a.jobs.iter().eq(b.jobs.iter()), "jobs differ");
        assert_eq!(a.jobs.delayed(), b.jobs.delayed());
        for (one, two) in a.sessions.values().zip(b.sessions.values()) {
            assert!(one.is_same(two), "sessions differ");
        }
        for ((id, one), two) in a.crawls.iter().zip(b.crawls.values()) {
            assert!(one.has_record_of(two), "crawl {id} differs");
            let (seen, frontier) = a.seen_and_frontier(id);
            assert_eq!(
                (seen, frontier),
                b.seen_and_frontier(id),
                "TWM-C2: what is seen in crawl {id} differs"
            );
            assert_eq!(one.accounts().first_waiting(usize::MAX), two.accounts().first_waiting(usize::MAX));
            assert_eq!(a.errors(id, None, 1000).unwrap(), b.errors(id, None, 1000).unwrap());
            assert_eq!(a.gone_users(id, None, 1000).unwrap(), b.gone_users(id, None, 1000).unwrap());
        }
    }
}
