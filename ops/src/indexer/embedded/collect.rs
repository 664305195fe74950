//! Collects the results of an inspection, in one pass over the matching tweets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};

use super::schema::{CELL, CREATED_AT, HASHTAGS, ID};
use crate::indexer::inspection::{Buckets, Findings, MOST_CELLS, MOST_SAMPLES, MOST_TAGS};

/// Counts tweets, and finds the newest.
pub(super) struct Collect {
    pub(super) buckets: Option<Buckets>,
}

/// The time of a tweet, and its id: undated tweets are the oldest, and of the same time the larger id is
/// newer.
type Age = (Option<i64>, String);

/// The results of a segment.
#[derive(Default)]
pub(super) struct Counted {
    total: u64,
    over_time: BTreeMap<i64, u64>,
    hashtags: HashMap<String, u64>,
    placed: u64,
    cells: HashMap<String, u64>,
    newest: Vec<(Age, DocAddress)>,
}

pub(super) struct SegmentCollect {
    segment: SegmentOrdinal,
    buckets: Option<Buckets>,
    created_at: Column<i64>,
    ids: Terms,
    hashtags: Terms,
    cells: Terms,
    total: u64,
    placed: u64,
    over_time: BTreeMap<i64, u64>,
    /// The newest so far, the oldest of them on top. The order of ids within a segment is that of their ordinals.
    newest: BinaryHeap<Reverse<(Option<i64>, u64, DocId)>>,
}

/// A column of texts, and the number of occurrences by ordinal.
struct Terms {
    column: Option<StrColumn>,
    seen: HashMap<u64, u64>,
}

impl Terms {
    fn of(segment: &SegmentReader, field: &str) -> tantivy::Result<Self> {
        Ok(Self { column: segment.fast_fields().str(field)?, seen: HashMap::new() })
    }

    fn ordinals(&self, document: DocId) -> impl Iterator<Item = u64> + '_ {
        self.column.iter().flat_map(move |column| column.term_ords(document))
    }

    /// The number of terms in the document.
    fn count(&mut self, document: DocId) -> usize {
        let Some(column) = &self.column else { return 0 };
        let mut many = 0;
        for ordinal in column.term_ords(document) {
            *self.seen.entry(ordinal).or_default() += 1;
            many += 1;
        }
        many
    }

    fn text(&self, ordinal: u64) -> io::Result<String> {
        let mut text = String::new();
        if let Some(column) = &self.column {
            column.ord_to_str(ordinal, &mut text)?;
        }
        Ok(text)
    }

    fn counts(&self) -> io::Result<HashMap<String, u64>> {
        self.seen.iter().map(|(ordinal, count)| Ok((self.text(*ordinal)?, *count))).collect()
    }
}

impl Collector for Collect {
    type Fruit = (Findings, Vec<DocAddress>);
    type Child = SegmentCollect;

    fn for_segment(
        &self,
        segment: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<SegmentCollect> {
        Ok(SegmentCollect {
            segment,
            buckets: self.buckets,
            created_at: reader.fast_fields().i64(CREATED_AT)?,
            ids: Terms::of(reader, ID)?,
            hashtags: Terms::of(reader, HASHTAGS)?,
            cells: Terms::of(reader, CELL)?,
            total: 0,
            placed: 0,
            over_time: BTreeMap::new(),
            newest: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Counted>>) -> tantivy::Result<Self::Fruit> {
        let mut all = Counted::default();
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            all.placed += segment.placed;
            segment.over_time.into_iter().for_each(|(at, n)| *all.over_time.entry(at).or_default() += n);
            segment.hashtags.into_iter().for_each(|(tag, n)| *all.hashtags.entry(tag).or_default() += n);
            segment.cells.into_iter().for_each(|(cell, n)| *all.cells.entry(cell).or_default() += n);
            all.newest.extend(segment.newest);
        }
        all.newest.sort_unstable_by(|a, b| b.cmp(a));
        let findings = Findings {
            total: all.total,
            over_time: all.over_time,
            hashtags: most(all.hashtags, MOST_TAGS),
            placed: all.placed,
            cells: most(all.cells, MOST_CELLS),
            samples: Vec::new(),
        };
        Ok((findings, all.newest.into_iter().take(MOST_SAMPLES).map(|(_, address)| address).collect()))
    }
}

/// The most frequent ones, then by name.
fn most(counts: HashMap<String, u64>, how_many: usize) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(how_many);
    counts
}

impl SegmentCollector for SegmentCollect {
    type Fruit = tantivy::Result<Counted>;

    fn collect(&mut self, document: DocId, _: Score) {
        self.total += 1;
        let created_at = self.created_at.first(document);
        if let (Some(at), Some(buckets)) = (created_at, &self.buckets) {
            *self.over_time.entry(buckets.of(at)).or_default() += 1;
        }
        self.hashtags.count(document);
        self.placed += u64::from(self.cells.count(document) > 0);
        // Most tweets of a large index are older than the newest few: their ids are not read.
        let full = self.newest.len() >= MOST_SAMPLES;
        if full && self.newest.peek().is_some_and(|Reverse((oldest, ..))| created_at < *oldest) {
            return;
        }
        let id = self.ids.ordinals(document).next().unwrap_or(0);
        self.newest.push(Reverse((created_at, id, document)));
        if full {
            self.newest.pop();
        }
    }

    fn harvest(self) -> tantivy::Result<Counted> {
        let newest = self.newest.iter().map(|Reverse((created_at, id, document))| {
            let address = DocAddress::new(self.segment, *document);
            Ok(((*created_at, self.ids.text(*id)?), address))
        });
        Ok(Counted {
            newest: newest.collect::<io::Result<_>>()?,
            hashtags: self.hashtags.counts()?,
            cells: self.cells.counts()?,
            total: self.total,
            placed: self.placed,
            over_time: self.over_time,
        })
    }
}
