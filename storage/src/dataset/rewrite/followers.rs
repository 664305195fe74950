//! Writes one follower list from several.

use std::path::Path;

use super::Written;
use super::loss::Loss;
use super::new_file::{Committed, NewFile};
use super::source::Source;
use crate::dataset::duplicates::{DuplicateFilter, FILTER_BYTES, Positions};
use crate::dataset::list_encoder::ListEncoder;
use crate::dataset::{Codec, FileKey, FollowersFormat, Result};

/// The result of reading follower lists.
#[derive(Default)]
pub(super) struct Survey {
    /// Ids read.
    pub(super) items: u64,
    /// Positions of repeated ids, counted through all lists.
    repeated: Positions,
    /// Of the first list.
    pub(super) codec: Codec,
    /// Of the first list.
    pub(super) packed: bool,
    /// Of the first list.
    pub(super) loss: Loss,
}

impl Survey {
    /// Number of repeated ids.
    pub(super) fn duplicates(&self) -> u64 {
        self.repeated.count
    }
}

/// Reads lists as one. Memory is bounded; beyond a million ids, unnamed files are stored next to `path`.
pub(super) fn survey<'a>(path: &Path, lists: impl IntoIterator<Item = &'a Source>) -> Result<Survey> {
    let mut filter = DuplicateFilter::new(path, FILTER_BYTES);
    let mut survey = Survey::default();
    for (n, list) in lists.into_iter().enumerate() {
        let mut ids = list.ids()?;
        while let Some(id) = ids.next_id()? {
            if !filter.admit((&id).into(), survey.items)? {
                survey.repeated.insert(survey.items);
            }
            survey.items += 1;
        }
        if n == 0 {
            (survey.codec, survey.packed, survey.loss) = (ids.codec(), ids.packed(), ids.loss());
        }
    }
    filter.find_wrong(&mut survey.repeated)?;
    Ok(survey)
}

/// Writes the ids of the lists, one list after the other and each id once, using `survey`.
pub(super) fn write<'a>(
    mut new: NewFile,
    key: &FileKey,
    format: FollowersFormat,
    lists: impl IntoIterator<Item = &'a Source>,
    survey: &Survey,
) -> Result<Written> {
    let mut list = ListEncoder::new(key.clone(), format, new.sink.codec());
    let mut position = 0;
    for source in lists {
        let mut ids = source.ids()?;
        while let Some(id) = ids.next_id()? {
            if !survey.repeated.contains(position) {
                new.sink.write(list.encode(&id)?)?;
            }
            position += 1;
        }
    }
    let Committed { bytes, aside } = new.commit()?;
    Ok(Written { items: list.items, bytes, duplicates: survey.duplicates(), aside })
}
