//! Errors in rules.

use std::fmt;

/// The position of an error in a rule, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character within the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is not a valid follow rule. Found at submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowRuleError {
    /// The rule is too long.
    #[error("the follow rule has {bytes} bytes; at most {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The rule is nested too deeply.
    #[error(
        "the follow rule is nested too deeply at {at}; split it with fewer parentheses and operators in a row"
    )]
    TooDeep {
        /// Where.
        at: Position,
    },
    /// No CEL expression.
    #[error(
        "the follow rule is no CEL expression: {at}: {what}; write it like user.lang == 'it' && user.statuses_count > 100"
    )]
    Syntax {
        /// Where.
        at: Position,
        /// What the parser expected.
        what: String,
    },
    /// An unknown name.
    #[error(
        "the follow rule names {name:?} at {at}, which is unknown; the profile is `user`, its fields are user.lang and the like"
    )]
    UnknownVariable {
        /// The name.
        name: String,
        /// Where.
        at: Position,
    },
    /// A function that rules do not have.
    #[error("the follow rule calls {name:?} at {at}; rules have the operators of CEL, the macros has, all, exists, \
        exists_one, map and filter, and the functions {}", super::check::FUNCTIONS.join(", "))]
    UnknownFunction {
        /// The name.
        name: String,
        /// Where.
        at: Position,
    },
    /// A feature of CEL that rules do not have.
    #[error("the follow rule has {what} at {at}, which rules cannot use")]
    Unsupported {
        /// What.
        what: &'static str,
        /// Where.
        at: Position,
    },
    /// An invalid pattern of `matches`.
    #[error("the follow rule has at {at} a pattern that cannot be used: {what}")]
    BadPattern {
        /// Where.
        at: Position,
        /// What is wrong with it.
        what: String,
    },
    /// A condition that is neither true nor false.
    #[error("the follow rule has at {at} a value of type {found} for a condition; compare it with something")]
    NotBoolean {
        /// Where.
        at: Position,
        /// The type.
        found: String,
    },
    /// The rule fails on an ordinary profile.
    #[error("the follow rule fails at {at} on an ordinary profile: {what}; check the types on both sides")]
    Fails {
        /// Where.
        at: Position,
        /// The message of the interpreter.
        what: String,
    },
    /// A name that the network's profiles do not have.
    #[error(
        "the follow rule needs user.{name} at {at}, which profiles of {network} do not have; there are user.{}, \
        and the network's own object as user.raw; test with has(user.{name}) what is there on some networks only",
        there.join(", user.")
    )]
    NotOfNetwork {
        /// The name.
        name: String,
        /// Where it is read first.
        at: Position,
        /// The kind of network.
        network: &'static str,
        /// The names that its profiles have.
        there: &'static [&'static str],
    },
    /// The parser failed in an unforeseen way.
    #[error("the follow rule cannot be read: the CEL parser failed on it; write it in a simpler way")]
    Unreadable,
}

/// Why a rule has no result for a profile. The profile is not admitted; callers count these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The profile lacks a field that the rule needs.
    #[error("the profile has no field {field:?}")]
    MissingField {
        /// The field.
        field: String,
    },
    /// A field of the profile has an unexpected value, such as `null`.
    #[error("the rule cannot be applied to the profile: {what}")]
    Unfit {
        /// The message of the interpreter.
        what: String,
    },
    /// The profile is not a JSON object.
    #[error("the profile is no JSON object: {what}")]
    NoObject {
        /// The message of the JSON parser.
        what: String,
    },
}
