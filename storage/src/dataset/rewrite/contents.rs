//! The contents of the files from which another one is made.

use std::path::Path;

use super::form::Found;
use super::loss::Loss;
use super::new_file::NewFile;
use super::source::{Source, Survey};
use super::{Form, Written, followers, profiles, timelines};
use crate::dataset::{Codec, FileKey, FileKind, Result};

/// Files that were read completely once, and are read again to be written. The newest is the last.
pub(super) struct Contents {
    key: FileKey,
    sources: Vec<Source>,
    seen: Seen,
}

enum Seen {
    Timelines(Vec<Survey>),
    Followers(followers::Survey),
    Profiles(profiles::Survey),
}

impl Contents {
    /// Reads the files. What does not fit into memory is stored in unnamed files next to `path`.
    pub(super) fn read(key: &FileKey, sources: Vec<Source>, path: &Path) -> Result<Self> {
        let seen = match key.kind {
            FileKind::Timeline => Seen::Timelines(sources.iter().map(Source::survey).collect::<Result<_>>()?),
            FileKind::Followers => Seen::Followers(followers::survey(path, sources.iter().rev())?),
            FileKind::Profiles => Seen::Profiles(profiles::survey(path, sources.iter().rev())?),
        };
        Ok(Self { key: key.clone(), sources, seen })
    }

    /// Items read.
    pub(super) fn items(&self) -> u64 {
        match &self.seen {
            Seen::Timelines(surveys) => surveys.iter().map(|survey| survey.items).sum(),
            Seen::Followers(survey) => survey.items,
            Seen::Profiles(survey) => survey.items,
        }
    }

    /// The format of the newest file.
    pub(super) fn found(&self) -> Found {
        match &self.seen {
            Seen::Timelines(surveys) => {
                let codec = surveys.last().map_or(Codec::Plain, |newest| newest.codec);
                Found { codec, packed: false }
            }
            Seen::Followers(survey) => Found { codec: survey.codec, packed: survey.packed },
            Seen::Profiles(survey) => Found { codec: survey.codec, packed: false },
        }
    }

    /// Whether the items are in order and each is there once.
    pub(super) fn in_order(&self) -> bool {
        match &self.seen {
            Seen::Timelines(surveys) => surveys.iter().all(|survey| survey.descending),
            Seen::Followers(survey) => survey.duplicates() == 0,
            Seen::Profiles(survey) => survey.duplicates() == 0,
        }
    }

    /// The unreadable part of the newest file.
    pub(super) fn loss(&self) -> Loss {
        match &self.seen {
            Seen::Timelines(surveys) => surveys.last().map(|newest| newest.loss).unwrap_or_default(),
            Seen::Followers(survey) => survey.loss,
            Seen::Profiles(survey) => survey.loss,
        }
    }

    /// Writes the items, in order and each once.
    pub(super) fn write(&self, new: NewFile, form: Form) -> Result<Written> {
        match &self.seen {
            Seen::Timelines(surveys) => timelines::write(new, &self.sources, surveys),
            Seen::Followers(survey) => {
                let newest_first = self.sources.iter().rev();
                followers::write(new, &self.key, form.ids(self.found()), newest_first, survey)
            }
            Seen::Profiles(survey) => profiles::write(new, self.sources.iter().rev(), survey),
        }
    }
}
