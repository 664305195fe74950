//! The seen-set on disk: sorted runs, one per checkpoint, merged by size.
//!
//! A log-structured merge tree (O'Neil et al., 1996): a run of level `n` has at least 1024 x 8^n ids, and
//! eight runs of a level are merged into one, so that each id is written a few times in all and there are
//! never many runs. A large run is left alone: merging it would delay a checkpoint for no gain, as a start
//! reads every block anyway.

use storage::ids::run;
use storage::planted::{Bug, planted};
use storage::state::{StateStore, WriteBatch};

use crate::model::CrawlId;

use super::keys;
use super::persist::{LoadError, scan};
use super::seen::SeenSet;

/// Number of runs of one level that are merged.
const RUNS_PER_LEVEL: u64 = 8;
/// Smallest number of ids in a run of level 1, divided by eight.
const SMALL_RUN: usize = 1024;
/// Runs of this level, of 524,288 ids or more, are not merged.
const TOP_LEVEL: u8 = 3;

/// Adds a sorted run to a crawl's seen-set.
pub(super) fn add(
    store: &dyn StateStore,
    crawl: CrawlId,
    mut numbers: Vec<u64>,
    batch: &mut WriteBatch,
) -> Result<(), LoadError> {
    let mut level = level_of(numbers.len());
    let mut number = count_runs(store, crawl, level)?;
    while number + 1 >= RUNS_PER_LEVEL && level < TOP_LEVEL {
        take_level(store, crawl, level, &mut numbers, batch)?;
        let merged = level_of(numbers.len());
        number = if merged == level { 0 } else { count_runs(store, crawl, merged)? };
        if merged == level {
            break;
        }
        level = merged;
    }
    for (block, value) in (0..).zip(run::encode_blocks(&numbers)) {
        batch.put(keys::seen_block(crawl, level, number, block), value);
    }
    Ok(())
}

fn level_of(ids: usize) -> u8 {
    let level = (ids / SMALL_RUN).checked_ilog(RUNS_PER_LEVEL as usize).unwrap_or(0);
    TOP_LEVEL.min(level as u8)
}

