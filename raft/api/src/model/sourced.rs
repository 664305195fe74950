//! The encoding of values that name a source.
//!
//! A value of the default source is encoded as releases encoded it that know no other: an optional last field, of which
//! `None` and `Some` are the bytes 0 and 1. With another source these bytes are 2 and 3, and the source comes last.

use serde::{Deserialize, Serialize};
use storage::dataset::SourceName;

/// An optional value, and a source.
#[derive(Serialize, Deserialize)]
pub(super) enum Sourced<T, S = SourceName> {
    None,
    Some(T),
    NoneOf(S),
    SomeOf(T, S),
}

impl<'a, T> Sourced<T, &'a SourceName> {
    pub(super) fn new(value: Option<T>, source: &'a SourceName) -> Self {
        match value {
            None if source.is_default() => Self::None,
            Some(value) if source.is_default() => Self::Some(value),
            None => Self::NoneOf(source),
            Some(value) => Self::SomeOf(value, source),
        }
    }
}

impl<T> Sourced<T> {
    pub(super) fn parts(self) -> (Option<T>, SourceName) {
        match self {
            Self::None => (None, SourceName::default()),
            Self::Some(value) => (Some(value), SourceName::default()),
            Self::NoneOf(source) => (None, source),
            Self::SomeOf(value, source) => (Some(value), source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_default_source_is_encoded_as_an_option() {
        let (twitter, other) = (SourceName::default(), "bluesky".parse().unwrap());
        for value in [None, Some(7_u64)] {
            let encoded = postcard::to_stdvec(&Sourced::new(value, &twitter)).unwrap();
            assert_eq!(encoded, postcard::to_stdvec(&value).unwrap());
            for source in [&twitter, &other] {
                let encoded = postcard::to_stdvec(&Sourced::new(value, source)).unwrap();
                let decoded: Sourced<u64> = postcard::from_bytes(&encoded).unwrap();
                assert_eq!(decoded.parts(), (value, source.clone()));
            }
        }
    }
}
