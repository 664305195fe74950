//! A sorted set of numbers in little memory.

use std::fmt;

use super::leaf::{BLOCK_IDS, Leaf, Packer};

/// A set of account numbers: the seen-set of a crawl.
///
/// Ids are stored sorted in packed blocks, some thousand ids per leaf, under one flat array of the leaves' first ids;
/// the latest ids of a leaf wait next to its blocks. A membership test takes three binary searches and some five
/// cache misses, whatever the size. Ids are never removed. The results depend on the ids alone; their distribution
/// over blocks depends on the order of insertion, which is not visible outside.
#[derive(Clone, Default)]
pub struct IdSet {
    /// The first id of each leaf, separate from the leaves so that a search stays in the cache.
    firsts: Vec<u64>,
    leaves: Vec<Leaf>,
    len: usize,
}

impl IdSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set of strictly ascending ids, packed as tightly as possible. An id that is not above the one before
    /// it is inserted at the end, slowly.
    pub fn from_sorted(ids: impl Iterator<Item = u64>) -> Self {
        let mut packer = Packer::default();
        let mut block = Vec::with_capacity(BLOCK_IDS);
        let mut strays = Vec::new();
        let mut last = None;
        let mut len = 0;
        for id in ids {
            if last.is_some_and(|last| id <= last) {
                strays.push(id);
                continue;
            }
            last = Some(id);
            len += 1;
            block.push(id);
            if block.len() == BLOCK_IDS {
                packer.push_sorted(&block);
                block.clear();
            }
        }
        packer.push_sorted(&block);

        let mut leaves = packer.take_leaves();
        leaves.shrink_to_fit();
        let mut set = Self { firsts: leaves.iter().map(Leaf::first).collect(), leaves, len };
        if !strays.is_empty() {
            set.insert_batch(&strays);
        }
        set
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: u64) -> bool {
        self.leaf_of(id).is_some_and(|leaf| leaf.contains(id))
    }

    /// Those of `ids` that are not in the set, in their order. Memory accesses for different ids overlap.
    pub fn absent(&self, ids: &[u64]) -> Vec<u64> {
        /// The cache lines of this many ids fit into the nearest cache.
        const TOGETHER: usize = 16;
        let mut absent = Vec::with_capacity(ids.len());
        let mut leaves = Vec::with_capacity(TOGETHER);
        for ids in ids.chunks(TOGETHER) {
            leaves.clear();
            leaves.extend(ids.iter().map(|id| self.leaf_of(*id)));
            let heads = leaves.iter().flatten().fold(0, |sum, leaf| sum ^ leaf.touch_heads());
            let near = ids.iter().zip(&leaves);
            let blocks =
                near.fold(heads, |sum, (id, leaf)| sum ^ leaf.map_or(0, |leaf| leaf.touch_block(*id)));
            std::hint::black_box(blocks);
            let near = ids.iter().zip(&leaves);
            absent.extend(
                near.filter(|(id, leaf)| !leaf.is_some_and(|leaf| leaf.contains(**id))).map(|(id, _)| *id),
            );
        }
        absent
    }

    /// The leaf that would contain `id`.
    fn leaf_of(&self, id: u64) -> Option<&Leaf> {
        let after = self.firsts.partition_point(|first| *first <= id);
        after.checked_sub(1).map(|index| &self.leaves[index])
    }

    /// Inserts `ids` and returns those that were new, ascending.
    ///
    /// `ids` should be strictly ascending; otherwise they are sorted first. Larger batches cost less per id.
    pub fn insert_batch(&mut self, ids: &[u64]) -> Vec<u64> {
        let sorted;
        let ids = if ids.is_sorted_by(|a, b| a < b) {
            ids
        } else {
            let mut copy = ids.to_vec();
            copy.sort_unstable();
            copy.dedup();
            sorted = copy;
            &sorted
        };
        let fresh = self.absent(ids);
        self.add(&fresh);
        fresh
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the set has no ids.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of the set, without the allocator's overhead, bytes.
    pub fn memory_bytes(&self) -> usize {
        let index = self.firsts.capacity() * size_of::<u64>() + self.leaves.capacity() * size_of::<Leaf>();
        size_of::<Self>() + index + self.leaves.iter().map(Leaf::heap_bytes).sum::<usize>()
    }

    /// All ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.leaves.iter().flat_map(Leaf::iter)
    }

    /// Adds ascending ids that are not in the set.
    fn add(&mut self, fresh: &[u64]) {
        let mut packer = Packer::default();
        // Leaves into which a full one was split, each with the position that it follows.
        let mut grown: Vec<(usize, Leaf)> = Vec::new();
        let mut rest = fresh;
        while let Some(lowest) = rest.first() {
            let at = self.firsts.partition_point(|first| first <= lowest).saturating_sub(1);
            let mine = match self.firsts.get(at + 1) {
                Some(next) => rest.partition_point(|id| id < next),
                None => rest.len(),
            };
            let (added, later) = rest.split_at(mine);
            rest = later;

            let Some(slot) = self.leaves.get_mut(at) else {
                // Only an empty set has no leaf for an id.
                packer.push_sorted(added);
                grown.extend(packer.take_leaves().into_iter().map(|leaf| (0, leaf)));
                continue;
            };
            slot.add(added, &mut packer);
            let mut leaves = packer.take_leaves().into_iter();
            if let Some(leaf) = leaves.next() {
                *slot = leaf;
            }
            self.firsts[at] = slot.first();
            grown.extend(leaves.map(|leaf| (at, leaf)));
        }
        self.len += fresh.len();
        if !grown.is_empty() {
            self.splice(grown);
        }
    }

    /// Inserts each leaf after the position that it comes with (ascending), in one pass over the index.
    fn splice(&mut self, grown: Vec<(usize, Leaf)>) {
        let mut leaves = Vec::with_capacity(self.leaves.len() + grown.len());
        let mut grown = grown.into_iter().peekable();
        for (at, leaf) in std::mem::take(&mut self.leaves).into_iter().enumerate() {
            leaves.push(leaf);
            while let Some((_, leaf)) = grown.next_if(|(behind, _)| *behind == at) {
                leaves.push(leaf);
            }
        }
        leaves.extend(grown.map(|(_, leaf)| leaf));
        self.firsts = leaves.iter().map(Leaf::first).collect();
        self.leaves = leaves;
    }
}

