//! The Merkle search tree of a repository (<https://atproto.com/specs/repository>), walked from the right.

use super::RepositoryError;
use super::cbor::{Decoder, Fault};
use super::cid::Cid;

/// Longest key: a collection of 317 bytes, a slash, a record key of 512.
const LONGEST_KEY: usize = 830;
/// Deepest tree. One of four billion records has 16 levels.
const DEEPEST: usize = 64;
/// Most memory of the nodes on the way to a record, bytes.
const MOST_MEMORY: usize = 8 << 20;

/// One level of the tree: subtrees between keys.
#[derive(Debug)]
pub(super) struct Node {
    left: Option<Cid>,
    entries: Vec<Entry>,
    /// Its size in memory, roughly.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    value: Cid,
    right: Option<Cid>,
}

impl Node {
    /// Reads a node; its keys share prefixes, so it can be larger in memory than it was.
    fn decode(block: &[u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new(block);
        let mut node = Self { left: None, entries: Vec::new(), bytes: 0 };
        for _ in 0..decoder.map()? {
            match decoder.text()? {
                "l" => node.left = decoder.link()?,
                "e" => {
                    for _ in 0..decoder.array()? {
                        node.add(&mut decoder)?;
                    }
                }
                _ => decoder.skip()?,
            }
        }
        Ok(node)
    }

    fn add(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Fault> {
        let (mut shared, mut suffix, mut value, mut right) = (0, &b""[..], None, None);
        for _ in 0..decoder.map()? {
            match decoder.text()? {
                "p" => shared = usize::try_from(decoder.unsigned()?).unwrap_or(usize::MAX),
                "k" => suffix = decoder.bytes()?,
                "v" => value = decoder.link()?,
                "t" => right = decoder.link()?,
                _ => decoder.skip()?,
            }
        }
        let before = self.entries.last().map_or("", |entry| &*entry.key);
        let prefix = before.as_bytes().get(..shared).ok_or("a key that shares more than there is")?;
        if prefix.len() + suffix.len() > LONGEST_KEY {
            return Err("a key that is too long");
        }
        let key = String::from_utf8([prefix, suffix].concat()).map_err(|_| "a key that is not UTF-8")?;
        if *key <= *before {
            return Err("keys that are not in order");
        }
        self.bytes += size_of::<Entry>() + key.len();
        if self.bytes > MOST_MEMORY {
            return Err("a node that is too large");
        }
        self.entries.push(Entry { key: key.into(), value: value.ok_or("a key without a record")?, right });
        Ok(())
    }

    /// The places in a node, from the left: its first subtree, the first entry, the subtree behind it, and so on.
    fn places(&self) -> usize {
        2 * self.entries.len() + 1
    }
}

/// The records of one collection, the highest key first.
#[derive(Debug)]
pub(super) struct Walk {
    /// All keys of the collection are from here on...
    from: String,
    /// ... and below this.
    below: String,
    path: Vec<Step>,
    /// The root, until it is read.
    root: Option<Cid>,
    bytes: usize,
    last: Option<Box<str>>,
}

#[derive(Debug)]
struct Step {
    node: Node,
    /// Places to the left that were not visited.
    left: usize,
}

impl Walk {
    pub(super) fn new(root: Cid, collection: &str) -> Self {
        // The character after the slash.
        let (from, below) = (format!("{collection}/"), format!("{collection}0"));
        Self { from, below, path: Vec::new(), root: Some(root), bytes: 0, last: None }
    }

    /// The next record: its key within the collection, and its CID. `load` returns the block of a CID.
    pub(super) fn next(
        &mut self,
        mut load: impl FnMut(&Cid) -> Result<Vec<u8>, RepositoryError>,
    ) -> Result<Option<(Box<str>, Cid)>, RepositoryError> {
        if let Some(root) = self.root.take() {
            self.descend(&load(&root)?)?;
        }
        while let Some(step) = self.path.last_mut() {
            let Some(place) = step.left.checked_sub(1) else {
                self.bytes -= step.node.bytes;
                self.path.pop();
                continue;
            };
            step.left = place;
            let (before, at) = (place / 2, &step.node.entries);
            if place % 2 == 1 {
                let Entry { key, value, .. } = &at[before];
                if **key < *self.from {
                    self.path.clear();
                    return Ok(None);
                }
                if **key < *self.below {
                    let (key, value) = (key.clone(), *value);
                    return self.found(key, value).map(Some);
                }
                continue;
            }
            let subtree = before.checked_sub(1).map_or(step.node.left, |entry| at[entry].right);
            let above = before.checked_sub(1).is_some_and(|entry| *at[entry].key >= *self.below);
            let under = at.get(before).is_some_and(|entry| *entry.key <= *self.from);
            if let Some(cid) = subtree.filter(|_| !above && !under) {
                self.descend(&load(&cid)?)?;
            }
        }
        Ok(None)
    }

    fn descend(&mut self, block: &[u8]) -> Result<(), RepositoryError> {
        let damaged = |what: Fault| RepositoryError::Damaged(format!("a node of its tree: {what}"));
        let node = Node::decode(block).map_err(damaged)?;
        self.bytes += node.bytes;
        if self.path.len() == DEEPEST || self.bytes > MOST_MEMORY {
            return Err(damaged("it is deeper or larger than a tree can be"));
        }
        let left = node.places();
        self.path.push(Step { node, left });
        Ok(())
    }

    /// The same subtree can be linked twice: without this, a few blocks could hold endless records.
    fn found(&mut self, key: Box<str>, value: Cid) -> Result<(Box<str>, Cid), RepositoryError> {
        if self.last.as_ref().is_some_and(|last| key >= *last) {
            return Err(RepositoryError::Damaged("records of its tree that are not in order".to_owned()));
        }
        let record = key[self.from.len()..].into();
        self.last = Some(key);
        Ok((record, value))
    }
}
