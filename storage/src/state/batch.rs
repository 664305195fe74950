//! Atomic changes.

use std::collections::BTreeMap;

use super::{Result, check_sizes};

/// Puts and deletions that a store applies atomically. The last change of a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// `None` deletes.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.change(key.into(), Some(value.into()));
    }

    /// Removes a key, if it exists.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.change(key.into(), None);
    }

    /// Number of keys changed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The changes by ascending key; `None` is a deletion.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    pub(super) fn into_changes(self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.changes
    }

    pub(super) fn check_sizes(&self) -> Result<()> {
        self.iter().try_for_each(|(key, value)| check_sizes(key, value.unwrap_or_default()))
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let key_bytes = key.len();
        self.bytes += key_bytes + value.as_ref().map_or(0, Vec::len);
        if let Some(previous) = self.changes.insert(key, value) {
            self.bytes -= key_bytes + previous.map_or(0, |value| value.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_wins_and_counts() {
        let mut batch = WriteBatch::new();
        assert!(batch.is_empty());
        batch.put(*b"a", vec![0; 100]);
        batch.put(*b"b", *b"2");
        batch.put(*b"a", *b"1");
        batch.delete(*b"b");
        let changes: Vec<_> = batch.iter().collect();
        assert_eq!(changes, [(&b"a"[..], Some(&b"1"[..])), (b"b", None)]);
        assert_eq!((batch.len(), batch.bytes()), (2, 3));
    }
}
