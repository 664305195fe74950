//! What is remembered of accounts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::acct::Acct;

/// Most accounts that are remembered, about 200 bytes each.
const MOST: usize = 50_000;

/// An account as its home described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its id at its home.
    pub id: String,
    /// Posts that it has written.
    pub posts: u64,
    /// Followers that it has.
    pub followers: u64,
    /// Whether it hides its follower list, if the home says so.
    pub hides_followers: Option<bool>,
}

/// Accounts that were looked up. When it is full, those that were not used for longest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Memory {
    generations: Mutex<Generations>,
}

/// A full young generation becomes the old one, and the old one is dropped.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Known>,
    old: HashMap<String, Known>,
}

impl Memory {
    pub fn get(&self, acct: &Acct) -> Option<Known> {
        let key = key(acct);
        let mut generations = self.lock();
        if let Some(known) = generations.young.get(&key) {
            return Some(known.clone());
        }
        let known = generations.old.remove(&key)?;
        generations.put(key, known.clone());
        Some(known)
    }

    pub fn put(&self, acct: &Acct, known: Known) {
        let key = key(acct);
        let mut generations = self.lock();
        generations.old.remove(&key);
        generations.put(key, known);
    }

    pub fn forget(&self, acct: &Acct) {
        let key = key(acct);
        let mut generations = self.lock();
        generations.young.remove(&key);
        generations.old.remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, key: String, known: Known) {
        if self.young.len() >= MOST / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }
}

/// Names that differ in case are one account.
fn key(acct: &Acct) -> String {
    acct.to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acct(number: usize) -> Acct {
        Acct::parse_target(&format!("User{number}@h1.test")).unwrap()
    }

    fn known(number: usize) -> Known {
        Known { id: number.to_string(), posts: 1, followers: 2, hides_followers: None }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let memory = Memory::default();
        for number in 0..3 * MOST {
            memory.put(&acct(number), known(number));
            assert_eq!(memory.get(&acct(0)), Some(known(0)));
        }
        let generations = memory.lock();
        assert!(generations.young.len() + generations.old.len() <= MOST);
        drop(generations);
        assert_eq!(memory.get(&acct(MOST / 4)), None);
    }

    #[test]
    fn an_account_is_found_in_any_case_and_forgotten() {
        let memory = Memory::default();
        memory.put(&acct(1), known(1));
        let other_case = Acct::parse_target("uSER1@h1.test").unwrap();
        assert_eq!(memory.get(&other_case), Some(known(1)));
        memory.forget(&other_case);
        assert_eq!(memory.get(&acct(1)), None);
    }
}
