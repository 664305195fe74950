//! Answers requests.

use std::collections::HashMap;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::account::account;
use super::ids;
use super::limits::{Allowance, Client, Counts};
use super::links::Place;
use super::pages::Pager;
use super::population::{Population, Standing};
use super::reply::Reply;
use super::{HostKind, Stats, instance};
use crate::emulator::body::Body;
use crate::emulator::connection::ResetSwitch;

/// Breaks the connection instead of sending a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
pub(super) struct Broken;

pub(super) struct Api {
    pub population: Population,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    counts: HashMap<u32, Counts>,
    stats: Stats,
}

/// A request to one host.
struct Call<'a> {
    host: u32,
    kind: HostKind,
    domain: String,
    path: &'a str,
    query: Vec<(String, String)>,
    signed: bool,
}

impl Call<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_paging(&self) -> bool {
        ["max_id", "min_id", "since_id", "page"].iter().any(|name| self.text(name).is_some())
    }
}

impl Api {
    pub fn new(population: Population) -> Self {
        Self { population, books: Mutex::default() }
    }

    pub fn stats(&self) -> Stats {
        self.books().stats.clone()
    }

    /// The token that a host accepts.
    pub fn token(host: u32) -> String {
        format!("token-of-h{host}")
    }

    pub async fn answer(
        &self,
        from: IpAddr,
        reset: &ResetSwitch,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let path = request.uri().path();
        let asked = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if let Some(action) = path.strip_prefix("/_emulator/") {
            return Ok(self.control(action).finish(0, None));
        }
        let host = self.population.host(asked);
        let kind = host.map_or(HostKind::Gone, |host| self.population.kind(host));
        let (Some(host), false) = (host, kind == HostKind::Gone) else {
            self.books().stats.broken += 1;
            reset.pull();
            return Err(Broken);
        };
        let number = self.count(host);
        if kind == HostKind::Hang {
            return pending().await;
        }
        let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let query = query.into_owned().collect();
        let bearer = request.headers().get(AUTHORIZATION).and_then(|bearer| bearer.to_str().ok());
        // Links name a host as it was asked for.
        let domain = match asked.parse::<SocketAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => Population::domain(host),
        };
        let call = Call { host, kind, domain, path, query, signed: bearer.is_some() };
        let allowance = self.charge(&call, from, bearer);
        let reply = match &allowance {
            Some(allowance) if allowance.exceeded => {
                self.books().stats.over += 1;
                Reply::error(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
            }
            _ if request.method() != Method::GET => Reply::web(StatusCode::NOT_FOUND),
            _ => self.reply(&call, bearer),
        };
        *self.books().stats.statuses.entry(reply.status.as_u16()).or_default() += 1;
        Ok(reply.finish(number, allowance.as_ref()))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, host: u32) -> u64 {
        let mut books = self.books();
        books.stats.requests += 1;
        *books.stats.hosts.entry(Population::domain(host)).or_default() += 1;
        books.stats.requests
    }

    fn charge(&self, call: &Call<'_>, from: IpAddr, bearer: Option<&str>) -> Option<Allowance> {
        let limits = self.population.options.limits.filter(|_| call.path.starts_with("/api/"))?;
        let client = bearer.map_or_else(|| Client::at(from), |token| Client::Token(token.to_owned()));
        let wall = self.population.options.clock.wall();
        // GoToSocial has one limit for all requests.
        let paging = call.is_paging() && call.kind != HostKind::GoToSocial;
        let mut books = self.books();
        let counts = books.counts.entry(call.host).or_default();
        let mut allowance = counts.charge(&client, paging, &limits, wall);
        if call.kind == HostKind::GoToSocial {
            let seconds = allowance.reset.split('.').next().unwrap_or_default();
            allowance.reset = format!("{seconds}.000Z");
        }
        Some(allowance)
    }

