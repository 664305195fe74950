//! A record that the checkpoints write.

use std::ops::Deref;

/// A record of the state, and whether the next checkpoint has to write it. It is read by dereferencing and changed
/// through [`change`](Self::change) only, so that no change is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Saved<R> {
    record: R,
    changed: bool,
}

impl<R> Saved<R> {
    /// A record that is not on disk yet.
    pub(super) fn new(record: R) -> Self {
        Self { record, changed: true }
    }

    /// A record as it is on disk.
    pub(super) fn loaded(record: R) -> Self {
        Self { record, changed: false }
    }

    /// The record, for a change.
    pub(super) fn change(&mut self) -> &mut R {
        self.changed = true;
        &mut self.record
    }

    /// The record, if it has changed since the last checkpoint.
    pub(super) fn take_changed(&mut self) -> Option<&R> {
        std::mem::take(&mut self.changed).then_some(&self.record)
    }
}

impl<R> Deref for Saved<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_once_after_each_change() {
        let mut record = Saved::loaded(1);
        assert_eq!((*record, record.take_changed()), (1, None));
        *record.change() += 1;
        assert_eq!(record.take_changed(), Some(&2));
        assert_eq!(record.take_changed(), None);
        assert_eq!(Saved::new(3).take_changed(), Some(&3));
    }
}
