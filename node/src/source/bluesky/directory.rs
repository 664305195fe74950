//! Remembers where accounts are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::env::Clock;
use storage::ids::UserId;

use super::document::Document;

/// Accounts that are remembered: 20 MB at most, with the longest DIDs that occur.
const MOST: usize = 50_000;
/// How long a document is used. Accounts move seldom, and one that did is noticed.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// A document that is younger is not asked for again when its server does not know the account.
const FRESH: Duration = Duration::from_secs(60);

/// A document, and when it was read.
#[derive(Debug, Clone)]
struct Known {
    document: Arc<Document>,
    read_at: Duration,
}

/// Two generations: when the young one is full, the old one is forgotten. What is used stays.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<UserId, Known>,
    old: HashMap<UserId, Known>,
}

/// The documents of accounts.
pub(super) struct Directory {
    known: Mutex<Generations>,
    clock: Arc<dyn Clock>,
}

impl Directory {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { known: Mutex::default(), clock }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Document>> {
        let now = self.clock.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match known.young.get(user) {
            Some(found) => found.clone(),
            None => {
                let found = known.old.remove(user)?;
                known.keep(user.clone(), found.clone());
                found
            }
        };
        (now.saturating_sub(found.read_at) < KEPT).then_some(found.document)
    }

    pub(super) fn insert(&self, user: &UserId, document: Document) {
        let known = Known { document: Arc::new(document), read_at: self.clock.monotonic() };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keep(user.clone(), known);
    }

    /// Forgets a document that was not read just now: its account may have moved. `false` if it is too young for that.
    pub(super) fn doubt(&self, user: &UserId) -> bool {
        let now = self.clock.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let read_at = known.young.get(user).or_else(|| known.old.get(user)).map(|known| known.read_at);
        let doubted = read_at.is_none_or(|read_at| now.saturating_sub(read_at) >= FRESH);
        if doubted {
            known.young.remove(user);
            known.old.remove(user);
        }
        doubted
    }
}

impl Generations {
    fn keep(&mut self, user: UserId, known: Known) {
        if self.young.len() >= MOST / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, known);
    }
}

#[cfg(test)]
mod tests {
    use storage::env::SystemClock;

    use super::*;

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let directory = Directory::new(Arc::new(SystemClock::new()));
        let document = Document { pds: "https://a.b".parse().unwrap(), handle: None };
        let user = |n: usize| format!("did:plc:{n}").parse::<UserId>().unwrap();
        for n in 0..2 * MOST {
            directory.insert(&user(n), document.clone());
            assert!(directory.get(&user(0)).is_some(), "used at {n}");
        }
        let known = directory.known.lock().unwrap();
        assert!(known.young.len() + known.old.len() <= MOST);
        drop(known);
        assert!(directory.get(&user(1)).is_none());
        assert!(!directory.doubt(&user(0)), "it was read just now");
        assert!(directory.doubt(&user(1)));
    }
}
