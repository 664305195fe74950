//! Writes one file of profiles from several.

use std::path::Path;

use super::Written;
use super::loss::Loss;
use super::new_file::{Committed, NewFile};
use super::source::Source;
use crate::dataset::duplicates::{DuplicateFilter, FILTER_BYTES, Positions};
use crate::dataset::{Codec, Result};

/// The result of reading files of profiles.
#[derive(Default)]
pub(super) struct Survey {
    /// Lines read.
    pub(super) items: u64,
    /// Positions of repeated lines, counted through all files.
    repeated: Positions,
    /// Of the first file.
    pub(super) codec: Codec,
    /// Of the first file.
    pub(super) loss: Loss,
}

impl Survey {
    /// Number of repeated lines.
    pub(super) fn duplicates(&self) -> u64 {
        self.repeated.count
    }
}

/// Reads files as one. Memory is bounded; beyond a million lines, unnamed files are stored next to `path`.
pub(super) fn survey<'a>(path: &Path, files: impl IntoIterator<Item = &'a Source>) -> Result<Survey> {
    let mut filter = DuplicateFilter::new(path, FILTER_BYTES);
    let (mut survey, mut line) = (Survey::default(), Vec::new());
    for (n, file) in files.into_iter().enumerate() {
        if n == 0 {
            let of_file = file.survey()?;
            (survey.codec, survey.loss) = (of_file.codec, of_file.loss);
        }
        let mut lines = file.tweets(0)?;
        while let Some((id, _)) = lines.next_into(&mut line)? {
            if !filter.admit((&id).into(), survey.items)? {
                survey.repeated.insert(survey.items);
            }
            survey.items += 1;
        }
    }
    filter.find_wrong(&mut survey.repeated)?;
    Ok(survey)
}

/// Writes the lines of the files, one file after the other and each line once, using `survey`.
pub(super) fn write<'a>(
    mut new: NewFile,
    files: impl IntoIterator<Item = &'a Source>,
    survey: &Survey,
) -> Result<Written> {
    let (mut position, mut line) = (0, Vec::new());
    for file in files {
        let mut lines = file.tweets(0)?;
        while lines.next_into(&mut line)?.is_some() {
            if !survey.repeated.contains(position) {
                new.sink.write(&line)?;
                new.sink.write(b"\n")?;
            }
            position += 1;
        }
    }
    let Committed { bytes, aside } = new.commit()?;
    let duplicates = survey.duplicates();
    Ok(Written { items: survey.items - duplicates, bytes, duplicates, aside })
}
