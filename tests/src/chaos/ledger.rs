//! Acknowledged requests and the state that they imply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::{CrawlId, CrawlPhase, CrawlView, Operations};
use tokio::time::Instant;

/// The answers that operators received. Clones share it.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

pub(super) struct Entries {
    pub(super) crawls: BTreeMap<CrawlId, Known>,
    /// Contradictions of acknowledged requests.
    pub(super) wrong: Vec<String>,
    pub(super) acknowledged: u64,
    pub(super) unanswered: u64,
    pub(super) refused: u64,
    last_answer: Instant,
    /// The longest time without an answer to any operator.
    pub(super) longest_silence: Duration,
}

/// Acknowledged state of one crawl.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) operations: Operations,
    /// Whether discovered accounts are crawled too.
    pub(super) traverses: bool,
    /// Acknowledged targets.
    pub(super) targets: BTreeSet<u64>,
    /// Targets that were sent and may have been accepted.
    pub(super) sent: BTreeSet<u64>,
    pub(super) cancel_sent: bool,
    pub(super) cancelled: bool,
    pub(super) delete_sent: bool,
    /// The highest number of accounts that any reader was shown.
    accepted_seen: u64,
}

impl Known {
    pub(super) fn new(operations: Operations, traverses: bool) -> Self {
        Self {
            operations,
            traverses,
            targets: BTreeSet::new(),
            sent: BTreeSet::new(),
            cancel_sent: false,
            cancelled: false,
            delete_sent: false,
            accepted_seen: 0,
        }
    }

    /// The contradiction between a view and the state known before its query.
    fn contradiction(&self, view: &CrawlView) -> Option<String> {
        let accepted = view.counters.users.accepted;
        let least = self.accepted_seen.max(self.targets.len() as u64);
        if accepted < least {
            return Some(format!(
                "crawl {} has {accepted} accounts, and {least} were acknowledged or seen",
                view.id
            ));
        }
        let ended = matches!(view.phase, CrawlPhase::Cancelled | CrawlPhase::Finished);
        (self.cancelled && !ended).then(|| {
            format!("the end of crawl {} was acknowledged, and a reader was told {:?}", view.id, view.phase)
        })
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Entries {
            crawls: BTreeMap::new(),
            wrong: Vec::new(),
            acknowledged: 0,
            unanswered: 0,
            refused: 0,
            last_answer: Instant::now(),
            longest_silence: Duration::ZERO,
        })))
    }
}

impl Ledger {
    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the known state of a crawl.
    pub(super) fn note(&self, crawl: CrawlId, note: impl FnOnce(&mut Known)) {
        self.entries().crawls.get_mut(&crawl).map(note);
    }

    pub(super) fn known(&self, crawl: CrawlId) -> Option<Known> {
        self.entries().crawls.get(&crawl).cloned()
    }

    /// Somebody was answered.
    pub(super) fn answered(&self) {
        let now = Instant::now();
        let mut entries = self.entries();
        let silence = now - entries.last_answer;
        entries.longest_silence = entries.longest_silence.max(silence);
        entries.last_answer = now;
    }

    /// Checks the view that a reader received against `before`, the state known before the query.
    pub(super) fn seen(&self, crawl: CrawlId, before: &Known, view: Option<&CrawlView>) {
        let wrong = match view {
            None if before.delete_sent => None,
            None => Some(format!("crawl {crawl} was acknowledged, and a reader was told that there is none")),
            Some(view) => before.contradiction(view),
        };
        let mut entries = self.entries();
        entries.wrong.extend(wrong);
        if let (Some(known), Some(view)) = (entries.crawls.get_mut(&crawl), view) {
            known.accepted_seen = known.accepted_seen.max(view.counters.users.accepted);
        }
    }
}
