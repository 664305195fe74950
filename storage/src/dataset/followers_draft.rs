//! A follower list being written to a file.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::duplicates::{DuplicateFilter, Positions};
use super::followers_reader::FIRST_TEXT_BYTE;
use super::layout::Layout;
use super::sink::Sink;
use super::{
    DatasetError, FileKey, Finished, FollowersDraft, FollowersFormat, FollowersReader, Result, SavePoint,
};
use crate::ids::UserId;

/// A [`FollowersDraft`] on a file.
pub(super) struct FileFollowersDraft {
    list: List,
    filter: DuplicateFilter,
    /// Where the list is written anew if repeated ids are found at the end.
    rewritten: PathBuf,
    layout: Arc<Layout>,
    level: Option<u32>,
}

impl FileFollowersDraft {
    pub(super) fn new(
        key: FileKey,
        lease: u64,
        layout: &Arc<Layout>,
        sink: Sink,
        format: FollowersFormat,
        level: Option<u32>,
        filter_bytes: usize,
    ) -> Result<Self> {
        let rewritten = layout.rewritten(&key, lease)?;
        let filter = DuplicateFilter::new(sink.path(), filter_bytes);
        Ok(Self {
            list: List { key, sink, format, items: 0, line: Vec::new() },
            filter,
            rewritten,
            layout: Arc::clone(layout),
            level,
        })
    }

    /// Takes in what the draft already holds.
    pub(super) fn read_back(&mut self) -> Result<()> {
        let mut written = FollowersReader::open(self.list.sink.path())?;
        if written.packed() {
            self.list.format = FollowersFormat::Packed;
        }
        while let Some(id) = written.next().transpose()? {
            // A repeated id that only `finish` would find keeps its place until then.
            self.filter.admit(&id, self.list.items)?;
            self.list.items += 1;
        }
        if self.list.items > 0 && !written.packed() {
            self.list.format = FollowersFormat::Text;
        }
        Ok(())
    }
}

impl FollowersDraft for FileFollowersDraft {
    fn push(&mut self, follower: &UserId) -> Result<bool> {
        self.list.check(follower)?;
        let new = self.filter.admit(follower, self.list.items)?;
        if new {
            self.list.write(follower)?;
        }
        Ok(new)
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        Ok(SavePoint { bytes: self.list.sink.sync()?, items: self.list.items })
    }

    fn items(&self) -> u64 {
        self.list.items
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Self { mut list, filter, rewritten, layout, level } = *self;
        if list.items == 0 {
            list.sink.remove()?;
            return Ok(Finished { items: 0, bytes: 0 });
        }
        let wrong = filter.into_wrong()?;
        if wrong.count > 0 {
            list = list.without(&wrong, Sink::create(&rewritten, level, &layout.drafts_sync)?)?;
        }
        Ok(Finished { items: list.items, bytes: list.sink.sync()? })
    }
}

/// The ids as they are written.
struct List {
    key: FileKey,
    sink: Sink,
    format: FollowersFormat,
    items: u64,
    line: Vec<u8>,
}

impl List {
    /// Whether `follower` can be written; the first one decides how the list is.
    fn check(&mut self, follower: &UserId) -> Result<()> {
        let unfit = |why| {
            let (key, follower) = (self.key.clone(), follower.to_string());
            Err(DatasetError::UnfitFollower { key, follower, why })
        };
        match (self.format, follower) {
            (_, UserId::Number(0)) => return unfit("zero is no account id"),
            (FollowersFormat::Packed, UserId::Text(_)) if self.items > 0 => {
                return unfit("the list is packed, and has numbers alone");
            }
            (FollowersFormat::Packed, UserId::Number(number)) => {
                if self.items == 0 && (number >> 56) as u8 >= FIRST_TEXT_BYTE {
                    self.format = FollowersFormat::Text;
                }
            }
            (_, UserId::Text(text)) => {
                if self.items == 0 {
                    if text.as_bytes().first().is_some_and(|byte| *byte < FIRST_TEXT_BYTE) {
                        return unfit("at the head of a list it would look packed");
                    }
                    self.format = FollowersFormat::Text;
                }
            }
            (FollowersFormat::Text, UserId::Number(_)) => {}
        }
        Ok(())
    }

    fn write(&mut self, follower: &UserId) -> Result<()> {
        self.items += 1;
        match (self.format, follower) {
            (FollowersFormat::Packed, UserId::Number(number)) => self.sink.write(&number.to_be_bytes()),
            _ => {
                self.line.clear();
                // Writing to a Vec cannot fail.
                let _ = writeln!(self.line, "{follower}");
                self.sink.write(&self.line)
            }
        }
    }

    /// The same list without some places, written to `sink`, which then takes the name of the old one.
    fn without(mut self, wrong: &Positions, sink: Sink) -> Result<Self> {
        self.sink.end_member()?;
        let old = self.sink.path().to_owned();
        let mut list = Self { sink, items: 0, ..self };
        for (position, id) in (0..).zip(FollowersReader::open(&old)?) {
            let id = id?;
            if !wrong.contains(position) {
                list.write(&id)?;
            }
        }
        // Whole and durable before it takes the place of the draft that save points refer to.
        list.sink.sync()?;
        list.sink.rename(&old)?;
        Ok(list)
    }
}
