//! A run of neighbouring blocks of an [`IdSet`](super::IdSet), and the ids that wait to be packed into them.
//!
//! A block holds up to [`BLOCK_IDS`] ascending ids: the first in its head, each further one as its distance
//! from the first, in as many whole bytes as the block's largest distance needs. Unlike gaps between
//! neighbours, distances allow a binary search without unpacking the block. Ten million random ids of 61 bits
//! take six bytes each; neighbouring ids take one.

/// Most ids in a block. Smaller blocks spend more on heads, larger ones more on every insertion.
pub(super) const BLOCK_IDS: usize = 64;
/// Most blocks in a leaf. Waiting ids are packed one leaf at a time, so this bounds the cost of one id.
pub(super) const LEAF_BLOCKS: usize = 32;
/// Most ids that wait in a leaf. A leaf is rewritten once for this many random ids, not once for each: in a set of
/// ten million, that is the difference between 0.4 and 1.2 million insertions a second.
const LATE_IDS: usize = 64;

/// Bytes loaded for one distance; a leaf ends with this many, so that every load stays inside.
const WORD: usize = 8;

/// Position and packing of a block.
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

/// At most [`LEAF_BLOCKS`] blocks, none of them empty, and the ids added since they were packed.
#[derive(Clone)]
pub(super) struct Leaf {
    heads: Box<[Head]>,
    packed: Box<[u8]>,
    /// Ascending, none of them in a block, at most [`LATE_IDS`].
    late: Vec<u64>,
}

impl Leaf {
    /// The lowest id.
    pub(super) fn first(&self) -> u64 {
        let packed = self.heads.first().map(|head| head.first);
        packed.into_iter().chain(self.late.first().copied()).min().unwrap_or(0)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.is_packed(id) || self.late.binary_search(&id).is_ok()
    }

    /// Loads the cache lines that [`Self::contains`] reads first. A caller that does this for many ids, then
    /// [`Self::touch_block`] for all of them, waits for memory twice, instead of several times per id.
    pub(super) fn touch_heads(&self) -> u64 {
        let quarter = self.heads.len() / 4;
        let first = |head: usize| self.heads.get(head).map_or(0, |head| head.first);
        let late = self.late.first().copied().unwrap_or(0);
        first(quarter) ^ first(2 * quarter) ^ first(3 * quarter) ^ late
    }

    /// The same for the block that would contain `id`.
    pub(super) fn touch_block(&self, id: u64) -> u64 {
        let Some(head) = self.head_of(id) else { return 0 };
        let quarter = usize::from(head.width) * usize::from(head.count) / 4;
        let byte = |at: usize| u64::from(self.packed.get(head.at as usize + at).copied().unwrap_or(0));
        byte(0) ^ byte(quarter) ^ byte(2 * quarter)
    }

    fn head_of(&self, id: u64) -> Option<&Head> {
        let after = self.heads.partition_point(|head| head.first <= id);
        after.checked_sub(1).map(|index| &self.heads[index])
    }

    fn is_packed(&self, id: u64) -> bool {
        let Some(head) = self.head_of(id) else { return false };
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
        let packed = self.heads.iter().flat_map(move |head| self.block(head));
        merged(packed, self.late.iter().copied())
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.heads) + self.packed.len() + self.late.capacity() * size_of::<u64>()
    }

    /// Adds `ids`, ascending and none of them in the leaf yet. They wait next to the blocks; once there are too many,
    /// everything is repacked by `packer`, which must be empty and then holds the replacement of the leaf.
    pub(super) fn add(&mut self, ids: &[u64], packer: &mut Packer) {
        if self.late.len() + ids.len() > LATE_IDS {
            let late: Vec<u64> = merged(self.late.iter().copied(), ids.iter().copied()).collect();
            return self.merge_into(&late, packer);
        }
        let room = (self.late.len() + ids.len()).next_multiple_of(LATE_IDS / 4);
        self.late.reserve_exact(room - self.late.len());
        for id in ids {
            let at = self.late.partition_point(|late| late < id);
            self.late.insert(at, *id);
        }
    }

    /// Unaffected blocks are copied as they are.
    fn merge_into(&self, ids: &[u64], packer: &mut Packer) {
        let mut rest = ids;
        let mut block = Vec::with_capacity(BLOCK_IDS + rest.len().min(BLOCK_IDS));
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
                block.clear();
                block.extend(merged(self.block(head), added.iter().copied()));
                packer.push_sorted(&block);
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

/// Merges two ascending sequences.
fn merged(a: impl Iterator<Item = u64>, b: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if y < x => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    })
}

/// Packs ascending ids into leaves of exactly the required size.
#[derive(Default)]
pub(super) struct Packer {
    heads: Vec<Head>,
    packed: Vec<u8>,
    full: Vec<Leaf>,
}

impl Packer {
    /// Adds ascending ids, all above the existing ones, as blocks of even size.
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

    /// Creates a leaf from the first `blocks` blocks.
    fn cut_leaf(&mut self, blocks: usize) {
        let end = self.heads.get(blocks).map_or(self.packed.len(), |next| next.at as usize);
        let mut packed = Vec::with_capacity(end + WORD);
        packed.extend_from_slice(&self.packed[..end]);
        packed.extend_from_slice(&[0; WORD]);
        let heads = self.heads.drain(..blocks).collect();
        self.full.push(Leaf { heads, packed: packed.into_boxed_slice(), late: Vec::new() });

        self.packed.drain(..end);
        for head in &mut self.heads {
            head.at -= end as u32;
        }
    }
}
