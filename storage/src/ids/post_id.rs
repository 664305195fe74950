//! An opaque post id.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text id of a post, in bytes.
pub const MAX_TEXT_POST_ID: usize = 255;

/// The id of a post within its account, opaque to everything but the source it came from. Larger is newer: numbers are
/// compared as such, texts by their bytes. The posts of one account have ids of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PostId {
    /// A decimal id (Twitter, Mastodon).
    Number(u64),
    /// Any other (a record key, a ULID): 1 to [`MAX_TEXT_POST_ID`] bytes, no control characters.
    Text(Box<str>),
}

impl PostId {
    /// Reads an id as networks spell it; `None` if it is none. A decimal text of at most 64 bits is a number, so that a
    /// post has one representation.
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self::Number);
        }
        let fits = text.len() <= MAX_TEXT_POST_ID && !text.contains(char::is_control);
        fits.then(|| Self::Text(text.into()))
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<u64> for PostId {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::PostId;

    #[test]
    fn decimal_texts_are_numbers_and_anything_else_is_compared_by_bytes() {
        assert_eq!(PostId::parse("109"), Some(PostId::Number(109)));
        assert!(PostId::parse("9") < PostId::parse("10"));
        let (older, newer) = ("app.bsky.feed.post/3jzfcijpj2z2a", "app.bsky.feed.post/3k2yihcrp6f2c");
        assert!(PostId::parse(older).unwrap() < PostId::parse(newer).unwrap());
        assert_eq!(PostId::parse(older).unwrap().to_string(), older);
        for none in ["", "18446744073709551616", "a\nb", &"x".repeat(256)] {
            assert_eq!(PostId::parse(none), None, "{none:?}");
        }
    }
}
