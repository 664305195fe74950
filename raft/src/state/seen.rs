//! The accounts that a crawl knows already (TWM-C2).

use std::collections::BTreeSet;

use storage::ids::{IdSet, UserId};

use super::checksum::UserSum;

/// A set of accounts that only grows.
#[derive(Default)]
pub(super) struct SeenSet {
    numbers: IdSet,
    texts: BTreeSet<Box<str>>,
    /// Numbers added since the last checkpoint.
    new_numbers: Vec<u64>,
    new_texts: Vec<Box<str>>,
    sum: UserSum,
}

impl SeenSet {
    pub(super) fn contains(&self, user: &UserId) -> bool {
        match user {
            UserId::Number(n) => self.numbers.contains(*n),
            UserId::Text(t) => self.texts.contains(t),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.numbers.len() as u64 + self.texts.len() as u64
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.numbers.memory_bytes() + self.texts.iter().map(|t| t.len() + 48).sum::<usize>()
    }

    /// Adds the accounts and returns the new ones, in the order given, each once.
    pub(super) fn insert(&mut self, users: Vec<UserId>) -> Vec<UserId> {
        let mut sorted: Vec<u64> = users.iter().filter_map(number).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut fresh = Fresh::new(self.numbers.insert_batch(&sorted));
        self.new_numbers.extend_from_slice(&fresh.sorted);
        fresh.sorted.iter().for_each(|number| self.sum.add_number(*number));
        users
            .into_iter()
            .filter(|user| match user {
                UserId::Number(n) => fresh.take(*n),
                UserId::Text(t) => {
                    let new = self.texts.insert(t.clone());
                    if new {
                        self.new_texts.push(t.clone());
                        self.sum.add(user, 0);
                    }
                    new
                }
            })
            .collect()
    }

    /// A checksum of the accounts.
    pub(super) fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// What was added since the last call, unsorted: numbers and texts.
    pub(super) fn take_new(&mut self) -> (Vec<u64>, Vec<Box<str>>) {
        (std::mem::take(&mut self.new_numbers), std::mem::take(&mut self.new_texts))
    }

    /// Whether anything was added since the last call of [`Self::take_new`].
    pub(super) fn has_new(&self) -> bool {
        !self.new_numbers.is_empty() || !self.new_texts.is_empty()
    }

    /// Only for an empty set.
    pub(super) fn load_numbers(&mut self, sorted: &[u64]) {
        self.numbers = IdSet::from_sorted(sorted.iter().copied());
        sorted.iter().for_each(|number| self.sum.add_number(*number));
    }

    pub(super) fn load_text(&mut self, text: &str) {
        self.texts.insert(text.into());
        self.sum.add(&UserId::Text(text.into()), 0);
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = UserId> + '_ {
        let numbers = self.numbers.iter().map(UserId::Number);
        numbers.chain(self.texts.iter().map(|t| UserId::Text(t.clone())))
    }
}

fn number(user: &UserId) -> Option<u64> {
    match user {
        UserId::Number(n) => Some(*n),
        UserId::Text(_) => None,
    }
}

/// Sorted new numbers, each of which can be taken once.
struct Fresh {
    sorted: Vec<u64>,
    taken: Vec<bool>,
}

impl Fresh {
    fn new(sorted: Vec<u64>) -> Self {
        let taken = vec![false; sorted.len()];
        Self { sorted, taken }
    }

    fn take(&mut self, n: u64) -> bool {
        match self.sorted.binary_search(&n) {
            Ok(at) => !std::mem::replace(&mut self.taken[at], true),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_new_once_and_keeps_its_place() {
        let mut seen = SeenSet::default();
        let ids = |list: &[u64]| list.iter().map(|&n| UserId::Number(n)).collect::<Vec<_>>();
        assert_eq!(seen.insert(ids(&[9, 3, 9, 5])), ids(&[9, 3, 5]));
        assert_eq!(seen.insert(ids(&[5, 4, 3])), ids(&[4]));
        let text: UserId = "did:plc:abc".parse().unwrap();
        assert_eq!(seen.insert(vec![text.clone(), text.clone()]), vec![text.clone()]);
        assert!(seen.contains(&text) && seen.contains(&UserId::Number(4)));
        let mut new = seen.take_new().0;
        new.sort_unstable();
        assert_eq!(new, [3, 4, 5, 9]);
        assert_eq!(seen.take_new().0, Vec::<u64>::new());
    }
}
