//! What a node wants.

use storage::dataset::SourceName;

use crate::model::{Operation, SourceWants, Wants};

/// How many jobs a node can take, by source and operation, and in total.
pub struct Demand {
    wants: Wants,
    others: Vec<SourceWants>,
}

/// Of the default source alone.
impl From<Wants> for Demand {
    fn from(wants: Wants) -> Self {
        Self::new(wants, Vec::new())
    }
}

impl Demand {
    /// What a report wants.
    pub fn new(wants: Wants, others: Vec<SourceWants>) -> Self {
        Self { wants, others }
    }

    /// What is wanted of a source.
    pub(super) fn of(&self, source: &SourceName) -> Wants {
        if source.is_default() {
            return self.wants;
        }
        let other = self.others.iter().find(|other| other.source == *source);
        other.map_or(Wants::NONE, |other| Wants { total: self.wants.total, each: other.each })
    }

    /// Counts one granted job of an operation that is wanted.
    pub(super) fn take(&mut self, source: &SourceName, operation: Operation) {
        if source.is_default() {
            return self.wants.take(operation);
        }
        let Some(other) = self.others.iter_mut().find(|other| other.source == *source) else { return };
        let mut wants = Wants { total: self.wants.total, each: other.each };
        wants.take(operation);
        (self.wants.total, other.each) = (wants.total, wants.each);
    }
}
