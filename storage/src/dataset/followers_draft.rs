//! Writes a follower list to a file.

use std::path::PathBuf;
use std::sync::Arc;

use super::duplicates::{DuplicateFilter, Positions};
use super::layout::Layout;
use super::list_encoder::ListEncoder;
use super::members::Member;
use super::sink::Sink;
use super::{
    Compression, FileKey, Finished, FollowersDraft, FollowersFormat, FollowersReader, Result, SavePoint,
};
use crate::ids::UserId;

/// A [`FollowersDraft`] on a file.
pub(super) struct FileFollowersDraft {
    list: List,
    filter: DuplicateFilter,
    /// Where the list is rewritten if repeated ids are found at the end.
    rewritten: PathBuf,
    layout: Arc<Layout>,
    compression: Compression,
}

/// A finished draft.
pub(super) struct Completed {
    pub(super) finished: Finished,
    /// Whether it was rewritten, without repeated ids.
    #[cfg_attr(not(any(feature = "cassandra", feature = "hdfs", feature = "s3")), allow(dead_code))]
    pub(super) rewritten: bool,
    /// Where its members begin and end, if they are listed.
    #[cfg_attr(not(feature = "cassandra"), allow(dead_code))]
    pub(super) members: Vec<Member>,
}

impl FileFollowersDraft {
    pub(super) fn new(
        key: FileKey,
        lease: u64,
        layout: &Arc<Layout>,
        sink: Sink,
        format: FollowersFormat,
        filter_bytes: usize,
    ) -> Result<Self> {
        let rewritten = layout.rewritten(&key, lease)?;
        let filter = DuplicateFilter::new(sink.path(), filter_bytes);
        let encoder = ListEncoder::new(key, format, sink.codec());
        let (layout, compression) = (Arc::clone(layout), sink.compression());
        Ok(Self { list: List { sink, encoder }, filter, rewritten, layout, compression })
    }

    /// Where its members begin and end.
    #[cfg(feature = "cassandra")]
    pub(super) fn members(&self) -> &[Member] {
        self.list.sink.members()
    }

    /// Finishes the draft.
    pub(super) fn complete(self) -> Result<Completed> {
        let Self { mut list, filter, rewritten, layout, compression } = self;
        if list.encoder.items == 0 {
            list.sink.remove()?;
            let (finished, members) = (Finished { items: 0, bytes: 0 }, Vec::new());
            return Ok(Completed { finished, rewritten: false, members });
        }
        let wrong = filter.into_wrong()?;
        if wrong.count > 0 {
            let sink = Sink::create(&rewritten, compression, &layout.drafts_sync)?;
            let sink = sink.with_syncs_of(&list.sink);
            list = list.without(&wrong, sink)?;
        }
        let finished = Finished { items: list.encoder.items, bytes: list.sink.sync()? };
        Ok(Completed { finished, rewritten: wrong.count > 0, members: list.sink.members().to_vec() })
    }

    /// Loads what the draft already contains.
    pub(super) fn read_back(&mut self) -> Result<()> {
        let mut written = FollowersReader::open(self.list.sink.path())?;
        if written.packed() {
            self.list.encoder.format = FollowersFormat::Packed;
        }
        while let Some(id) = written.next().transpose()? {
            // A repeated id that only `finish` would find stays until then.
            self.filter.admit((&id).into(), self.list.encoder.items)?;
            self.list.encoder.items += 1;
        }
        if self.list.encoder.items > 0 && !written.packed() {
            self.list.encoder.format = FollowersFormat::Text;
        }
        Ok(())
    }
}

impl FollowersDraft for FileFollowersDraft {
    fn push(&mut self, follower: &UserId) -> Result<bool> {
        self.list.encoder.check(follower)?;
        let new = self.filter.admit(follower.into(), self.list.encoder.items)?;
        if new {
            self.list.write(follower)?;
        }
        Ok(new)
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        Ok(SavePoint { token: self.list.sink.sync()?, items: self.list.encoder.items })
    }

    fn items(&self) -> u64 {
        self.list.encoder.items
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        Ok(self.complete()?.finished)
    }
}

/// The ids and their output.
struct List {
    sink: Sink,
    encoder: ListEncoder,
}

impl List {
    fn write(&mut self, follower: &UserId) -> Result<()> {
        self.sink.item(follower)?;
        self.sink.write(self.encoder.encode(follower)?)
    }

    /// The same list without some positions, written to `sink`, which then takes the name of the old one.
    fn without(mut self, wrong: &Positions, sink: Sink) -> Result<Self> {
        self.sink.end_member()?;
        let old = self.sink.path().to_owned();
        let mut list = Self { sink, encoder: self.encoder };
        list.encoder.items = 0;
        for (position, id) in (0..).zip(FollowersReader::open(&old)?) {
            let id = id?;
            if !wrong.contains(position) {
                list.write(&id)?;
            }
        }
        // Complete and durable before it replaces the draft that save points refer to.
        list.sink.sync()?;
        list.sink.rename(&old)?;
        Ok(list)
    }
}
