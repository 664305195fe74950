//! Reading a timeline.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::{LineReader, decode};
use super::{Codec, Result};
use crate::durable::Naming;
use crate::ids::PostId;

/// Finds the id of a timeline's item in its JSON.
pub type ItemId = fn(&str) -> Option<PostId>;

/// Yields a timeline's lines, each one a JSON object; ends after the first error.
pub struct TimelineReader {
    lines: LineReader,
    codec: Codec,
    item_id: ItemId,
    ended: bool,
}

impl TimelineReader {
    /// Opens a timeline, compressed or plain.
    ///
    /// # Errors
    /// No such file, or one that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, post_id)
    }

    /// Opens a timeline whose ids are found by `item_id`.
    ///
    /// # Errors
    /// No such file, or one that cannot be read.
    pub fn open_with(path: &Path, item_id: ItemId) -> Result<Self> {
        Self::of_file(path, File::open(path).naming("open", path)?, item_id)
    }

    /// Reads an open file; `path` is for messages.
    pub(super) fn of_file(path: &Path, file: File, item_id: ItemId) -> Result<Self> {
        let decoded = decode(path, file)?;
        let lines = LineReader::new(path, decoded.bytes);
        Ok(Self { lines, codec: decoded.codec, item_id, ended: false })
    }

    /// How the file is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Bytes read, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// The next tweet: its id and its line; `None` at the end.
    ///
    /// # Errors
    /// A truncated file, or a line without an id.
    pub fn next_tweet(&mut self) -> Result<Option<(PostId, &str)>> {
        let Some(line) = self.lines.next_line()? else { return Ok(None) };
        match (self.item_id)(line) {
            Some(id) => Ok(Some((id, self.lines.last_line()))),
            None => Err(self.lines.unreadable("a line that is no JSON object with an id")),
        }
    }
}

impl Iterator for TimelineReader {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.lines.next_line().map(|line| line.map(str::to_owned));
        self.ended = !matches!(line, Ok(Some(_)));
        line.transpose()
    }
}

/// The id of a post: `id_str`, or `id` as a number or a string. A record of the AT Protocol has neither; its id is
/// `KEY+COLLECTION`, from its `uri`, `at://DID/COLLECTION/KEY`. `None` if there is none of them.
pub fn post_id(json: &str) -> Option<PostId> {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        id_str: Option<&'a RawValue>,
        #[serde(borrow, default)]
        uri: Option<&'a RawValue>,
    }
    let found: Identified<'_> = serde_json::from_str(json).ok()?;
    match (found.id_str, found.id) {
        (None, None) => found.uri.and_then(id_of_record),
        (by_text, id) => by_text.and_then(id_of).or_else(|| id.and_then(id_of)),
    }
}

fn id_of_record(uri: &RawValue) -> Option<PostId> {
    let uri: Cow<'_, str> = serde_json::from_str(uri.get()).ok()?;
    let mut path = uri.strip_prefix("at://")?.split('/');
    let (_did, collection, key) = (path.next()?, path.next()?, path.next()?);
    match path.next() {
        None if !key.is_empty() && !collection.is_empty() => PostId::parse(&format!("{key}+{collection}")),
        _ => None,
    }
}

fn id_of(value: &RawValue) -> Option<PostId> {
    let text = value.get();
    if !text.starts_with('"') {
        return text.parse().ok().map(PostId::Number);
    }
    let text: Cow<'_, str> = serde_json::from_str(text).ok()?;
    PostId::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::{PostId, post_id};

    fn number(json: &str) -> Option<u64> {
        match post_id(json)? {
            PostId::Number(number) => Some(number),
            PostId::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn ids_are_found_in_the_object_itself_alone() {
        assert_eq!(number(r#"{"id":5,"user":{"id":7,"id_str":"7"}}"#), Some(5));
        assert_eq!(number(r#"{"user":{"id":7},"id_str":"18446744073709551615","id":1}"#), Some(u64::MAX));
        assert_eq!(number(r#"{"id":"109","content":"<p>\"id\":3</p>"}"#), Some(109));
        assert_eq!(number(r#"{"id_str":null,"id":4}"#), Some(4));
        for none in
            ["", "{", "[]", "7", "{}", r#"{"id":-4}"#, r#"{"id":""}"#, r#"{"user":{"id":7}}"#, "{\"id\":5} x"]
        {
            assert_eq!(post_id(none), None, "{none}");
        }
        let record = r#"{"uri":"at://did:plc:abc/app.bsky.feed.post/3k2a","cid":"b","value":{"id":7}}"#;
        assert_eq!(post_id(record), Some(PostId::Text("3k2a+app.bsky.feed.post".into())));
        for none in [
            r#"{"uri":"https://a.b/c/d"}"#,
            r#"{"uri":"at://did:plc:abc/c"}"#,
            r#"{"uri":"at://d/c/k/x"}"#,
            r#"{"uri":"at://d/c/"}"#,
        ] {
            assert_eq!(post_id(none), None, "{none}");
        }
        let text = PostId::Text("01HV0GDSA2MVKM6Y8JWDPCZ9A7".into());
        assert_eq!(post_id(r#"{"id":"01HV0GDSA2MVKM6Y8JWDPCZ9A7"}"#), Some(text));
    }
}
