//! The follow rule: which of the discovered accounts join a crawl.
//!
//! A rule is an expression in CEL (<https://cel.dev>) over the profile as `user`:
//! `user.lang == 'it' && user.statuses_count > 100`. It is written by whoever submits a crawl and evaluated on
//! profiles from outside, so both are bounded: the text's length and depth, loops within loops, and every panic of the
//! interpreter. A profile that lacks a field, or has `null` in it, is not admitted, and no reason to stop.

mod check;
mod error;
mod patterns;
mod rule;
mod sample;
mod value;

pub use error::{FollowRuleError, Position, Undecided};
pub use rule::FollowRule;
