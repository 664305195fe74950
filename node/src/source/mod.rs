//! Social networks behind one trait.
//!
//! [`Source`] defines what a crawl needs from a network; [`twitter::TwitterSource`] is the API v1 and v1.1, and
//! [`x::XSource`] the API v2 of X. Every request goes through an [`HttpClient`], which is bound to one local address and reads no more than it must. Every
//! answer has a [`RateInfo`], from which [`crate::budget`] learns what may be requested next.
//!
//! A source deliberately does not know who else sends requests, how long to wait, and when to retry. It classifies
//! the answers ([`SourceError`]) and leaves the rest to its caller.

mod answer;
pub mod bluesky;
mod bounded;
mod check;
mod cursor;
mod error;
pub mod mastodon;
mod page;
mod profile;
mod search;
#[cfg(test)]
pub(crate) mod test_server;
pub mod twitter;
pub mod x;

use futures::FutureExt;
use futures::future::BoxFuture;
use storage::ids::UserId;

pub use answer::Answer;
pub use check::{HostCheck, HostReport};
pub use cursor::{CursorLoops, CursorWatch};
pub use error::{Asked, GoneReason, SourceError};
pub use page::{FollowersPage, MorePosts, TimelineItem, TimelinePage};
pub use profile::{BLUESKY_RULE_FIELDS, FieldNames, Profile, ProfileError};
pub use search::{Lead, Trail};

use crate::http_client::HttpClient;
use crate::rate::{BudgetScope, RateInfo};

/// Most posts or profiles in a page. Networks send 40 to 1,000.
const MOST_ITEMS: usize = 10_000;
/// Most followers in a page. Twitter sends 5,000.
const MOST_FOLLOWERS: usize = 200_000;

/// The purpose of a request. A source maps each to one of its budgets.
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
    /// All of an account's posts at once.
    Repository,
    /// The host that has an account.
    Locate,
}

/// A social network as a crawl sees it.
///
/// Ids and cursors are opaque to the caller. A network whose follower pages contain whole profiles fills
/// [`FollowersPage::profiles`] and saves its callers the look-up; one that charges per object reports it in
/// [`Answer::cost`]; one with several hosts or with budgets per token returns a different [`BudgetScope`] by
/// user. One that sends a whole timeline in one answer returns its beginning as a page, with the rest in
/// [`TimelinePage::rest`].
pub trait Source: Send + Sync + 'static {
    /// The kind of network, as in the settings.
    fn kind(&self) -> &'static str;

    /// Where its API is, for people.
    fn place(&self) -> String;

    /// A name that a check of the source looks up; `None` if there is no host that stands for all.
    fn probe_name(&self) -> Option<&str>;

    /// What else a check asks, host by host: no more than some dozens. By default nothing.
    fn host_checks(&self) -> Vec<HostCheck> {
        Vec::new()
    }

    /// Asks a host, with at most one request.
    fn check_host<'a>(
        &'a self,
        _via: &'a HttpClient,
        _check: &'a HostCheck,
    ) -> BoxFuture<'a, Answer<HostReport>> {
        std::future::ready(Answer::unasked(Ok(HostReport::Fine(None)))).boxed()
    }

    /// The network as one that charges for what it answers; `None` if it does not. Its requests have to be paid for.
    fn paid(&self) -> Option<&x::XSource> {
        None
    }

    /// What is wrong with parts of the source, with the reasons; it works without them.
    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether one host answers an endpoint for all accounts. If it cannot be reached, jobs wait for it; if one of many
    /// cannot, its accounts wait for it and fail in the end, so that a crawl ends.
    fn has_one_host(&self, _endpoint: Endpoint) -> bool {
        true
    }

    /// The host that is asked for an endpoint about an account, if a source has many: few requests are in flight to each, and
    /// jobs wait for one that is away or has no budget left. `None` where [one host](Self::has_one_host) answers for all.
    ///
    /// Where ids end in `@` and the name of their host, this is that name: the cluster then knows the host of an account
    /// before a worker does.
    fn host(&self, _endpoint: Endpoint, _user: &UserId) -> Option<String> {
        None
    }

    /// The budget that a request for `endpoint` counts against; `user` decides if a network has several hosts.
    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope;

    /// The budget that the page of `user` at `cursor` counts against; by default that of the endpoint.
    ///
    /// For networks where the first page counts differently from those that follow.
    fn page_scope(&self, endpoint: Endpoint, user: &UserId, _cursor: Option<&str>) -> BudgetScope {
        self.scope(endpoint, Some(user))
    }

    /// Whether [`locate`](Self::locate) has to be called before a request for `endpoint` about `user`, because its
    /// host, and thus its [`scope`](Self::scope), is not known. A network with one host has nothing to locate.
    fn is_located(&self, _endpoint: Endpoint, _user: &UserId) -> bool {
        true
    }

    /// Finds the host of an account, as a request of its own, for [`Endpoint::Locate`].
    fn locate<'a>(&'a self, _via: &'a HttpClient, _user: &'a UserId) -> BoxFuture<'a, Answer<()>> {
        std::future::ready(Answer::unasked(Ok(()))).boxed()
    }

    /// What the page of posts at `cursor` is requested from: [`Endpoint::Timeline`], or [`Endpoint::Repository`] if one
    /// answer will hold them all.
    fn timeline_endpoint(&self, _cursor: Option<&str>, _since: Option<&str>) -> Endpoint {
        Endpoint::Timeline
    }

    /// Whether the profiles that come with a page of followers are all that a look-up would say.
    fn followers_come_whole(&self) -> bool {
        false
    }

    /// The most ids or names in one [`lookup`](Self::lookup) or [`resolve`](Self::resolve).
    fn lookup_batch(&self) -> usize;

    /// The most items that a walk of an endpoint can meet, if the network has such a limit: older ones are never given.
    fn most_items(&self, _endpoint: Endpoint) -> Option<u64> {
        None
    }

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

    /// Where the search begins for a name that [`resolve`](Self::resolve) did not find. A network whose look-up says all has
    /// nothing to search.
    fn first_lead(&self, _name: &str) -> Option<Lead> {
        None
    }

    /// Makes one step of such a search, with at most one request.
    fn follow_lead<'a>(&'a self, _via: &'a HttpClient, _lead: &'a Lead) -> BoxFuture<'a, Answer<Trail>> {
        std::future::ready(Answer::unasked(Ok(Trail::Nobody))).boxed()
    }
}
