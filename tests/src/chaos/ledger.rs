//! What the cluster has acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::{CrawlId, CrawlPhase, CrawlView, Operations};
use tokio::time::Instant;

/// What operators were told. Clones share it.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

pub(super) struct Entries {
    pub(super) crawls: BTreeMap<CrawlId, Known>,
    /// What contradicts an acknowledgement.
    pub(super) wrong: Vec<String>,
    pub(super) acknowledged: u64,
    pub(super) unanswered: u64,
    pub(super) refused: u64,
    last_answer: Instant,
    /// The longest time in which no operator was answered.
    pub(super) longest_silence: Duration,
}

/// What is known of one crawl.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) operations: Operations,
    /// Whether accounts that were found are crawled too.
    pub(super) traverses: bool,
    /// Targets that were acknowledged.
    pub(super) targets: BTreeSet<u64>,
    /// Targets that were sent, and may have come.
    pub(super) sent: BTreeSet<u64>,
    pub(super) cancel_sent: bool,
    pub(super) cancelled: bool,
    pub(super) delete_sent: bool,
    /// The most accounts that a reader was told of.
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

    /// How a view contradicts what was known before it was asked for.
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

    /// Notes what is known of a crawl now.
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

    /// A reader was told this of a crawl of which that was known before.
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
