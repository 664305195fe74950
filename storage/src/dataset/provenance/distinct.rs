//! One record of each publication.

use std::collections::HashSet;

use super::Record;

/// Leaves out records that others repeat: a publication is recorded again if the node did not learn that the cluster knows of it, and
/// by each node that takes part in it. The record of the node that crawled the file is preferred. Takes some 20 bytes of memory for a
/// record.
#[derive(Debug, Default)]
pub struct Distinct {
    seen: HashSet<u64>,
    /// Those of nodes that only published: few, because for each a node died.
    short: Vec<Record>,
    repeated: u64,
}

impl Distinct {
    /// Takes the next record; returns it if it is the first of its publication. Some are returned at the [end](Self::rest).
    pub fn take(&mut self, record: Record) -> Option<Record> {
        if !record.is_full() {
            self.short.push(record);
            return None;
        }
        let is_new = self.seen.insert(record.identity());
        self.repeated += u64::from(!is_new);
        is_new.then_some(record)
    }

    /// The records that wait for better ones, after the last one was taken.
    pub fn rest(&mut self) -> Vec<Record> {
        let mut rest = std::mem::take(&mut self.short);
        let all = rest.len();
        rest.retain(|record| self.seen.insert(record.identity()));
        self.repeated += (all - rest.len()) as u64;
        rest
    }

    /// Number of records that were left out.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dataset::FileKey;
    use crate::dataset::provenance::Extent;

    #[test]
    fn of_each_publication_the_record_that_knows_more_is_taken_once() {
        let short = |lease: u64| Record {
            key: FileKey::timeline(&5.into()),
            crawl: Some(1),
            operation: 'T',
            begun: None,
            ended: None,
            published: Duration::from_secs(3),
            items: None,
            node: 2,
            lease,
            epoch: 0,
            extent: None,
        };
        let full = |lease: u64| Record { extent: Some(Extent::default()), node: 1, ..short(lease) };
        let mut distinct = Distinct::default();
        let all = [short(1), full(1), full(2), short(3), full(2), short(3), short(2)];
        let mut taken: Vec<Record> = all.into_iter().filter_map(|record| distinct.take(record)).collect();
        taken.extend(distinct.rest());
        assert_eq!(taken, [full(1), full(2), short(3)]);
        assert_eq!(distinct.repeated(), 4);
    }
}
