//! A simulated social network: pages take time, or get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use node::http_client::HttpClient;
use node::rate::{BudgetScope, Delivery, Per, RateInfo};
use node::source::{
    Answer, Asked, Endpoint, FollowersPage, GoneReason, Profile, Source, SourceError, TimelinePage,
};
use raft::sim::WorldClock;
use serde_json::value::RawValue;
use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use tokio::time::sleep;

use super::watch::Watch;

/// Requests per address, endpoint and window, of a strict network and of a generous one.
const LIMITS: [u64; 2] = [45, 600];
const WINDOW: Duration = Duration::from_secs(4);

/// Items in a page.
const PAGE: usize = 7;
/// Profiles in a look-up.
const LOOKUP: usize = 10;
/// Accounts that follow others, and the first of them.
const FOLLOWERS: u64 = 2_000;
const FIRST_FOLLOWER: u64 = 500_000;
/// Added to the world's time for Unix seconds.
const EPOCH: u64 = 1_700_000_000;

/// The network, shared by all nodes of a simulation.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    limit: u64,
    dice: SeededEntropy,
    clock: WorldClock,
    watch: Watch,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tweets posted since the beginning.
    grown: BTreeMap<u64, u64>,
    /// The window and its number of requests, by address and endpoint.
    windows: BTreeMap<(IpAddr, &'static str), (u64, u64)>,
}