    fn reply(&self, call: &Call<'_>, bearer: Option<&str>) -> Reply {
        match call.kind {
            HostKind::Web => return Reply::web(StatusCode::OK),
            HostKind::Other if call.path.starts_with("/api/") => {
                let error =
                    json!({"error": {"message": "Unknown API endpoint.", "code": "UNKNOWN_API_ENDPOINT"}});
                return Reply { status: StatusCode::NOT_FOUND, ..Reply::json(error.to_string()) };
            }
            _ => {}
        }
        if let Some(reply) = instance::about_host(call.kind, &call.domain, call.path, call.signed) {
            return reply;
        }
        let Some(rest) = call.path.strip_prefix("/api/v1/accounts") else {
            return Reply::web(StatusCode::NOT_FOUND);
        };
        match bearer {
            Some(bearer) if bearer != format!("Bearer {}", Self::token(call.host)) => {
                return Reply::error(StatusCode::UNAUTHORIZED, "The access token is invalid");
            }
            None if call.kind.wants_token() => {
                return Reply::error(StatusCode::UNAUTHORIZED, "This API requires an authenticated user");
            }
            _ => {}
        }
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [""] => self.several(call),
            ["", "lookup"] => self.lookup(call),
            ["", id] => self.show(call, id),
            ["", id, what @ ("statuses" | "followers")] => self.page(call, id, what),
            _ => Reply::web(StatusCode::NOT_FOUND),
        }
    }

    /// An account that the host shows, by its number.
    fn shown(&self, call: &Call<'_>, number: u64) -> Reply {
        let suspended = self.population.standing(number) == Standing::Suspended;
        if suspended && call.kind == HostKind::Old {
            return Reply::error(StatusCode::GONE, "Gone");
        }
        Reply::json(account(&self.population, call.host, number))
    }

    fn lookup(&self, call: &Call<'_>) -> Reply {
        let acct = call.text("acct").unwrap_or_default();
        let acct = acct.strip_prefix('@').unwrap_or(acct);
        let found = match acct.contains('@') {
            true => self.population.find_acct(acct),
            false => self.population.find(call.host, acct),
        };
        found.map_or_else(Reply::not_found, |number| self.shown(call, number))
    }

    fn number(&self, call: &Call<'_>, id: &str) -> u64 {
        let id = self.population.read_id(call.host, id);
        id.and_then(|id| ids::account_number(call.host, id)).unwrap_or(0)
    }

    fn show(&self, call: &Call<'_>, id: &str) -> Reply {
        let number = self.number(call, id);
        match self.population.all().contains(&number) {
            true => self.shown(call, number),
            false => Reply::not_found(),
        }
    }

    /// `accounts?id[]=`: those that are there.
    fn several(&self, call: &Call<'_>) -> Reply {
        match call.kind {
            HostKind::GoToSocial => {
                return Reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            }
            HostKind::Old => return Reply::web(StatusCode::NOT_FOUND),
            _ => {}
        }
        let asked = call.query.iter().filter(|(name, _)| name == "id[]");
        let numbers = asked.map(|(_, id)| self.number(call, id));
        let found = numbers.filter(|number| self.population.all().contains(number));
        let found: Vec<String> = found.map(|number| account(&self.population, call.host, number)).collect();
        Reply::json(format!("[{}]", found.join(",")))
    }

    fn page(&self, call: &Call<'_>, id: &str, what: &str) -> Reply {
        let pager = Pager {
            population: &self.population,
            host: call.host,
            kind: call.kind,
            number: self.number(call, id),
            signed: call.signed,
            place: Place { domain: &call.domain, path: call.path, limit: call.text("limit") },
            max_id: call.text("max_id"),
            min_id: call.text("min_id"),
            since_id: call.text("since_id"),
        };
        if what == "statuses" { pager.posts() } else { pager.followers() }
    }

    /// `/_emulator/`: what tests in other processes ask for. Not counted, not limited.
    fn control(&self, action: &str) -> Reply {
        let population = &self.population;
        let lines = |lines: Vec<String>| Reply {
            content_type: "text/plain; charset=utf-8",
            ..Reply::json(lines.iter().map(|line| format!("{line}\n")).collect::<String>())
        };
        let account = |acct: &str| population.find_acct(acct);
        match action.split('/').collect::<Vec<_>>().as_slice() {
            ["stats"] => Reply::json(json!(self.stats()).to_string()),
            ["accounts"] => lines(population.all().map(|number| population.acct(number)).collect()),
            ["expected", "timeline", acct] => {
                account(acct).map_or_else(Reply::not_found, |number| lines(population.expected_posts(number)))
            }
            ["expected", "followers", acct] => account(acct)
                .map_or_else(Reply::not_found, |number| lines(population.expected_followers(number))),
            _ => Reply::not_found(),
        }
    }
}
