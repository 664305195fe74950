//! The time range of matching tweets.

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::schema::CREATED_AT;

/// Finds the first and the last moment.
pub(super) struct Extent;

pub(super) struct SegmentExtent {
    created_at: Column<i64>,
    found: Option<(i64, i64)>,
}

fn wider(found: Option<(i64, i64)>, (first, last): (i64, i64)) -> Option<(i64, i64)> {
    Some(found.map_or((first, last), |found| (found.0.min(first), found.1.max(last))))
}

impl Collector for Extent {
    type Fruit = Option<(i64, i64)>;
    type Child = SegmentExtent;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<SegmentExtent> {
        Ok(SegmentExtent { created_at: segment.fast_fields().i64(CREATED_AT)?, found: None })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Self::Fruit>) -> tantivy::Result<Self::Fruit> {
        Ok(segments.into_iter().flatten().fold(None, wider))
    }
}

impl SegmentCollector for SegmentExtent {
    type Fruit = Option<(i64, i64)>;

    fn collect(&mut self, document: DocId, _: Score) {
        if let Some(moment) = self.created_at.first(document) {
            self.found = wider(self.found, (moment, moment));
        }
    }

    fn harvest(self) -> Self::Fruit {
        self.found
    }
}
