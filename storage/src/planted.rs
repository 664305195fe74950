//! Bugs planted on purpose, to show that the tests and the simulation find them.
//!
//! A build with debug assertions contains them all; a release build contains none: [`planted`] is `false` there, and
//! the compiler removes the code behind it. At most one is active in a process, chosen by [`plant`] or by the
//! variable `TWM_PLANT`.

use std::fmt;
use std::str::FromStr;

macro_rules! bugs {
    ($($name:literal $bug:ident: $what:literal;)*) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),*];

            /// Its name in flags and in `TWM_PLANT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                }
            }

            /// Its effect.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => $what,)*
                }
            }
        }
    };
}

bugs! {
    "stale-report" StaleReport: "A finding is accepted although its lease went to another session.";
    "report-twice" ReportTwice: "A report that is repeated is applied again.";
    "vote-not-synced" VoteNotSynced: "A vote counts before it is on the disk.";
    "append-not-synced" AppendNotSynced: "Entries are acknowledged before they are on the disk.";
    "early-purge" EarlyPurge: "The log is purged before the checkpoint that replaces it is on the disk.";
    "requests-not-saved" RequestsNotSaved: "A checkpoint lacks the answers to writes with a request id.";
    "delays-not-saved" DelaysNotSaved: "Jobs that wait for a time are lost when a checkpoint is loaded.";
    "drained-not-saved" DrainedNotSaved: "A checkpoint lacks the drained nodes.";
    "wall-clock-sessions" WallClockSessions: "The wall clock decides when a session has been silent for too long.";
    "majority-forms" MajorityForms: "A majority of the peers forms a cluster; the others are not waited for.";
    "cancel-frees-file" CancelFreesFile: "Cancelling a crawl frees a file whose publication is under way.";
    "stale-read" StaleRead: "A leader answers reads without asking whether it still leads.";
    "event-twice" EventTwice: "Two events get the same number.";
    "gap-hidden" GapHidden: "A mirror leaves no entry in place of events that are lost.";
    "any-snapshot-chunk" AnySnapshotChunk: "A chunk of another snapshot is taken for the next one.";
    "lost-session-keeps-jobs" LostSessionKeepsJobs: "The jobs of a session that timed out go to nobody.";
    "file-not-freed" FileNotFreed: "A job that is over still counts as the writer of its file.";
    "learner-counts" LearnerCounts: "After a restart a learner counts in a majority.";
    "any-disk" AnyDisk: "A new disk acknowledges as the one that it replaces.";
    "append-unbounded" AppendUnbounded: "All entries that a follower lacks go in one message.";
    "run-lost" RunLost: "A merge of the seen-set's runs loses one of them.";
    "queue-not-saved" QueueNotSaved: "A checkpoint lacks the accounts that joined a queue last.";
    "half-redo" HalfRedo: "A start makes half of the changes of a batch that was cut off.";
    "budgets-forgotten" BudgetsForgotten: "A node that starts does not know what its addresses have spent.";
    "publishes-early" PublishesEarly: "A node publishes a draft before the cluster has accepted the job's end.";
    "lost-draft-published" LostDraftPublished: "A draft that is not there counts as published.";
    "update-over-newer" UpdateOverNewer: "An update continues its draft although its file was replaced meanwhile.";
    "raise-early" RaiseEarly: "The cluster's version rises although a member does not know it.";
    "unrecorded" Unrecorded: "A node confirms a publication of which it has no record.";
    "hosts-not-saved" HostsNotSaved: "A checkpoint lacks the accounts that wait for their host.";
    "host-never-released" HostNeverReleased: "A host whose probe got no answer sends out no other one.";
    "lease-for-ever" LeaseForEver: "A worker continues a job when its lease may have ended.";
    "dead-session-pays-back" DeadSessionPaysBack: "What a session held when it ended can be spent again.";
    "money-not-saved" MoneyNotSaved: "A checkpoint and a snapshot lack the ledger of money.";
    "cycle-turns-back" CycleTurnsBack: "A date of an earlier billing cycle turns the cycle back.";
    "spend-twice" SpendTwice: "A report of money that is repeated is applied again.";
    "dead-share-returns" DeadShareReturns: "What a session that ended held of a budget can be sent again at once.";
    "share-outlives-window" ShareOutlivesWindow: "A node sends requests of its share although their window may be over.";
    "probe-twice" ProbeTwice: "Several sessions probe an unknown budget at once.";
    "shares-not-saved" SharesNotSaved: "A checkpoint lacks the shares of sessions.";
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|bug| bug.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|bug| bug.name()).collect();
            format!("no bug is called {name:?}; there are {}", names.join(", "))
        })
    }
}

/// Activates a bug in this process in place of any other, or none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    chosen::set(bug);
}

/// The active bug.
pub fn current() -> Option<Bug> {
    Bug::ALL.iter().copied().find(|bug| planted(*bug))
}

/// Whether this bug is active.
#[inline]
pub fn planted(bug: Bug) -> bool {
    #[cfg(debug_assertions)]
    return chosen::get() == Some(bug);
    #[cfg(not(debug_assertions))]
    {
        let _ = bug;
        false
    }
}

#[cfg(debug_assertions)]
mod chosen {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    const UNREAD: usize = usize::MAX;
    const NONE: usize = usize::MAX - 1;

    static CHOSEN: AtomicUsize = AtomicUsize::new(UNREAD);

    pub(super) fn set(bug: Option<Bug>) {
        CHOSEN.store(bug.map_or(NONE, |bug| bug as usize), Ordering::Relaxed);
    }

    pub(super) fn get() -> Option<Bug> {
        match CHOSEN.load(Ordering::Relaxed) {
            UNREAD => {
                let named = std::env::var("TWM_PLANT").ok().filter(|name| !name.is_empty());
                // An unknown name must not pass for a run with a bug.
                let bug = named.map(|name| name.parse().unwrap_or_else(|error| panic!("TWM_PLANT: {error}")));
                set(bug);
                bug
            }
            chosen => Bug::ALL.get(chosen).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_is_found_by_it() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
        }
        assert!("no-such-bug".parse::<Bug>().unwrap_err().contains("stale-report"));
    }
}
