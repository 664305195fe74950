//! A run of neighbouring blocks of an [`IdSet`](super::IdSet), in two allocations.
//!
//! A block holds up to [`BLOCK_IDS`] ascending ids: the first in its head, each further one as its
//! distance from the first, in as many whole bytes as the block's largest distance needs. Unlike
//! gaps from one id to the next, distances can be searched by halves without unpacking the block.
//! Ten million random ids of 61 bits take six bytes each; neighbouring ids take one.

/// Most ids in a block. Smaller blocks spend more on heads, larger ones more on every insertion.
pub(super) const BLOCK_IDS: usize = 64;
/// Most blocks in a leaf. An insertion copies its leaf, so this bounds what one id can cost.
pub(super) const LEAF_BLOCKS: usize = 32;

/// Bytes that one distance is loaded from; a leaf ends with as many, so that any load stays inside.
const WORD: usize = 8;

/// Where a block lies and how it is packed.
#[derive(Clone, Copy)]
struct Head {
    first: u64,
    /// Offset of the first distance in the leaf's bytes.
    at: u32,
    /// Ids in the block, the first one included.
    count: u8,
    /// Bytes of one distance, 0 to 8.
    width: u8,
}

/// At most [`LEAF_BLOCKS`] blocks, none of them empty.
#[derive(Clone)]
pub(super) struct Leaf {
    heads: Box<[Head]>,
    packed: Box<[u8]>,
}

impl Leaf {
    /// The lowest id.
    pub(super) fn first(&self) -> u64 {
        self.heads.first().map_or(0, |head| head.first)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        let after = self.heads.partition_point(|head| head.first <= id);
        let Some(head) = after.checked_sub(1).map(|index| &self.heads[index]) else { return false };
        let distance = id - head.first;
        if distance == 0 {
            return true;
        }
        let (mut low, mut high) = (1, usize::from(head.count));
        while low < high {
            let middle = (low + high) / 2;
            let found = self.distance(head, middle);
            if found == distance {
                return true;
            }
            if found < distance {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        false
    }

    /// All ids, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.heads.iter().flat_map(move |head| self.block(head))
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.heads) + self.packed.len()
    }

    /// Adds `ids`, ascending and none of them in the leaf yet, by way of `packer`: untouched blocks
    /// are copied as they are. The packer must be empty and holds the result afterwards.
    pub(super) fn merge_into(&self, ids: &[u64], packer: &mut Packer) {
        let mut rest = ids;
        let mut merged = Vec::with_capacity(BLOCK_IDS + rest.len().min(BLOCK_IDS));
        for (index, head) in self.heads.iter().enumerate() {
            let mine = match self.heads.get(index + 1) {
                Some(next) => rest.partition_point(|id| *id < next.first),
                None => rest.len(),
            };
            let (added, later) = rest.split_at(mine);
            rest = later;
            if added.is_empty() {
                packer.copy_block(self, head);
            } else {
                merged.clear();
                merge(self.block(head), added, &mut merged);
                packer.push_sorted(&merged);
            }
        }
    }

    fn block<'a>(&'a self, head: &'a Head) -> impl Iterator<Item = u64> + 'a {
        let others = (1..usize::from(head.count)).map(move |n| head.first + self.distance(head, n));
        std::iter::once(head.first).chain(others)
    }

    /// Distance of the block's `n`-th id from its first; `n` is at least 1.
    #[inline]
    fn distance(&self, head: &Head, n: usize) -> u64 {
        let width = usize::from(head.width);
        let at = head.at as usize + (n - 1) * width;
        let mut word = [0; WORD];
        word.copy_from_slice(&self.packed[at..at + WORD]);
        // A width of 0 means that the first id is alone, and nothing is ever loaded.
        u64::from_le_bytes(word) & (u64::MAX >> (8 * (WORD - width)))
    }
}

fn merge(old: impl Iterator<Item = u64>, added: &[u64], merged: &mut Vec<u64>) {
    let mut added = added.iter().copied().peekable();
    for id in old {
        while let Some(smaller) = added.next_if(|new| *new < id) {
            merged.push(smaller);
        }
        merged.push(id);
    }
    merged.extend(added);
}

/// Packs ascending ids into leaves of exactly the size they need.
#[derive(Default)]
pub(super) struct Packer {
    heads: Vec<Head>,
    packed: Vec<u8>,
    full: Vec<Leaf>,
}

impl Packer {
    /// Adds ascending ids, all above those already there, as blocks of even size.
    pub(super) fn push_sorted(&mut self, ids: &[u64]) {
        let blocks = ids.len().div_ceil(BLOCK_IDS);
        let mut rest = ids;
        for left in (1..=blocks).rev() {
            let (block, later) = rest.split_at(rest.len().div_ceil(left));
            rest = later;
            self.push_block(block);
        }
    }

    /// The leaves, ascending; the packer is empty afterwards.
    pub(super) fn take_leaves(&mut self) -> Vec<Leaf> {
        let left = self.heads.len();
        if left > LEAF_BLOCKS {
            self.cut_leaf(left / 2);
        }
        if !self.heads.is_empty() {
            self.cut_leaf(self.heads.len());
        }
        std::mem::take(&mut self.full)
    }

    fn push_block(&mut self, ids: &[u64]) {
        let ([first, .., last] | [first @ last]) = ids else { return };
        let width = (64 - (last - first).leading_zeros()).div_ceil(8) as usize;
        self.push_head(Head { first: *first, at: 0, count: ids.len() as u8, width: width as u8 });
        for id in &ids[1..] {
            self.packed.extend_from_slice(&(id - first).to_le_bytes()[..width]);
        }
    }

    fn copy_block(&mut self, leaf: &Leaf, head: &Head) {
        self.push_head(*head);
        let at = head.at as usize;
        let bytes = usize::from(head.width) * (usize::from(head.count) - 1);
        self.packed.extend_from_slice(&leaf.packed[at..at + bytes]);
    }

    fn push_head(&mut self, head: Head) {
        // Cutting only at twice a leaf's size leaves enough for two halves at the end.
        if self.heads.len() == 2 * LEAF_BLOCKS {
            self.cut_leaf(LEAF_BLOCKS);
        }
        self.heads.push(Head { at: self.packed.len() as u32, ..head });
    }

    /// Makes a leaf of the first `blocks` blocks.
    fn cut_leaf(&mut self, blocks: usize) {
        let end = self.heads.get(blocks).map_or(self.packed.len(), |next| next.at as usize);
        let mut packed = Vec::with_capacity(end + WORD);
        packed.extend_from_slice(&self.packed[..end]);
        packed.extend_from_slice(&[0; WORD]);
        let heads = self.heads.drain(..blocks).collect();
        self.full.push(Leaf { heads, packed: packed.into_boxed_slice() });

        self.packed.drain(..end);
        for head in &mut self.heads {
            head.at -= end as u32;
        }
    }
}
