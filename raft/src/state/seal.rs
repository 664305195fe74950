//! A checksum of everything that a checkpoint left in the store, which a start compares.
//!
//! A database that lost its newest segments opens in an earlier state, in the middle of a checkpoint. A replica that
//! continues from there differs from all others, and nothing else would reveal it. The checksum is the sum of a hash
//! of each entry, so that a checkpoint updates it from what it writes, and a start, which reads everything anyway,
//! adds it up.
//!
//! The seal identifies its checkpoint by a stamp, which is the entry with the applied log id. An older program writes
//! checkpoints without a seal; then neither stamp matches the store, and nothing is compared.

use serde::{Deserialize, Serialize};
use storage::state::{StateStore, WriteBatch};

use super::checksum::Checksum;
use super::keys;
use super::persist::LoadError;

/// The seal of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    /// Sum over all entries but the seal.
    sum: u64,
    /// The stamp of this checkpoint.
    of: u64,
    /// The stamp of the checkpoint before.
    after: u64,
}

/// Adds the seal of a checkpoint to its batch. `stamp` is the key of an entry that each checkpoint changes.
pub(super) fn seal(store: &dyn StateStore, batch: &mut WriteBatch, stamp: &[u8]) -> Result<(), LoadError> {
    let after = stamp_in(store, stamp)?;
    let mut sum = match read(store)? {
        Some(seal) if seal.of == after => seal.sum,
        _ => sum_of(store)?,
    };
    let mut of = after;
    for (key, value) in batch.iter() {
        let before = store.get(key)?;
        sum = sum.wrapping_sub(before.map_or(0, |before| hash(key, &before)));
        let now = value.map_or(0, |value| hash(key, value));
        sum = sum.wrapping_add(now);
        if key == stamp {
            of = now;
        }
    }
    let value = postcard::to_stdvec(&Seal { sum, of, after });
    let value = value.map_err(|_| LoadError::damaged("seal", keys::SEAL))?;
    batch.put(keys::SEAL, value);
    Ok(())
}

/// Checks that the store contains exactly what the last checkpoint left.
///
/// # Errors
/// It does not, or the store cannot be read.
pub fn check_seal(store: &dyn StateStore, stamp: &[u8]) -> Result<(), LoadError> {
    let Some(seal) = read(store)? else { return Ok(()) };
    let now = stamp_in(store, stamp)?;
    // The seal is the first entry of its checkpoint: if it is newer than the stamp, the rest is missing.
    let torn = seal.after == now && seal.of != now;
    if torn || (seal.of == now && seal.sum != sum_of(store)?) {
        return Err(LoadError::Unsealed);
    }
    Ok(())
}

fn read(store: &dyn StateStore) -> Result<Option<Seal>, LoadError> {
    let Some(value) = store.get(keys::SEAL)? else { return Ok(None) };
    postcard::from_bytes(&value).map(Some).map_err(|_| LoadError::damaged("seal", keys::SEAL))
}

/// The hash of the stamp; 0 if there is none.
fn stamp_in(store: &dyn StateStore, stamp: &[u8]) -> Result<u64, LoadError> {
    Ok(store.get(stamp)?.map_or(0, |value| hash(stamp, &value)))
}

fn sum_of(store: &dyn StateStore) -> Result<u64, LoadError> {
    let mut sum = 0_u64;
    for entry in store.scan(&[], None) {
        let (key, value) = entry?;
        if key != keys::SEAL {
            sum = sum.wrapping_add(hash(&key, &value));
        }
    }
    Ok(sum)
}

/// The checksum of the key's length, the key and the value.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    Checksum::default().bytes(&(key.len() as u32).to_le_bytes()).bytes(key).bytes(value).finish()
}

#[cfg(test)]
mod tests {
    use storage::env::{Entropy, SeededEntropy};
    use storage::state::MemoryStore;

    use super::*;

    const STAMP: &[u8] = b"m";

