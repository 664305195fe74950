//! Removes duplicate ids in bounded memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Result;
use super::spill::Spill;
use crate::ids::{IdHash, PostId, UserId};

/// Memory for ids before further ones are spilled: a million numbers, about 18 bytes each in the table.
pub(super) const FILTER_BYTES: usize = 18 << 20;
const NUMBER_BYTES: usize = 18;
/// Size of a text id's entry in the table and its allocation, without its characters.
const TEXT_BYTES: usize = 48;

/// The id of an item: a follower or a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> From<&'a UserId> for Item<'a> {
    fn from(id: &'a UserId) -> Self {
        match id {
            UserId::Number(number) => Self::Number(*number),
            UserId::Text(text) => Self::Text(text),
        }
    }
}

impl<'a> From<&'a PostId> for Item<'a> {
    fn from(id: &'a PostId) -> Self {
        match id {
            PostId::Number(number) => Self::Number(*number),
            PostId::Text(text) => Self::Text(text),
        }
    }
}

/// Detects repeated items of a list. It detects them at once as long as the ids fit into memory; later ones
/// are admitted, and those that were wrong are reported at the end.
pub(super) struct DuplicateFilter {
    /// Spilled ids are stored next to this file.
    path: PathBuf,
    limit: usize,
    held: usize,
    numbers: HashSet<u64, IdHash>,
    texts: HashSet<Box<str>>,
    spill: Option<Spill>,
}

impl DuplicateFilter {
    /// A filter that holds up to `limit` bytes of ids in memory, and more in files next to `path`.
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        let (numbers, texts) = (HashSet::default(), HashSet::new());
        Self { path: path.to_owned(), limit, held: 0, numbers, texts, spill: None }
    }

    /// Whether `id` may be new; if so, its position is `position` (ascending from call to call).
    pub(super) fn admit(&mut self, id: Item<'_>, position: u64) -> Result<bool> {
        let full = self.held >= self.limit;
        let (new, bytes) = match id {
            Item::Number(number) if full => (!self.numbers.contains(&number), 0),
            Item::Number(number) => (self.numbers.insert(number), NUMBER_BYTES),
            Item::Text(text) if full => (!self.texts.contains(text), 0),
            Item::Text(text) => (self.texts.insert(text.into()), TEXT_BYTES + text.len()),
        };
        if !new {
            return Ok(false);
        }
        self.held += bytes;
        if full {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill::create(&self.path)?),
            };
            spill.put(id, position)?;
        }
        Ok(true)
    }

    /// The positions that were wrongly admitted.
    pub(super) fn into_wrong(self) -> Result<Positions> {
        let mut wrong = Positions::default();
        self.find_wrong(&mut wrong)?;
        Ok(wrong)
    }

    /// Adds the positions that were wrongly admitted to `wrong`.
    pub(super) fn find_wrong(self, wrong: &mut Positions) -> Result<()> {
        match self.spill {
            Some(spill) => spill.duplicates(|position| wrong.insert(position)),
            None => Ok(()),
        }
    }
}

/// A set of positions in a list, one bit each: 12 MB for a hundred million.
#[derive(Debug, Default)]
pub(super) struct Positions {
    words: Vec<u64>,
    pub(super) count: u64,
}

impl Positions {
    /// Adds a position that is not in the set.
    pub(super) fn insert(&mut self, position: u64) {
        let word = (position / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (position % 64);
        self.count += 1;
    }

    pub(super) fn contains(&self, position: u64) -> bool {
        self.words.get((position / 64) as usize).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Entropy, SeededEntropy};

    #[test]
    fn what_is_left_is_each_id_once_in_the_order_of_first_occurrence() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(31);
        for limit in [0, 10_000, FILTER_BYTES] {
            let id = |n: u64| match n % 4 {
                0 => format!("did:plc:{n}").parse().unwrap(),
                _ => UserId::Number(n),
            };
            let source: Vec<UserId> = (0..20_000).map(|_| id(1 + entropy.next_u64() % 12_000)).collect();
            let mut filter = DuplicateFilter::new(&folder.path().join("draft"), limit);
            let mut admitted = Vec::new();
            for id in &source {
                if filter.admit(id.into(), admitted.len() as u64).unwrap() {
                    admitted.push(id);
                }
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "spilled ids have no names");
            let wrong = filter.into_wrong().unwrap();
            assert_eq!(wrong.count > 0, limit < FILTER_BYTES);
            let kept = admitted.iter().enumerate().filter(|(n, _)| !wrong.contains(*n as u64));
            let mut seen = HashSet::new();
            let expected = source.iter().filter(|id| seen.insert(*id));
            assert!(kept.map(|(_, id)| *id).eq(expected), "limit {limit}");
        }
    }
}
