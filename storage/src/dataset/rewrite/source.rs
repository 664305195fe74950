//! A source file of a rewrite.

use std::fs::{File, Metadata};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::lenient::{LenientFollowers, LenientTimeline};
use super::loss::Loss;
use super::tweets::{Rank, Strict, Tweets};
use crate::dataset::{Codec, FileKind, FollowersReader, ItemId, Result, TimelineReader, post_id, profile_id};
use crate::durable::Naming;
use crate::ids::UserId;

/// A file that is kept open during the work, so that it stays the same when its name is reused.
pub(super) struct Source {
    pub(super) path: PathBuf,
    file: File,
    pub(super) seen: Metadata,
    /// Whether damage is skipped and counted, or an error.
    lenient: bool,
    /// Finds the ids of its lines, if it has lines with ids.
    item_id: ItemId,
}

/// The result of reading a whole timeline.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) items: u64,
    /// Whether each tweet is older than the one before.
    pub(super) descending: bool,
    pub(super) codec: Codec,
    pub(super) loss: Loss,
}

impl Source {
    /// Opens a file in which damage is an error.
    pub(super) fn strict(path: &Path, kind: FileKind) -> Result<Self> {
        Self::open(path, kind, false)
    }

    /// Opens a file of which only the intact part is read.
    pub(super) fn lenient(path: &Path, kind: FileKind) -> Result<Self> {
        Self::open(path, kind, true)
    }

    fn open(path: &Path, kind: FileKind, lenient: bool) -> Result<Self> {
        let file = File::open(path).naming("open", path)?;
        let seen = file.metadata().naming("look at", path)?;
        if !seen.is_file() {
            return Ok(Err(io::Error::other("it is no regular file")).naming("read", path)?);
        }
        let item_id = if kind == FileKind::Profiles { profile_id } else { post_id };
        Ok(Self { path: path.to_owned(), file, seen, lenient, item_id })
    }

    /// The file from its start. Only one reader may be active at a time.
    fn rewound(&self) -> Result<File> {
        let mut file = self.file.try_clone().naming("read", &self.path)?;
        file.rewind().naming("read", &self.path)?;
        Ok(file)
    }

    /// The tweets of a timeline, or the lines of a file of profiles.
    pub(super) fn tweets(&self, rank: Rank) -> Result<Box<dyn Tweets>> {
        let file = self.rewound()?;
        Ok(if self.lenient {
            Box::new(LenientTimeline::new(&self.path, file, self.item_id)?)
        } else {
            Box::new(Strict { reader: TimelineReader::of_file(&self.path, file, self.item_id)?, rank })
        })
    }

    /// Reads a timeline through.
    pub(super) fn survey(&self) -> Result<Survey> {
        let file = self.rewound()?;
        if self.lenient {
            let mut tweets = LenientTimeline::new(&self.path, file, self.item_id)?;
            let survey = Survey::of(&mut tweets)?;
            return Ok(Survey { codec: tweets.codec(), loss: tweets.loss(), ..survey });
        }
        let reader = TimelineReader::of_file(&self.path, file, self.item_id)?;
        let codec = reader.codec();
        Ok(Survey { codec, ..Survey::of(&mut Strict { reader, rank: 0 })? })
    }

    /// The ids of a follower list.
    pub(super) fn ids(&self) -> Result<Ids> {
        let file = self.rewound()?;
        Ok(if self.lenient {
            Ids::Lenient(LenientFollowers::new(&self.path, file)?)
        } else {
            Ids::Strict(FollowersReader::of_file(&self.path, file)?)
        })
    }
}

impl Survey {
    fn of(tweets: &mut dyn Tweets) -> Result<Self> {
        let mut survey = Self { descending: true, ..Self::default() };
        let (mut line, mut last) = (Vec::new(), None);
        while let Some((id, _)) = tweets.next_into(&mut line)? {
            survey.descending &= last.as_ref().is_none_or(|last| id < *last);
            last = Some(id);
            survey.items += 1;
        }
        Ok(survey)
    }
}

/// The ids of a follower list.
pub(super) enum Ids {
    Strict(FollowersReader),
    Lenient(LenientFollowers),
}

impl Ids {
    /// The next id; `None` at the end.
    pub(super) fn next_id(&mut self) -> Result<Option<UserId>> {
        match self {
            Self::Strict(reader) => match reader.next().transpose()? {
                None => reader.check_end().map(|()| None),
                id => Ok(id),
            },
            Self::Lenient(reader) => reader.next_id(),
        }
    }

    pub(super) fn codec(&self) -> Codec {
        match self {
            Self::Strict(reader) => reader.codec(),
            Self::Lenient(reader) => reader.codec(),
        }
    }

    pub(super) fn packed(&self) -> bool {
        match self {
            Self::Strict(reader) => reader.packed(),
            Self::Lenient(reader) => reader.packed(),
        }
    }

    pub(super) fn loss(&self) -> Loss {
        match self {
            Self::Strict(_) => Loss::default(),
            Self::Lenient(reader) => reader.loss(),
        }
    }
}
