//! Operations on accounts.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// One kind of job. The order is the order in which one account's jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// `T`: download the timeline.
    Timeline,
    /// `U`: prepend newer tweets to the saved timeline.
    Update,
    /// `F`: download the followers.
    Followers,
    /// `A`: look up the followers and keep those that the follow rule admits.
    Analysis,
}

impl Operation {
    /// All operations, in the order in which one account's jobs run.
    pub const ALL: [Self; 4] = [Self::Timeline, Self::Update, Self::Followers, Self::Analysis];

    /// Position in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The original's letter.
    pub fn letter(self) -> char {
        match self {
            Self::Timeline => 'T',
            Self::Update => 'U',
            Self::Followers => 'F',
            Self::Analysis => 'A',
        }
    }

    /// The name used in counters and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeline => "timeline",
            Self::Update => "update",
            Self::Followers => "followers",
            Self::Analysis => "analysis",
        }
    }

    /// The operation whose file this one reads: A reads what F wrote, U what T wrote.
    pub fn input(self) -> Option<Self> {
        match self {
            Self::Analysis => Some(Self::Followers),
            Self::Update => Some(Self::Timeline),
            Self::Timeline | Self::Followers => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations(#[serde(deserialize_with = "known_operations")] u8);

impl Operations {
    /// No operation.
    pub const NONE: Self = Self(0);

    /// A set with one operation.
    pub fn only(operation: Operation) -> Self {
        Self(1 << operation.index())
    }

    /// The set with an operation added.
    #[must_use]
    pub fn with(self, operation: Operation) -> Self {
        Self(self.0 | Self::only(operation).0)
    }

    /// The set with an operation removed.
    #[must_use]
    pub fn without(self, operation: Operation) -> Self {
        Self(self.0 & !Self::only(operation).0)
    }

    /// Whether the set has the operation.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & Self::only(operation).0 != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The operation that runs first.
    pub fn first(self) -> Option<Operation> {
        self.iter().next()
    }

    /// The operations in the order in which they run.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |&op| self.contains(op))
    }
}

/// A set from a peer that contains unknown operations would be neither empty nor have a job to run: its accounts
/// would wait forever.
fn known_operations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let set = u8::deserialize(deserializer)?;
    let all: Operations = Operation::ALL.into_iter().collect();
    match set & !all.0 {
        0 => Ok(set),
        _ => Err(D::Error::custom("a set of operations has one that is not known")),
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        operations.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|op| write!(f, "{}", op.letter()))
    }
}

/// A letter that is not an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no operation; the operations are T, F, A and U")]
pub struct UnknownOperation(pub char);

impl FromStr for Operations {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let by_letter = |c: char| Operation::ALL.into_iter().find(|op| op.letter() == c.to_ascii_uppercase());
        text.chars().map(|c| by_letter(c).ok_or(UnknownOperation(c))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_accounts_jobs_run_timeline_then_followers_then_analysis() {
        let all: Operations = "AFT".parse().unwrap();
        assert_eq!(all.to_string(), "TFA");
        assert_eq!(all.first(), Some(Operation::Timeline));
        assert_eq!("TX".parse::<Operations>(), Err(UnknownOperation('X')));
    }

    #[test]
    fn an_operation_is_in_a_set_once_however_often_it_is_added_or_removed() {
        let both: Operations = "TF".parse().unwrap();
        assert_eq!(both.with(Operation::Followers), both);
        let one = both.without(Operation::Timeline);
        assert_eq!(one, Operations::only(Operation::Followers));
        assert_eq!(one.without(Operation::Timeline), one);
        assert_eq!(one.with(Operation::Timeline), both);
    }

    #[test]
    fn a_set_with_an_unknown_operation_is_refused_when_decoded() {
        for set in 0..=u8::MAX {
            let decoded = postcard::from_bytes::<Operations>(&[set]);
            assert_eq!(decoded.is_ok(), set < 16, "{set}");
            assert!(decoded.map_or(true, |set| set.is_empty() == set.first().is_none()));
        }
    }
}
