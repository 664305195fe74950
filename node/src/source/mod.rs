//! The outer world: social networks behind one trait.
//!
//! [`Source`] says what a crawl needs of a network; [`twitter::TwitterSource`] is the API v1 and v1.1. Every request
//! goes through an [`HttpClient`], which is bound to one local address and reads no more than it must. Every
//! answer, good or bad, brings a [`RateInfo`], from which [`crate::budget`] learns what may be asked next.
//!
//! What a source deliberately does not know: who else asks, how long to wait, and when to try again. It
//! classifies what came back ([`SourceError`]) and leaves the rest to its caller.

mod answer;
mod body;
mod bounded;
mod client;
mod cursor;
mod error;
mod page;
mod profile;
#[cfg(test)]
pub(crate) mod test_server;
pub mod twitter;

use futures::future::BoxFuture;
use storage::ids::UserId;

pub use answer::Answer;
pub use body::BodyError;
pub use client::{HttpAnswer, HttpClient, HttpError, HttpSettings, NoAnswer};
pub use cursor::{CursorLoops, CursorWatch};
pub use error::{Asked, GoneReason, SourceError};
pub use page::{FollowersPage, PostId, TimelineItem, TimelinePage};
pub use profile::{Profile, ProfileError};
pub use storage::net::tls::ClientTls;

use crate::rate::{BudgetScope, RateInfo};

/// Most posts or profiles of a page. Networks send 40 to 1,000.
const MOST_ITEMS: usize = 10_000;
/// Most followers of a page. Twitter sends 5,000.
const MOST_FOLLOWERS: usize = 200_000;

/// What a request asks for. A source maps each to one of its budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A page of an account's posts.
    Timeline,
    /// A page of an account's followers.
    Followers,
    /// Profiles by id.
    Lookup,
    /// Profiles by screen name.
    Resolve,
}

/// A social network as a crawl sees it.
///
/// Ids and cursors are opaque to the caller. A network whose follower pages carry whole profiles fills
/// [`FollowersPage::profiles`] and saves its callers the look-up; one that charges by the object says so in
/// [`Answer::cost`]; one with several hosts or with budgets by token returns another [`BudgetScope`] by user.
pub trait Source: Send + Sync + 'static {
    /// The budget that a request for `endpoint` counts against; `user` decides where a network has several hosts.
    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope;

    /// The most ids or names that one [`lookup`](Self::lookup) or [`resolve`](Self::resolve) may carry.
    fn lookup_batch(&self) -> usize;

    /// One page of posts, newest first, from `cursor` (`None`: the newest) down to, but without, `since`.
    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>>;

    /// One page of followers from `cursor` (`None`: the first page).
    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>>;

    /// The profiles of `ids`, at most [`lookup_batch`](Self::lookup_batch) of them; accounts that are gone are missing.
    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>>;

    /// The profiles of the accounts with these screen names (without `@`), at most
    /// [`lookup_batch`](Self::lookup_batch) of them; unknown names are missing.
    fn resolve<'a>(&'a self, via: &'a HttpClient, names: &'a [String])
    -> BoxFuture<'a, Answer<Vec<Profile>>>;
}
