//! Writes one timeline from several.

use super::Written;
use super::new_file::{Committed, NewFile};
use super::sorter::{SORT_BYTES, Sorter};
use super::source::{Source, Survey};
use super::tweets::{Merged, Rank, Tweets};
use crate::dataset::Result;

/// Writes the contents of `sources`, newest first and each tweet once; of several versions, that of the last
/// source is kept. A sorted source is merged as it is read, the others are sorted in files next to the new
/// one.
pub(super) fn write(mut new: NewFile, sources: &[Source], surveys: &[Survey]) -> Result<Written> {
    let mut sorter = Sorter::new(new.temporary(), SORT_BYTES);
    let mut ordered: Vec<Box<dyn Tweets>> = Vec::new();
    let mut line = Vec::new();
    let mut read = 0;
    for ((source, survey), rank) in sources.iter().zip(surveys).zip(0 as Rank..) {
        read += survey.items;
        let mut tweets = source.tweets(rank)?;
        if survey.descending {
            ordered.push(tweets);
            continue;
        }
        while let Some((id, rank)) = tweets.next_into(&mut line)? {
            sorter.push(id, rank, &line)?;
        }
    }
    ordered.push(sorter.into_sorted()?);
    let mut merged = Merged::new(ordered)?;
    let mut items = 0;
    while merged.next_into(&mut line)?.is_some() {
        new.sink.write(&line)?;
        new.sink.write(b"\n")?;
        items += 1;
    }
    let Committed { bytes, aside } = new.commit()?;
    Ok(Written { items, bytes, duplicates: read - items, aside })
}