/// The fate of a request.
enum Fate<T> {
    Answered(T, RateInfo),
    Lost(RateInfo, &'static str),
}

impl Network {
    /// A network whose accounts are determined by a seed.
    pub fn new(seed: u64, clock: WorldClock, watch: Watch) -> Self {
        let (limit, dice) = (LIMITS[(seed % 2) as usize], SeededEntropy::new(seed));
        Self { seed, limit, dice, clock, watch, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    /// A number derived from an account.
    fn of(&self, user: u64, what: u64) -> u64 {
        SeededEntropy::new(self.seed ^ user.wrapping_mul(31) ^ (what << 40)).next_u64()
    }

    /// Why an account is gone.
    pub fn gone(&self, user: u64) -> Option<(u16, GoneReason)> {
        match self.of(user, 1) % 24 {
            0 => Some((401, GoneReason::Protected)),
            1 => Some((404, GoneReason::NotFound)),
            2 => Some((403, GoneReason::Suspended)),
            _ => None,
        }
    }

    fn tweets(&self, user: u64) -> u64 {
        let first = (self.of(user, 2) % 25).saturating_sub(4);
        if first == 0 { 0 } else { first + self.state().grown.get(&user).copied().unwrap_or_default() }
    }

    /// Whether an account has tweets, now and always.
    pub fn has_tweets(&self, user: u64) -> bool {
        self.tweets(user) > 0
    }

    /// The ids of an account's current tweets, newest first.
    pub fn tweet_ids(&self, user: u64) -> Vec<u64> {
        (1..=self.tweets(user)).rev().map(|number| number * 10 + user % 7).collect()
    }

    /// A tweet's line in the dataset.
    pub fn tweet(&self, user: u64, id: u64) -> String {
        format!(r#"{{"id":{id},"user":{{"id":{user}}},"text":"number {}"}}"#, id / 10)
    }

    /// The followers of an account, each once.
    pub fn followers(&self, user: u64) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        let drawn = (0..self.of(user, 3) % 9).map(|n| FIRST_FOLLOWER + self.of(user, 10 + n) % FOLLOWERS);
        drawn.filter(|follower| seen.insert(*follower)).collect()
    }

    fn rate(&self, status: u16, used: u64) -> RateInfo {
        let now = self.clock.now();
        let end = (now.as_secs() / WINDOW.as_secs() + 1) * WINDOW.as_secs();
        RateInfo {
            limit: Some(self.limit),
            remaining: Some(self.limit.saturating_sub(used)),
            // As computed from whole seconds of both clocks.
            reset_in: Some(Duration::from_secs(end - now.as_secs())),
            window: Some(EPOCH + end),
            limited: status == 429,
            delivery: Delivery::Answered(status),
            ..RateInfo::not_sent()
        }
    }

    /// Counts a request; returns the number of requests of the address in the window.
    fn count(&self, from: IpAddr, endpoint: &'static str) -> u64 {
        let window = self.clock.now().as_secs() / WINDOW.as_secs();
        let used = {
            let mut state = self.state();
            let (of, used) = state.windows.entry((from, endpoint)).or_insert((window, 0));
            if *of != window {
                (*of, *used) = (window, 0);
            }
            *used += 1;
            *used
        };
        if used > self.limit {
            let limit = self.limit;
            self.watch.fail(format!("{from} sent {used} requests for {endpoint} in a window of {limit}"));
        }
        used
    }

    /// Sends a request and waits for its outcome.
    async fn send<T>(
        &self,
        via: &HttpClient,
        endpoint: &'static str,
        user: Option<&UserId>,
        answer: impl FnOnce() -> Result<T, SourceError>,
    ) -> Answer<T> {
        self.watch.asks();
        let asked = || Asked { url: endpoint.into(), user: user.cloned() };
        let passing =
            |what: &str| SourceError::Passing { asked: asked(), what: what.to_owned(), retry_after: None };
        match self.travel(via, endpoint, answer).await {
            Fate::Lost(rate, what) => Answer { outcome: Err(passing(what)), rate, cost: 0 },
            Fate::Answered(answer, rate) => {
                let outcome = match rate.delivery {
                    Delivery::Answered(429) => {
                        Err(SourceError::Limited { asked: asked(), status: 429, retry_in: rate.reset_in })
                    }
                    Delivery::Answered(500) => Err(passing("status 500")),
                    Delivery::Answered(299) => {
                        Err(SourceError::Garbage { asked: asked(), what: "half a page".to_owned() })
                    }
                    _ => answer,
                };
                Answer { outcome, rate, cost: 0 }
            }
        }
    }

    async fn travel<T>(
        &self,
        via: &HttpClient,
        endpoint: &'static str,
        answer: impl FnOnce() -> Result<T, SourceError>,
    ) -> Fate<Result<T, SourceError>> {
        let from = via.address().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let most = if self.below(60) == 0 { 3_000 } else { 30 };
        let takes = Duration::from_millis(self.below(most));
        if self.below(80) == 0 {
            sleep(takes).await;
            return Fate::Lost(RateInfo::not_sent(), "no connection");
        }
        // Some arrive even if their sender dies at once, others count in the window in which they arrive.
        let arrived = if self.below(2) == 0 {
            let used = self.count(from, endpoint);
            sleep(takes).await;
            used
        } else {
            sleep(takes).await;
            self.count(from, endpoint)
        };
        let (answer, fate) = (answer(), self.below(100));
        sleep(takes / 2).await;
        match fate {
            0 => Fate::Lost(RateInfo::unanswered(), "timed out"),
            1 | 2 => Fate::Answered(answer, self.rate(500, arrived)),
            3 => Fate::Answered(answer, self.rate(299, arrived)),
            _ if arrived > self.limit => Fate::Answered(answer, self.rate(429, arrived)),
            _ => Fate::Answered(answer, self.rate(200, arrived)),
        }
    }

    fn refused(&self, user: &UserId) -> Option<SourceError> {
        let (status, reason) = self.gone(number(user))?;
        let asked = Asked { url: "account".into(), user: Some(user.clone()) };
        Some(SourceError::Gone { asked, status, reason })
    }

    /// A page starting at `cursor`: at times short or empty, with repeated or unordered items.
    fn page(&self, ids: &[u64], from: usize) -> (Vec<u64>, usize) {
        let length = match self.below(12) {
            0 => 0,
            1 => 2,
            _ => PAGE,
        };
        let next = (from + length).min(ids.len());
        let repeated = if self.below(6) == 0 { from.min(2) } else { 0 };
        let mut page = ids[from - repeated..next].to_vec();
        if self.below(6) == 0 {
            page.reverse();
        }
        (page, next)
    }

    fn timeline(&self, user: &UserId, cursor: Option<&str>, since: Option<&str>) -> TimelinePage {
        let user = number(user);
        if cursor.is_none() && self.below(3) == 0 && self.has_tweets(user) {
            *self.state().grown.entry(user).or_default() += 1 + self.below(9);
        }
        let since: u64 = since.and_then(|since| since.parse().ok()).unwrap_or_default();
        let most = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(u64::MAX);
        let ids: Vec<u64> = self.tweet_ids(user).into_iter().filter(|id| *id > since).collect();
        let from = ids.iter().position(|id| *id <= most).unwrap_or(ids.len());
        let (page, next) = self.page(&ids, from);
        let lines: Vec<String> = page.iter().map(|id| self.tweet(user, *id)).collect();
        let body = format!("[{}]", lines.join(","));
        let mut page = TimelinePage::parse(body.into_bytes()).unwrap_or_else(|error| {
            self.watch.fail(format!("the simulated network sent a page that cannot be read: {error}"));
            unreachable_page()
        });
        page.next = ids.get(next).map(u64::to_string);
        page
    }

    fn followers_from(&self, user: &UserId, cursor: Option<&str>) -> FollowersPage {
        let ids = self.followers(number(user));
        let from = cursor.and_then(|cursor| cursor.parse::<usize>().ok()).unwrap_or_default().min(ids.len());
        let (page, next) = self.page(&ids, from);
        let next = (next < ids.len()).then(|| next.to_string());
        FollowersPage {
            ids: page.into_iter().map(UserId::Number).collect(),
            next,
            ..FollowersPage::default()
        }
    }

    /// Whether a look-up returns an account.
    pub fn has_profile(&self, user: u64) -> bool {
        !matches!(self.gone(user), Some((_, GoneReason::NotFound | GoneReason::Suspended)))
    }

    /// The profiles of these accounts, at times each of them twice.
    fn profiles(&self, users: &[UserId]) -> Vec<Profile> {
        let times = if self.below(6) == 0 { 2 } else { 1 };
        users.iter().flat_map(|user| repeat_n(user, times)).filter_map(|user| self.profile(user)).collect()
    }

    fn profile(&self, user: &UserId) -> Option<Profile> {
        let id = number(user);
        let raw = RawValue::from_string(format!(r#"{{"id":{id},"screen_name":"user{id}"}}"#)).ok()?;
        self.has_profile(id).then(|| Profile::from_twitter(raw).ok()).flatten()
    }
}

/// An empty page, which can always be parsed.
fn unreachable_page() -> TimelinePage {
    TimelinePage::parse(b"[]".to_vec()).unwrap_or_else(|error| unreachable!("an empty array: {error}"))
}

/// All accounts of a simulation have numbers.
pub fn number(user: &UserId) -> u64 {
    match user {
        UserId::Number(number) => *number,
        UserId::Text(_) => 0,
    }
}

impl Source for Network {
    fn kind(&self) -> &'static str {
        "twitter"
    }

    fn probe_name(&self) -> Option<&str> {
        Some("twitter")
    }

    fn place(&self) -> String {
        "nowhere".to_owned()
    }

    fn scope(&self, endpoint: Endpoint, _user: Option<&UserId>) -> BudgetScope {
        BudgetScope::new(
            match endpoint {
                Endpoint::Timeline | Endpoint::Repository => "timeline",
                Endpoint::Followers => "followers",
                Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => "lookup",
            },
            Per::Address,
        )
    }

    fn lookup_batch(&self) -> usize {
        LOOKUP
    }

    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        let answer = move || match self.refused(user) {
            Some(refused) => Err(refused),
            None => Ok(self.timeline(user, cursor, since)),
        };
        self.send(via, "timeline", Some(user), answer).boxed()
    }

    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        let answer = move || match self.refused(user) {
            Some(refused) => Err(refused),
            None => Ok(self.followers_from(user, cursor)),
        };
        self.send(via, "followers", Some(user), answer).boxed()
    }

    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.send(via, "lookup", None, move || Ok(self.profiles(ids))).boxed()
    }

    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        _names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.send(via, "lookup", None, || Ok(Vec::new())).boxed()
    }
}