    /// A checkpoint that changes some entries, with or without a seal; returns what it changed.
    fn checkpoint(store: &MemoryStore, number: u64, dice: &SeededEntropy, sealed: bool) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for _ in 0..1 + dice.next_u64() % 8 {
            let key = format!("q{}", dice.next_u64() % 20);
            match dice.next_u64() % 3 {
                0 => batch.delete(key),
                _ => batch.put(key, dice.next_u64().to_le_bytes()),
            }
        }
        batch.put(STAMP, number.to_le_bytes());
        if sealed {
            seal(store, &mut batch, STAMP).unwrap();
        }
        store.write(batch.clone()).unwrap();
        batch
    }

    fn copy(store: &MemoryStore) -> MemoryStore {
        let copy = MemoryStore::new();
        copy.replace_all(&mut store.scan(&[], None)).unwrap();
        copy
    }

    /// Stores that an earlier program sealed are read by this one.
    #[test]
    fn a_seal_is_that_which_earlier_programs_computed() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        batch.put(b"q1", b"one");
        batch.put(STAMP, [7]);
        seal(&store, &mut batch, STAMP).unwrap();
        store.write(batch).unwrap();
        let sum = 0xd46a_e080_0d35_74db;
        assert_eq!(sum_of(&store).unwrap(), sum);
        let expected = Seal { sum, of: 0xf74d_4335_ee4a_c68f, after: 0 };
        assert_eq!(read(&store).unwrap(), Some(expected));
    }

    #[test]
    fn whatever_is_lost_changed_or_added_breaks_the_seal() {
        let dice = SeededEntropy::new(3);
        let store = MemoryStore::new();
        check_seal(&store, STAMP).unwrap();
        for number in 0..100 {
            checkpoint(&store, number, &dice, true);
            check_seal(&store, STAMP).unwrap();
            let entries: Vec<_> = store.scan(&[], None).map(Result::unwrap).collect();
            for (key, value) in entries.iter().filter(|(key, _)| *key != STAMP && *key != keys::SEAL) {
                let mut lost = WriteBatch::new();
                lost.delete(key.clone());
                let mut changed = WriteBatch::new();
                changed.put(key.clone(), [value.as_slice(), &[0]].concat());
                let mut added = WriteBatch::new();
                added.put([key.as_slice(), b"x"].concat(), value.clone());
                for damage in [lost, changed, added] {
                    let damaged = copy(&store);
                    damaged.write(damage).unwrap();
                    assert!(matches!(check_seal(&damaged, STAMP), Err(LoadError::Unsealed)), "{number}");
                }
            }
        }
    }

    /// Changes reach a database in key order, and it loses the newest ones.
    #[test]
    fn a_store_that_is_back_in_the_middle_of_a_checkpoint_breaks_the_seal() {
        let dice = SeededEntropy::new(4);
        let store = MemoryStore::new();
        for number in 0..50 {
            let before = copy(&store);
            let batch = checkpoint(&store, number, &dice, true);
            let changes: Vec<_> = batch.iter().collect();
            for there in 1..changes.len() {
                let torn = copy(&before);
                let mut part = WriteBatch::new();
                for (key, value) in &changes[..there] {
                    match value {
                        Some(value) => part.put(*key, *value),
                        None => part.delete(*key),
                    }
                }
                torn.write(part).unwrap();
                let changed =
                    !torn.scan(&[], None).map(Result::unwrap).eq(store.scan(&[], None).map(Result::unwrap));
                assert_eq!(
                    check_seal(&torn, STAMP).is_err(),
                    changed,
                    "{number}: {there} of {}",
                    changes.len()
                );
            }
        }
    }

    #[test]
    fn a_checkpoint_of_an_older_program_breaks_nothing_and_is_sealed_by_the_next_one() {
        let dice = SeededEntropy::new(5);
        let store = MemoryStore::new();
        for number in 0..60 {
            checkpoint(&store, number, &dice, number % 3 != 1);
            check_seal(&store, STAMP).unwrap();
        }
        checkpoint(&store, 60, &dice, true);
        let mut lost = WriteBatch::new();
        let (key, _) = store.scan(b"q", None).next().unwrap().unwrap();
        lost.delete(key);
        store.write(lost).unwrap();
        assert!(check_seal(&store, STAMP).is_err());
    }
}