/// Runs of a level are numbered from 0, and only removed together.
fn count_runs(store: &dyn StateStore, crawl: CrawlId, level: u8) -> Result<u64, LoadError> {
    let mut count = 0;
    while store.get(&keys::seen_block(crawl, level, count, 0))?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Moves all ids of a level to sorted `numbers`.
fn take_level(
    store: &dyn StateStore,
    crawl: CrawlId,
    level: u8,
    numbers: &mut Vec<u64>,
    batch: &mut WriteBatch,
) -> Result<(), LoadError> {
    let start = keys::seen_block(crawl, level, 0, 0);
    let end = keys::seen_block(crawl, level, u64::MAX, u32::MAX);
    let lost = planted(Bug::RunLost).then(|| start.clone());
    for entry in scan(store, (start, end)) {
        let (key, value) = entry?;
        if lost.as_ref() != Some(&key) {
            numbers.extend(decode(&key, &value)?);
        }
        batch.delete(key);
    }
    // The existing numbers are a few ascending sequences, which a stable sort merges.
    numbers.sort();
    Ok(())
}

/// Reads a crawl's seen-set.
pub(super) fn load(store: &dyn StateStore, crawl: CrawlId, seen: &mut SeenSet) -> Result<(), LoadError> {
    let mut numbers = Vec::new();
    for entry in scan(store, keys::of_crawl(keys::SEEN_RUN, crawl)) {
        let (key, value) = entry?;
        numbers.extend(decode(&key, &value)?);
    }
    numbers.sort();
    numbers.dedup();
    seen.load_numbers(&numbers);
    for entry in scan(store, keys::of_crawl(keys::SEEN_TEXT, crawl)) {
        let (key, _) = entry?;
        let text =
            std::str::from_utf8(&key[9..]).map_err(|_| LoadError::damaged("id of the seen-set", &key))?;
        seen.load_text(text);
    }
    Ok(())
}

fn decode(key: &[u8], value: &[u8]) -> Result<Vec<u64>, LoadError> {
    run::decode_block(value).map_err(|_| LoadError::damaged("block of the seen-set", key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use storage::env::{Entropy, SeededEntropy};
    use storage::ids::UserId;
    use storage::state::MemoryStore;

    use super::*;

    #[test]
    fn large_runs_are_left_alone_and_small_ones_join() {
        let store = MemoryStore::new();
        let crawl = CrawlId(1);
        let mut next = 0;
        let mut add_ids = |count: u64| {
            let mut batch = WriteBatch::new();
            add(&store, crawl, (next..next + count).map(|n| 3 * n + 1).collect(), &mut batch).unwrap();
            store.write(batch).unwrap();
            next += count;
        };
        (0..10).for_each(|_| add_ids(530_000));
        (0..100).for_each(|_| add_ids(10));
        let count = |level| count_runs(&store, crawl, level).unwrap();
        assert_eq!([count(0), count(1), count(2), count(3)], [2, 0, 0, 10]);
        let mut seen = SeenSet::default();
        load(&store, crawl, &mut seen).unwrap();
        assert_eq!(seen.len(), next);
        assert!(
            seen.contains(&UserId::Number(3 * next - 2)) && !seen.contains(&UserId::Number(3 * next + 1))
        );
    }

    /// Accounts of which some were added before: usually few, at times enough for a run of a higher level.
    fn users(dice: &SeededEntropy) -> Vec<UserId> {
        let most = [50, 2_000, 12_000, 12_000][dice.next_u64() as usize % 4];
        let user = |random: u64| match random % 16 {
            0 => format!("{}@host", random % 5_000).parse().unwrap(),
            1..6 => UserId::Number(1 + random % 200_000),
            _ => UserId::Number(random >> 3),
        };
        (0..dice.next_u64() % most).map(|_| user(dice.next_u64())).collect()
    }

    /// One checkpoint of what was added since the last one.
    fn save(store: &MemoryStore, crawl: CrawlId, seen: &mut SeenSet) {
        let (mut numbers, texts) = seen.take_new();
        let mut batch = WriteBatch::new();
        texts.iter().for_each(|text| batch.put(keys::seen_text(crawl, text), Vec::new()));
        numbers.sort_unstable();
        add(store, crawl, numbers, &mut batch).unwrap();
        store.write(batch).unwrap();
    }

    #[test]
    fn behaves_as_a_set_that_restarts_at_its_last_checkpoint_whatever_was_merged() {
        let mut highest = 0;
        for seed in 0..4 {
            let dice = SeededEntropy::new(seed);
            let (store, crawl) = (MemoryStore::new(), CrawlId(seed));
            let (mut seen, mut model) = (SeenSet::default(), BTreeSet::new());
            let mut saved = model.clone();
            for _ in 0..120 {
                let users = users(&dice);
                let expected = users.iter().filter(|user| model.insert((*user).clone())).cloned();
                let expected: Vec<UserId> = expected.collect();
                assert_eq!(seen.insert(users), expected);
                assert_eq!(seen.len(), model.len() as u64);
                match dice.next_u64() % 16 {
                    0..12 => {
                        save(&store, crawl, &mut seen);
                        saved.clone_from(&model);
                    }
                    12 => {
                        seen = SeenSet::default();
                        load(&store, crawl, &mut seen).unwrap();
                        model.clone_from(&saved);
                        assert!(seen.iter().eq(model.iter().cloned()), "seed {seed}");
                    }
                    _ => {}
                }
                for level in 0..TOP_LEVEL {
                    assert!(count_runs(&store, crawl, level).unwrap() < RUNS_PER_LEVEL);
                }
            }
            highest = (0..=TOP_LEVEL)
                .rev()
                .find(|&n| count_runs(&store, crawl, n).unwrap() > 0)
                .max(Some(highest))
                .unwrap();
        }
        assert!(highest >= 2, "no runs were merged twice over");
    }

    #[test]
    fn a_runs_level_is_that_of_its_size() {
        let sizes = [0, 1, 8_191, 8_192, 65_535, 65_536, 524_288, usize::MAX];
        assert_eq!(sizes.map(level_of), [0, 0, 0, 1, 1, 2, 3, 3]);
    }
}
