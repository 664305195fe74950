//! An opaque account id.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest text id accepted, in bytes.
pub const MAX_TEXT_ID: usize = 255;

/// The id of an account, opaque to everything but the source it came from.
///
/// Decimal ids (Twitter, Mastodon) are numbers and cost at most nine bytes in queues and sets; the
/// ids of other networks (`did:plc:...`, `id@host`) are text. A decimal text is always a
/// [`UserId::Number`], so that one account has one representation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UserId {
    /// A decimal id.
    Number(u64),
    /// Any other id: 1 to [`MAX_TEXT_ID`] bytes, no white space, no control characters, not `@` first.
    Text(#[serde(deserialize_with = "text_id")] Box<str>),
}

/// Why a text is not an account id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserId {
    /// Only white space.
    #[error("the id is empty")]
    Empty,
    /// More bytes than [`MAX_TEXT_ID`].
    #[error("the id has {0} bytes; at most {MAX_TEXT_ID} are allowed")]
    TooLong(usize),
    /// A number with a minus sign.
    #[error("{0:?} is negative; account ids are positive numbers")]
    Negative(String),
    /// A decimal number that exceeds 64 bits, or zero.
    #[error("{0:?} is no account id; decimal ids are between 1 and 18446744073709551615")]
    OutOfRange(String),
    /// White space, a control character, or an `@` in front.
    #[error("{0:?} has a character that account ids cannot have")]
    BadCharacter(String),
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidUserId::Empty);
        }
        if text.len() > MAX_TEXT_ID {
            return Err(InvalidUserId::TooLong(text.len()));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse::<u64>() {
                Ok(n) if n > 0 => Ok(Self::Number(n)),
                _ => Err(InvalidUserId::OutOfRange(text.to_owned())),
            };
        }
        if let Some(rest) = text.strip_prefix('-') {
            if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidUserId::Negative(text.to_owned()));
            }
        }
        // A slash or a NUL could leave the dataset's folder once an id becomes a file's name.
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == ',' || c == '/' || c == '\\';
        if text.starts_with('@') || text.starts_with('.') || text.contains(bad) {
            return Err(InvalidUserId::BadCharacter(text.to_owned()));
        }
        Ok(Self::Text(text.into()))
    }
}

/// A text from a file or a peer is checked like a user's: it becomes a file's name.
fn text_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(deserializer)?;
    match text.parse() {
        Ok(UserId::Text(text)) => Ok(text),
        Ok(UserId::Number(_)) => Err(D::Error::custom("a decimal id is a number, not a text")),
        Err(invalid) => Err(D::Error::custom(invalid)),
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

impl From<u64> for UserId {
    fn from(n: u64) -> Self {
        Self::Number(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_text_is_a_number_and_prints_as_it_came() {
        let id: UserId = "22013880".parse().unwrap();
        assert_eq!(id, UserId::Number(22_013_880));
        assert_eq!(id.to_string(), "22013880");
    }

    #[test]
    fn other_networks_ids_fit() {
        for text in ["did:plc:z72i7hdynmk6r22z27h6tvur", "109@mastodon.social"] {
            assert_eq!(text.parse::<UserId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_id_is_named() {
        assert_eq!("".parse::<UserId>(), Err(InvalidUserId::Empty));
        assert_eq!("-5".parse::<UserId>(), Err(InvalidUserId::Negative("-5".into())));
        assert_eq!("0".parse::<UserId>(), Err(InvalidUserId::OutOfRange("0".into())));
        let large = "18446744073709551616";
        assert_eq!(large.parse::<UserId>(), Err(InvalidUserId::OutOfRange(large.into())));
        for bad in ["a b", "../etc/passwd", "@name", "a\u{0}"] {
            assert!(matches!(bad.parse::<UserId>(), Err(InvalidUserId::BadCharacter(_))), "{bad:?}");
        }
        assert!(matches!("x".repeat(300).parse::<UserId>(), Err(InvalidUserId::TooLong(300))));
    }

    #[test]
    fn a_text_that_is_no_id_is_refused_when_decoded() {
        let good: UserId = "id@host".parse().unwrap();
        let bytes = postcard::to_stdvec(&good).unwrap();
        assert_eq!(postcard::from_bytes::<UserId>(&bytes).unwrap(), good);
        for bad in ["../../etc/passwd", "123", ""] {
            let bytes = postcard::to_stdvec(&UserId::Text(bad.into())).unwrap();
            assert!(postcard::from_bytes::<UserId>(&bytes).is_err(), "{bad:?}");
        }
    }
}
