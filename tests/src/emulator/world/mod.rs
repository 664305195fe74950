//! The accounts that the emulator serves.

mod accounts;
mod date;
mod draw;
mod fixture;
mod json_text;
mod page;
mod profile;
mod synthetic;
mod vocabulary;

use bytes::Bytes;

pub(super) use accounts::{Accounts, Gone, Standing};
pub(super) use date::{iso_date, write_date};
pub(super) use draw::{draw, unit};
pub(super) use fixture::Fixture;
pub(super) use page::TimelinePage;
pub(super) use synthetic::Synthetic;
pub use synthetic::{IdScheme, SyntheticOptions};

use super::body::Parts;

/// Maximum number of an account's newest tweets that can be read (API v1.1, `user_timeline`).
pub const TIMELINE_REACH: usize = 3200;

/// A population of accounts.
///
/// Accounts have a position, from 0, in the order of target lists. For an unknown account, a world answers as
/// for an account without data.
pub(super) trait World: Send + Sync + 'static {
    /// Number of accounts.
    fn count(&self) -> u64;

    /// The account at a position.
    fn at(&self, position: u64) -> Option<u64>;

    /// Whether the account exists.
    fn knows(&self, id: u64) -> bool;

    /// The account with a screen name, ignoring case.
    fn find(&self, screen_name: &str) -> Option<u64>;

    /// The profile as the API's JSON object.
    fn profile(&self, id: u64) -> Option<Bytes>;

    /// A page of tweets as the API's JSON array.
    fn timeline_page(&self, id: u64, page: TimelinePage) -> Parts;

    /// Ids of all tweets that can be read, newest first.
    fn timeline_ids(&self, id: u64) -> Vec<u64>;

    /// All tweets that can be read, as JSON, newest first.
    fn tweets(&self, id: u64) -> Vec<Bytes>;

    /// Number of followers of the account.
    fn follower_count(&self, id: u64) -> u64;

    /// Appends up to `len` followers from `offset` on, in the API's order.
    fn followers(&self, id: u64, offset: u64, len: usize, into: &mut Vec<u64>);
}
