//! An API of a few accounts: small pages, strict budgets, faults on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use storage::env::{Clock, SystemClock};
use tokio::sync::watch;

use super::rig::eventually;

/// Tweets or followers per page.
pub const PAGE: usize = 3;

type Parameters = Query<BTreeMap<String, String>>;

#[derive(Default)]
struct World {
    tweets: BTreeMap<u64, Vec<u64>>,
    followers: BTreeMap<u64, Vec<u64>>,
    /// `(endpoint, user)` to the status that is returned instead.
    statuses: BTreeMap<(&'static str, u64), StatusCode>,
    /// `(endpoint, user)` to the number of requests before one is held back.
    gates: BTreeMap<(&'static str, u64), usize>,
    /// Every request: endpoint, user, cursor.
    requests: Vec<(&'static str, u64, String)>,
    /// Requests per window, and the length of the window in seconds.
    budget: Option<(u64, u64)>,
    window: (u64, u64),
    violations: usize,
    /// Whether a look-up returns every profile twice, and one that nobody asked for.
    doubled: bool,
    /// Accounts with items that have no id.
    garbled: BTreeSet<u64>,
}

#[derive(Clone)]
pub struct Api {
    world: Arc<Mutex<World>>,
    open: watch::Sender<bool>,
    clock: SystemClock,
    pub url: String,
}

impl Api {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (world, open) = (Arc::default(), watch::Sender::new(true));
        let api = Self { world, open, clock: SystemClock::new(), url: format!("http://{address}/1.1/") };
        let (t, f, l) = (api.clone(), api.clone(), api.clone());
        let pages = Router::new()
            .route("/1.1/statuses/user_timeline.json", get(async move |q: Parameters| t.timeline(q).await))
            .route("/1.1/followers/ids.json", get(async move |q: Parameters| f.follower_ids(q).await))
            .route("/1.1/users/lookup.json", post(async move |body: Bytes| l.lookup(&body).await));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        api
    }

    /// An account with this many tweets and these followers. The tweets of user 7 are 7001, 7002 and so on.
    pub fn account(&self, user: u64, tweets: u64, followers: impl IntoIterator<Item = u64>) {
        let mut world = self.world.lock().unwrap();
        world.tweets.insert(user, (1..=tweets).map(|n| user * 1000 + n).collect());
        world.followers.insert(user, followers.into_iter().collect());
    }

    pub fn answer_with(&self, endpoint: &'static str, user: u64, status: StatusCode) {
        self.world.lock().unwrap().statuses.insert((endpoint, user), status);
    }

    pub fn answer_well(&self) {
        self.world.lock().unwrap().statuses.clear();
    }

    /// Holds back the `nth` request of `user` at `endpoint`, and all later ones, until [`Self::open_gate`].
    pub fn gate(&self, endpoint: &'static str, user: u64, nth: usize) {
        self.open.send_replace(false);
        self.world.lock().unwrap().gates.insert((endpoint, user), nth);
    }

    pub fn open_gate(&self) {
        self.open.send_replace(true);
    }

    pub fn budget(&self, requests: u64, seconds: u64) {
        self.world.lock().unwrap().budget = Some((requests, seconds));
    }

    pub fn double_profiles(&self) {
        self.world.lock().unwrap().doubled = true;
    }

    /// Each page of an account's tweets has one without an id.
    pub fn garble(&self, user: u64) {
        self.world.lock().unwrap().garbled.insert(user);
    }

    pub fn violations(&self) -> usize {
        self.world.lock().unwrap().violations
    }

    pub fn cursors(&self, endpoint: &str, user: u64) -> Vec<String> {
        let world = self.world.lock().unwrap();
        let of = |r: &&(&str, u64, String)| r.0 == endpoint && r.1 == user;
        world.requests.iter().filter(of).map(|r| r.2.clone()).collect()
    }

    pub async fn asked(&self, endpoint: &str, user: u64, times: usize) {
        eventually("requests to come", || self.cursors(endpoint, user).len() >= times).await;
    }

    async fn timeline(&self, Query(parameters): Parameters) -> Response {
        let number = |key: &str| parameters.get(key).and_then(|text| text.parse::<u64>().ok());
        let user = number("user_id").unwrap();
        let max = number("max_id").unwrap_or(u64::MAX);
        let cursor = parameters.get("max_id").cloned().unwrap_or_default();
        self.answer("timeline", user, cursor, |world| {
            let since = number("since_id").unwrap_or(0);
            let tweets = world.tweets.get(&user)?.iter().rev().filter(|&&id| id <= max && id > since);
            let tweet = |id: &u64| json!({"id": id, "id_str": id.to_string(), "text": format!("tweet {id}")});
            let mut page: Vec<Value> = tweets.take(PAGE).map(tweet).collect();
            if world.garbled.contains(&user) && !page.is_empty() {
                page.push(json!({"text": "a tweet without an id"}));
            }
            Some(Value::Array(page))
        })
        .await
    }

    async fn follower_ids(&self, Query(parameters): Parameters) -> Response {
        let user: u64 = parameters["user_id"].parse().unwrap();
        let cursor = parameters["cursor"].clone();
        let from = cursor.parse::<i64>().unwrap().max(0) as usize;
        self.answer("followers", user, cursor, |world| {
            let all = world.followers.get(&user)?;
            let ids: Vec<String> = all.iter().skip(from).take(PAGE).map(u64::to_string).collect();
            let next = from + ids.len();
            let next = if next < all.len() { next.to_string() } else { "0".to_owned() };
            Some(json!({"ids": ids, "next_cursor_str": next}))
        })
        .await
    }

    /// The profiles of odd ids are Italian; ids that end in 9 are suspended; the name of 23 is `u23`.
    async fn lookup(&self, body: &[u8]) -> Response {
        let body = String::from_utf8(body.to_vec()).unwrap().replace("%2C", ",");
        let field = |name: &str| body.split('&').find_map(|part| part.strip_prefix(name)).map(str::to_owned);
        let ids = field("user_id=").or_else(|| field("screen_name=")).unwrap();
        self.world.lock().unwrap().requests.push(("lookup", 0, ids.clone()));
        self.pass_gate("lookup", 0).await;
        let profile = |id: u64| {
            let lang = if id % 2 == 1 { "it" } else { "en" };
            json!({"id": id, "id_str": id.to_string(), "screen_name": format!("u{id}"), "lang": lang})
        };
        let ids = ids.split(',').map(|id| id.trim_start_matches('u').parse::<u64>().unwrap());
        let ids = ids.filter(|id| id % 10 != 9);
        let profiles: Vec<Value> = match self.world.lock().unwrap().doubled {
            true => ids.flat_map(|id| [profile(id), profile(id)]).chain([profile(1)]).collect(),
            false => ids.map(profile).collect(),
        };
        axum::Json(Value::Array(profiles)).into_response()
    }

    /// Waits at a gate that closes at this request.
    async fn pass_gate(&self, endpoint: &'static str, user: u64) {
        let gated = self.world.lock().unwrap().gates.get_mut(&(endpoint, user)).is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        if gated {
            self.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
    }

    async fn answer(
        &self,
        endpoint: &'static str,
        user: u64,
        cursor: String,
        page: impl FnOnce(&World) -> Option<Value>,
    ) -> Response {
        let (status, headers) = {
            let mut world = self.world.lock().unwrap();
            world.requests.push((endpoint, user, cursor));
            (world.statuses.get(&(endpoint, user)).copied(), self.count(&mut world))
        };
        let headers = match headers {
            Ok(headers) => headers,
            Err(headers) => return (StatusCode::TOO_MANY_REQUESTS, headers).into_response(),
        };
        if let Some(status) = status {
            return (status, headers).into_response();
        }
        self.pass_gate(endpoint, user).await;
        match page(&self.world.lock().unwrap()) {
            Some(page) => (headers, axum::Json(page)).into_response(),
            None => (StatusCode::NOT_FOUND, headers).into_response(),
        }
    }

    /// Counts a request against the budget. Windows start at multiples of their length.
    fn count(&self, world: &mut World) -> Result<HeaderMap, HeaderMap> {
        let Some((limit, seconds)) = world.budget else { return Ok(HeaderMap::new()) };
        let now = self.clock.wall();
        let window = now.as_secs() / seconds;
        if world.window.0 != window {
            world.window = (window, 0);
        }
        world.window.1 += 1;
        let used = world.window.1;
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: u64| headers.insert(name, HeaderValue::from(value));
        add("x-rate-limit-limit", limit);
        add("x-rate-limit-remaining", limit.saturating_sub(used));
        add("x-rate-limit-reset", (window + 1) * seconds);
        if used > limit {
            world.violations += 1;
            return Err(headers);
        }
        Ok(headers)
    }
}

/// Timeout of every wait in a test.
pub const PATIENCE: Duration = Duration::from_secs(30);
