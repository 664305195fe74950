//! The follow rule: decides which of the discovered accounts join a crawl.
//!
//! A rule is an expression in CEL (<https://cel.dev>) over the profile as `user`: `user.lang == 'it' &&
//! user.statuses_count > 100`. Its text and the profiles come from outside, so both are bounded: the text's length
//! and depth, nested loops, and every panic of the interpreter. A profile that lacks a field, or has `null` in it, is
//! not admitted, which does not stop the crawl.

mod check;
mod error;
mod patterns;
mod rule;
mod sample;
mod value;

pub use error::{FollowRuleError, Position, Undecided};
pub use rule::FollowRule;
