//! Writes profiles to a file.

use std::sync::Arc;

use super::input::MAX_LINE_BYTES;
#[cfg(feature = "cassandra")]
use super::members::Member;
use super::published::{Published, PublishedFiles, set_aside};
use super::sink::Sink;
use super::{
    Appended, Codec, DatasetError, FileKey, Finished, ProfilesDraft, Result, SavePoint, TimelineReader,
    open_profiles, profiles,
};

/// A [`ProfilesDraft`] on a file.
pub(super) struct FileProfilesDraft {
    key: FileKey,
    published: Arc<dyn PublishedFiles>,
    sink: Sink,
    items: u64,
}

impl FileProfilesDraft {
    pub(super) fn new(key: FileKey, published: Arc<dyn PublishedFiles>, sink: Sink) -> Self {
        Self { key, published, sink, items: 0 }
    }

    /// A draft whose beginning is in `sink` already; reads it.
    pub(super) fn resumed(key: FileKey, published: Arc<dyn PublishedFiles>, sink: Sink) -> Result<Self> {
        let (_, items) = survey(open_profiles(sink.path())?)?;
        Ok(Self { items, ..Self::new(key, published, sink) })
    }

    /// Where its members begin and end.
    #[cfg(feature = "cassandra")]
    pub(super) fn members(&self) -> &[Member] {
        self.sink.members()
    }

    fn append(&mut self, old: &Published, codec: Codec, items: u64) -> Result<()> {
        if codec == self.sink.codec() && codec.is_compressed() {
            self.sink.append_encoded(&mut old.reader()?, old.version.members())?;
            self.items += items;
            return Ok(());
        }
        let mut lines = profiles::of_file(&old.path, old.reader()?)?;
        while let Some((_, line)) = lines.next_tweet()? {
            self.sink.item(&self.items)?;
            self.sink.write(line.as_bytes())?;
            self.sink.write(b"\n")?;
            self.items += 1;
        }
        Ok(())
    }
}

impl ProfilesDraft for FileProfilesDraft {
    fn push(&mut self, line: &str) -> Result<()> {
        if line.len() >= MAX_LINE_BYTES {
            let (key, bytes) = (self.key.clone(), line.len());
            return Err(DatasetError::ItemTooLarge { key, bytes, limit: MAX_LINE_BYTES });
        }
        // They have no ids of their own.
        self.sink.item(&self.items)?;
        // In a JSON text, only white space between tokens can be a raw line break (RFC 8259).
        for piece in line.split(['\n', '\r']) {
            self.sink.write(piece.as_bytes())?;
        }
        self.sink.write(b"\n")?;
        self.items += 1;
        Ok(())
    }

    fn append_existing(&mut self) -> Result<Appended> {
        let Some(old) = self.published.open(&self.key)? else { return Ok(Appended::default()) };
        match profiles::of_file(&old.path, old.reader()?).and_then(survey) {
            Ok((codec, items)) => {
                self.append(&old, codec, items)?;
                Ok(Appended { items, set_aside: None })
            }
            Err(unreadable @ DatasetError::Unreadable { .. }) => {
                let set_aside = set_aside(&*self.published, &self.key, &old, unreadable)?;
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

/// Reads a file through; how it is compressed, and its lines.
fn survey(mut lines: TimelineReader) -> Result<(Codec, u64)> {
    let mut items = 0;
    while lines.next_tweet()?.is_some() {
        items += 1;
    }
    Ok((lines.codec(), items))
}