impl fmt::Debug for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdSet").field("len", &self.len).field("leaves", &self.leaves.len()).finish()
    }
}

impl PartialEq for IdSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for IdSet {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::env::{Entropy, SeededEntropy};

    /// Ids with different distributions: spread over all numbers, close together, at the ends.
    fn id(entropy: &SeededEntropy) -> u64 {
        let random = entropy.next_u64();
        match random % 5 {
            0 => random >> 3,
            1 => 1_000_000 + entropy.next_u64() % 5_000,
            2 => u64::MAX - entropy.next_u64() % 300,
            3 => entropy.next_u64() % 300,
            _ => entropy.next_u64() & 0xffff_0000_ffff,
        }
    }

    #[test]
    fn behaves_as_a_sorted_set() {
        let entropy = SeededEntropy::new(7);
        for round in 0..20 {
            let mut model = BTreeSet::new();
            let mut set = IdSet::new();
            for _ in 0..60 {
                let size = entropy.next_u64() % if round % 2 == 0 { 5_000 } else { 40 };
                let batch: BTreeSet<u64> = (0..size).map(|_| id(&entropy)).collect();
                let batch: Vec<u64> = batch.into_iter().collect();
                let expected: Vec<u64> = batch.iter().copied().filter(|id| model.insert(*id)).collect();
                assert_eq!(set.insert_batch(&batch), expected);
                assert_eq!(set.len(), model.len());
            }
            assert!(set.iter().eq(model.iter().copied()));
            let probes: Vec<u64> = (0..5_000).map(|_| id(&entropy)).collect();
            let absent: Vec<u64> = probes.iter().copied().filter(|id| !model.contains(id)).collect();
            assert_eq!(set.absent(&probes), absent);
            assert!(probes.iter().all(|id| set.contains(*id) == model.contains(id)));
            assert!(model.iter().all(|id| set.contains(*id)));
            assert_eq!(IdSet::from_sorted(model.iter().copied()), set);
        }
    }

    #[test]
    fn the_ends_of_the_number_line_fit() {
        let mut set = IdSet::new();
        assert!(set.is_empty() && !set.contains(0) && !set.contains(u64::MAX));
        assert_eq!(set.insert_batch(&[]), Vec::<u64>::new());
        assert_eq!(set.insert_batch(&[0, u64::MAX]), [0, u64::MAX]);
        assert_eq!(set.insert_batch(&[0, 1, u64::MAX - 1, u64::MAX]), [1, u64::MAX - 1]);
        assert!(set.contains(0) && set.contains(u64::MAX) && !set.contains(2));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn an_unsorted_batch_is_sorted_first() {
        let mut set = IdSet::from_sorted([5, 9, 7, 5].into_iter());
        assert_eq!(set.iter().collect::<Vec<_>>(), [5, 7, 9]);
        assert_eq!(set.insert_batch(&[8, 1, 8, 5]), [1, 8]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 5, 7, 8, 9]);
    }

    #[test]
    fn random_ids_take_less_than_seven_bytes_in_any_order_of_arrival() {
        let entropy = SeededEntropy::new(1);
        let mut set = IdSet::new();
        for _ in 0..100 {
            let mut batch: Vec<u64> = (0..5_000).map(|_| entropy.next_u64() >> 3).collect();
            batch.sort_unstable();
            set.insert_batch(&batch);
        }
        let each = set.memory_bytes() as f64 / set.len() as f64;
        assert!(each < 7.0, "{each} bytes an id");

        let tight = IdSet::from_sorted(1..=500_000);
        let each = tight.memory_bytes() as f64 / tight.len() as f64;
        assert!(each < 2.0, "{each} bytes an id of a dense range");
    }
}
