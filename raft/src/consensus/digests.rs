//! Digests of the state after chosen log entries, kept from the first request for each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::StateDigest;

/// Most digests kept at once. A leader asks for one at a time, and its predecessor may have asked for another.
const KEPT: usize = 4;

/// Digests by entry; absent until the entry is applied.
type Kept = BTreeMap<u64, Option<StateDigest>>;

pub(super) struct Digests {
    kept: Mutex<Kept>,
    /// The next entry whose digest was requested.
    next: AtomicU64,
}

impl Default for Digests {
    fn default() -> Self {
        Self { kept: Mutex::default(), next: AtomicU64::new(u64::MAX) }
    }
}

impl Digests {
    /// Requests the digest after an entry. Beyond the limit, the oldest one is dropped.
    pub(super) fn ask(&self, index: u64) {
        let mut kept = self.lock();
        kept.entry(index).or_default();
        if kept.len() > KEPT {
            kept.pop_first();
        }
        self.note_next(&kept);
    }

    pub(super) fn get(&self, index: u64) -> Option<StateDigest> {
        self.lock().get(&index).copied().flatten()
    }

    /// Whether [`Self::take`] must be called after this entry.
    pub(super) fn is_due(&self, index: u64) -> bool {
        index >= self.next.load(Ordering::SeqCst)
    }

    /// Keeps the digest after the last applied entry, if it was requested.
    pub(super) fn take(&self, index: u64, digest: impl FnOnce() -> StateDigest) {
        let wanted = self.lock().get(&index).is_some_and(Option::is_none);
        let digest = wanted.then(digest);
        let mut kept = self.lock();
        if let (Some(digest), Some(place)) = (digest, kept.get_mut(&index)) {
            *place = Some(digest);
        }
        // Entries that had been applied before they were requested.
        kept.retain(|at, digest| *at > index || digest.is_some());
        self.note_next(&kept);
    }

    fn note_next(&self, kept: &Kept) {
        let next = kept.iter().find(|(_, digest)| digest.is_none());
        self.next.store(next.map_or(u64::MAX, |(index, _)| *index), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(cluster: u64) -> StateDigest {
        StateDigest { cluster, ..StateDigest::default() }
    }

    #[test]
    fn a_digest_is_taken_after_the_entry_it_was_asked_for() {
        let digests = Digests::default();
        assert!(!digests.is_due(u64::MAX - 1));
        digests.ask(7);
        assert!(!digests.is_due(6) && digests.is_due(7));
        digests.take(7, || digest(1));
        digests.ask(7);
        assert_eq!(digests.get(7), Some(digest(1)));
        assert!(!digests.is_due(8), "it was taken");
    }

    #[test]
    fn one_that_was_asked_for_too_late_is_given_up_and_so_is_the_oldest_of_too_many() {
        let digests = Digests::default();
        digests.ask(7);
        digests.take(9, || panic!("nobody asked"));
        assert_eq!((digests.get(7), digests.is_due(10)), (None, false));
        (20..20 + KEPT as u64 + 1).for_each(|index| digests.ask(index));
        assert!(!digests.is_due(20) && digests.is_due(21));
    }
}
