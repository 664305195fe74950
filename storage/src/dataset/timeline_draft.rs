//! Writes a timeline to a file.

use std::sync::Arc;

use super::duplicates::{DuplicateFilter, Positions};
use super::input::MAX_LINE_BYTES;
#[cfg(feature = "cassandra")]
use super::members::Member;
use super::published::{Published, PublishedFiles, set_aside};
use super::sink::Sink;
use super::{
    Appended, Codec, DatasetError, FileKey, Finished, ItemId, Result, SavePoint, TimelineDraft,
    TimelineReader,
};
use crate::ids::PostId;

/// What a timeline's draft needs to know of its dataset.
#[derive(Clone)]
pub(super) struct DraftFiles {
    pub(super) published: Arc<dyn PublishedFiles>,
    pub(super) item_id: ItemId,
}

/// A [`TimelineDraft`] on a file.
pub(super) struct FileTimelineDraft {
    key: FileKey,
    files: DraftFiles,
    sink: Sink,
    items: u64,
    /// Id of the last tweet: all further ones must be older.
    last: Option<PostId>,
    /// Memory for the ids of an unsorted timeline.
    filter_bytes: usize,
}

impl FileTimelineDraft {
    pub(super) fn new(key: FileKey, files: DraftFiles, sink: Sink, filter_bytes: usize) -> Self {
        Self { key, files, sink, items: 0, last: None, filter_bytes }
    }

    /// A draft whose beginning is in `sink` already; reads it.
    pub(super) fn resumed(key: FileKey, files: DraftFiles, sink: Sink, filter_bytes: usize) -> Result<Self> {
        let mut draft = Self::new(key, files, sink, filter_bytes);
        let mut written = TimelineReader::open_with(draft.sink.path(), draft.files.item_id)?;
        while let Some((id, _)) = written.next_tweet()? {
            draft.items += 1;
            draft.last = Some(id);
        }
        Ok(draft)
    }

    /// Where its members begin and end.
    #[cfg(feature = "cassandra")]
    pub(super) fn members(&self) -> &[Member] {
        self.sink.members()
    }

    fn write_line(&mut self, id: &PostId, json: &str) -> Result<()> {
        if json.len() >= MAX_LINE_BYTES {
            let (key, bytes) = (self.key.clone(), json.len());
            return Err(DatasetError::ItemTooLarge { key, bytes, limit: MAX_LINE_BYTES });
        }
        self.sink.item(id)?;
        // In a JSON text, only white space between tokens can be a raw line break (RFC 8259).
        let is_break = |c: char| c == '\n' || c == '\r';
        if json.as_bytes().contains(&b'\n') || json.as_bytes().contains(&b'\r') {
            for piece in json.split(is_break) {
                self.sink.write(piece.as_bytes())?;
            }
        } else {
            self.sink.write(json.as_bytes())?;
        }
        self.sink.write(b"\n")?;
        self.items += 1;
        Ok(())
    }

    /// Appends `old`, which is sound. If it can simply follow, compressed bytes are copied as they are:
    /// compression is three quarters of the cost of writing a timeline.
    fn append(&mut self, old: &Published, survey: &Survey) -> Result<u64> {
        let follows =
            self.last.as_ref().is_none_or(|last| survey.first.as_ref().is_none_or(|first| first < last));
        if survey.descending && follows && survey.codec == self.sink.codec() && survey.codec.is_compressed() {
            self.sink.append_encoded(&mut old.reader()?, old.version.members())?;
            self.items += survey.items;
            self.last = survey.last.clone().or(self.last.take());
            return Ok(survey.items);
        }
        match survey.descending {
            true => self.append_older(self.reader(old)?),
            false => self.append_unordered(old),
        }
    }

    /// Reads `old` from its start.
    fn reader(&self, old: &Published) -> Result<TimelineReader> {
        TimelineReader::of_file(&old.path, old.reader()?, self.files.item_id)
    }

    fn append_older(&mut self, mut old: TimelineReader) -> Result<u64> {
        let before = self.items;
        while let Some((id, line)) = old.next_tweet()? {
            if self.last.as_ref().is_none_or(|last| id < *last) {
                self.write_line(&id, line)?;
                self.last = Some(id);
            }
        }
        Ok(self.items - before)
    }

    /// Appends a timeline with repeated or unsorted tweets, as a killed worker of the original program left it: each
    /// tweet once, in the order found. Reads it twice, because its ids need not fit into memory.
    fn append_unordered(&mut self, old: &Published) -> Result<u64> {
        self.sink.end_member()?;
        let repeated = self.repeated(self.reader(old)?)?;
        let before = self.items;
        let mut old = self.reader(old)?;
        let mut place = before;
        while let Some((id, line)) = old.next_tweet()? {
            if !repeated.contains(place) {
                self.write_line(&id, line)?;
                self.last = Some(self.last.take().map_or(id.clone(), |last| last.min(id)));
            }
            place += 1;
        }
        Ok(self.items - before)
    }

    /// Positions of tweets in `old` that occur earlier in it, or in the draft, whose own tweets come first.
    fn repeated(&self, mut old: TimelineReader) -> Result<Positions> {
        let mut filter = DuplicateFilter::new(self.sink.path(), self.filter_bytes);
        let mut new = TimelineReader::open_with(self.sink.path(), self.files.item_id)?;
        let mut place = 0;
        while let Some((id, _)) = new.next_tweet()? {
            filter.admit((&id).into(), place)?;
            place += 1;
        }
        let mut repeated = Positions::default();
        while let Some((id, _)) = old.next_tweet()? {
            if !filter.admit((&id).into(), place)? {
                repeated.insert(place);
            }
            place += 1;
        }
        filter.find_wrong(&mut repeated)?;
        Ok(repeated)
    }
}

impl TimelineDraft for FileTimelineDraft {
    fn push(&mut self, id: &PostId, json: &str) -> Result<bool> {
        if self.last.as_ref().is_some_and(|last| id >= last) {
            return Ok(false);
        }
        self.write_line(id, json)?;
        self.last = Some(id.clone());
        Ok(true)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        let Some(old) = self.files.published.open(&self.key)? else { return Ok(Appended::default()) };
        match self.reader(&old).and_then(survey) {
            Ok(survey) => Ok(Appended { items: self.append(&old, &survey)?, set_aside: None }),
            Err(unreadable @ DatasetError::Unreadable { .. }) => {
                let set_aside = set_aside(&*self.files.published, &self.key, &old, unreadable)?;
                Ok(Appended { items: 0, set_aside: Some(set_aside) })
            }
            Err(other) => Err(other),
        }
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        Ok(SavePoint { token: self.sink.sync()?, items: self.items })
    }

    fn items(&self) -> u64 {
        self.items
    }

    fn finish(mut self: Box<Self>) -> Result<Finished> {
        if self.items == 0 {
            self.sink.remove()?;
            return Ok(Finished { items: 0, bytes: 0 });
        }
        Ok(Finished { items: self.items, bytes: self.sink.sync()? })
    }
}

/// The result of reading a whole timeline.
struct Survey {
    items: u64,
    first: Option<PostId>,
    last: Option<PostId>,
    descending: bool,
    codec: Codec,
}

fn survey(mut tweets: TimelineReader) -> Result<Survey> {
    let codec = tweets.codec();
    let mut survey = Survey { items: 0, first: None, last: None, descending: true, codec };
    while let Some((id, _)) = tweets.next_tweet()? {
        survey.descending &= survey.last.as_ref().is_none_or(|last| id < *last);
        survey.first.get_or_insert_with(|| id.clone());
        survey.last = Some(id);
        survey.items += 1;
    }
    Ok(survey)
}
