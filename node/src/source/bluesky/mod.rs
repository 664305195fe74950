//! Bluesky, and any other network of the AT Protocol.
//!
//! - An account is a DID. Its document ([`Source::locate`]) names the server (PDS) that has its records, which strangers
//!   choose: requests there are guarded, and count against a budget of that host.
//! - A timeline is the account's own records, by default posts and reposts, in the order of their record keys: the whole
//!   repository in one request (`com.atproto.sync.getRepo`), or, for updates and if it is too large, in pages of a hundred
//!   (`com.atproto.repo.listRecords`). A line is `{"uri": ..., "cid": ..., "value": ...}` either way.
//! - Followers and profiles come from an AppView, which is one of the settings.

mod account;
mod ask;
mod directory;
mod dns;
mod document;
mod handles;
mod ids;
mod labels;
mod listing;
mod people;
mod repository;
mod rest;
mod settings;
#[cfg(test)]
mod tests;
mod timeline;
mod verdict;

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::header::HeaderValue;
use storage::env::{Clock, Work};
use storage::ids::UserId;

pub use ids::item_id;
pub use settings::{BlueskySettings, BlueskySettingsError};

use ask::Ask;
use directory::Directory;
use dns::Dns;
use ids::Did;
use listing::Waiting;
use repository::Room;
use settings::Checked;

use super::{
    Answer, Asked, Endpoint, FollowersPage, HostCheck, HostReport, Lead, Profile, Source, SourceError,
    TimelinePage, Trail,
};
use crate::http_client::{HttpClient, NamedBy};
use crate::rate::{BudgetScope, Per};

/// Accounts in one look-up.
const LOOKUP_BATCH: usize = 25;
/// Records or followers in one page.
const PAGE: &str = "100";

/// Bluesky as a [`Source`].
pub struct BlueskySource {
    appview: Url,
    plc: Url,
    /// Sorted.
    collections: Vec<String>,
    agent: HeaderValue,
    settings: BlueskySettings,
    accounts: Directory,
    waiting: Waiting,
    dns: Dns,
    /// For repositories that are read.
    room: Room,
    clock: Arc<dyn Clock>,
    work: Work,
}

impl fmt::Debug for BlueskySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlueskySource").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl BlueskySource {
    /// A source that runs blocking work by `work`.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(
        settings: BlueskySettings,
        clock: Arc<dyn Clock>,
        work: Work,
    ) -> Result<Self, BlueskySettingsError> {
        let Checked { appview, plc, collections, user_agent: agent } = settings::check(&settings)?;
        let (accounts, waiting) = (Directory::new(clock.clone()), Waiting::default());
        let dns = settings.name_servers.clone().map_or_else(Dns::of_this_host, Dns::new);
        let room = Room::new(settings.spool_limit.max(settings.repository_limit));
        Ok(Self { appview, plc, collections, agent, settings, accounts, waiting, dns, room, clock, work })
    }

    /// A request to the AppView.
    fn of_appview(&self, method: &str, parameters: &[(&str, &str)], user: Option<&UserId>) -> Ask {
        let path = format!("/xrpc/{method}");
        Ask::get((&self.appview, NamedBy::Settings), &path, parameters, user, &self.agent)
    }

    /// A request to the server of an account.
    fn of_pds(&self, pds: &Url, method: &str, parameters: &[(&str, &str)], user: &UserId) -> Ask {
        let path = format!("/xrpc/{method}");
        Ask::get((pds, self.strangers()), &path, parameters, Some(user), &self.agent)
    }

    /// For hosts that accounts name themselves.
    fn strangers(&self) -> NamedBy {
        NamedBy::Strangers(self.settings.foreign_hosts)
    }

    /// A refusal before anything was sent: this is no account of the network.
    fn no_did<T>(&self, user: &UserId) -> Answer<T> {
        let asked = Asked { url: self.plc.as_str().into(), user: Some(user.clone()) };
        let what = format!("{user} is no DID of the kinds plc and web");
        let remedy =
            "Bluesky's accounts are DIDs such as did:plc:z72i7hdynmk6r22z27h6tvur; give @handle for a name";
        Answer::unasked(Err(SourceError::Refused { asked, status: None, what, remedy }))
    }

    /// The budget of the directory, or of the host that publishes its own DID.
    fn scope_of_document(&self, user: Option<&UserId>) -> BudgetScope {
        match user.and_then(Did::of) {
            Some(Did::Web(host)) => BudgetScope::new(&format!("https://{host}/"), Per::Address),
            _ => BudgetScope::new(self.plc.as_str(), Per::Address),
        }
    }

    /// Sends the caller to locate the account first.
    fn unlocated<T>(&self, user: &UserId) -> Answer<T> {
        let asked = Asked { url: self.plc.as_str().into(), user: Some(user.clone()) };
        Answer::unasked(Err(SourceError::Moved { asked }))
    }
}

