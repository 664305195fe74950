//! Names of sources.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The source whose files are at the root of a dataset, as those of the original program.
const ROOT: &str = "twitter";
/// Shortest name: the folders of accounts have one or two characters.
const SHORTEST: usize = 3;
const LONGEST: usize = 32;

/// The name of a source of accounts: 3 to 32 of `a` to `z`, `0` to `9` and `-`, a letter first. The default is `twitter`.
/// Files of all others are in a folder of that name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceName(Option<Arc<str>>);

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a source; use {SHORTEST} to {LONGEST} of a-z, 0-9 and '-', a letter first")]
pub struct InvalidSourceName(String);

impl SourceName {
    /// The default source.
    pub const DEFAULT: Self = Self(None);

    /// Whether this is the default source.
    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// The folder of its files in a dataset; `None` if they are at the root.
    pub fn folder(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == ROOT {
            return Ok(Self(None));
        }
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || !(SHORTEST..=LONGEST).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(InvalidSourceName(text.chars().take(2 * LONGEST).collect()));
        }
        Ok(Self(Some(text.into())))
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder().unwrap_or(ROOT))
    }
}

impl Serialize for SourceName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::SourceName;

    #[test]
    fn a_name_is_a_folder_that_no_account_and_no_draft_has() {
        let name: SourceName = "bluesky".parse().unwrap();
        assert_eq!((name.folder(), name.to_string().as_str()), (Some("bluesky"), "bluesky"));
        assert_eq!("twitter".parse(), Ok(SourceName::default()));
        assert_eq!(
            (SourceName::default().folder(), SourceName::default().to_string().as_str()),
            (None, "twitter")
        );
        for bad in ["", "ab", "7ab", ".tmp", "a/b", "Mastodon", "-ab", &"x".repeat(33)] {
            let error = bad.parse::<SourceName>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