impl Source for BlueskySource {
    fn kind(&self) -> &'static str {
        "bluesky"
    }

    fn place(&self) -> String {
        self.appview.as_str().to_owned()
    }

    fn probe_name(&self) -> Option<&str> {
        Some("bsky.app")
    }

    fn host_checks(&self) -> Vec<HostCheck> {
        let host = self.plc.as_str().to_owned();
        vec![HostCheck { scope: BudgetScope::new(&host, Per::Address), host, step: "health" }]
    }

    /// The AppView is asked for a name; this is the directory.
    fn check_host<'a>(
        &'a self,
        via: &'a HttpClient,
        _check: &'a HostCheck,
    ) -> BoxFuture<'a, Answer<HostReport>> {
        self.check_directory(via).boxed()
    }

    fn has_one_host(&self, endpoint: Endpoint) -> bool {
        matches!(endpoint, Endpoint::Followers | Endpoint::Lookup | Endpoint::Resolve)
    }

    /// The server of the account; before that is known, the host that publishes a DID of the kind web. All others are named
    /// by the settings.
    fn host(&self, endpoint: Endpoint, user: &UserId) -> Option<String> {
        match (endpoint, Did::of(user)) {
            (Endpoint::Timeline | Endpoint::Repository, _) => {
                let document = self.accounts.get(user)?;
                let name = document.pds.host_str()?;
                Some(document.pds.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")))
            }
            (Endpoint::Locate, Some(Did::Web(host))) => Some(host.to_owned()),
            _ => None,
        }
    }

    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope {
        let scope = |origin: &Url, what: &str| BudgetScope::new(&format!("{origin}{what}"), Per::Address);
        let pds = |what: &str| {
            let document = user.and_then(|user| self.accounts.get(user));
            // Whatever is asked of an account's server begins with where it is.
            document.map_or_else(|| self.scope_of_document(user), |document| scope(&document.pds, what))
        };
        match endpoint {
            Endpoint::Followers => scope(&self.appview, "xrpc/app.bsky.graph.getFollowers"),
            Endpoint::Lookup | Endpoint::Resolve => scope(&self.appview, "xrpc/app.bsky.actor.getProfiles"),
            // Servers have one budget for all that is asked of them, but for repositories.
            Endpoint::Timeline => pds(""),
            Endpoint::Repository => pds("xrpc/com.atproto.sync.getRepo"),
            Endpoint::Locate => self.scope_of_document(user),
        }
    }

    fn is_located(&self, endpoint: Endpoint, user: &UserId) -> bool {
        match endpoint {
            Endpoint::Timeline | Endpoint::Repository => self.accounts.get(user).is_some(),
            Endpoint::Followers | Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => true,
        }
    }

    fn locate<'a>(&'a self, via: &'a HttpClient, user: &'a UserId) -> BoxFuture<'a, Answer<()>> {
        self.locate_account(via, user).boxed()
    }

    fn timeline_endpoint(&self, cursor: Option<&str>, since: Option<&str>) -> Endpoint {
        match timeline::is_whole(cursor, since) {
            true => Endpoint::Repository,
            false => Endpoint::Timeline,
        }
    }

    fn lookup_batch(&self) -> usize {
        LOOKUP_BATCH
    }

    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        self.timeline(via, user, cursor, since).boxed()
    }

    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        self.followers(via, user, cursor).boxed()
    }

    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.profiles_by_id(via, ids).boxed()
    }

    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.profiles_by_handle(via, names).boxed()
    }

    fn first_lead(&self, name: &str) -> Option<Lead> {
        self.first_step(name)
    }

    fn follow_lead<'a>(&'a self, via: &'a HttpClient, lead: &'a Lead) -> BoxFuture<'a, Answer<Trail>> {
        self.step(via, lead).boxed()
    }
}
