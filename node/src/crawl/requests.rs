//! Sends a request from whichever address has budget left.

use std::collections::HashSet;
use std::time::Duration;

use api::model::CrawlId;
use storage::ids::UserId;

use super::Crawler;
use super::draft::{Page, Pages};
use super::host_gate::{Closed, Pass};
use super::job_error::{HostWait, JobError};
use super::networks::Network;
use crate::address::Permit;
use crate::budget::Acquired;
use crate::http_client::HttpClient;
use crate::rate::{BudgetScope, Delivery, RateInfo};
use crate::source::{Answer, Asked, Endpoint, Profile, SourceError};

/// How long a worker waits for a budget before it hands its job back.
const BUDGET_WAIT: Duration = Duration::from_secs(2);
/// A job that is handed back waits for at least this long.
const SHORTEST_LIMIT: Duration = Duration::from_millis(100);
/// How long a worker waits for the requests of others to a host.
const HOST_WAIT: Duration = Duration::from_millis(500);
/// When a job comes back whose host had enough requests in flight for that long.
const BUSY_AGAIN: Duration = Duration::from_millis(200);

impl Crawler {
    /// One page of a timeline or follower list.
    pub(super) async fn page(
        &self,
        network: &Network,
        (pages, crawl, user): (Pages, CrawlId, &UserId),
        cursor: Option<&str>,
        since: Option<&str>,
    ) -> Result<Page, JobError> {
        let page = match network.source.paid() {
            Some(x) => self.paid_page(network, x, (pages, crawl, user), cursor, since).await?,
            None => self.free_page(network, (pages, user), cursor, since).await?,
        };
        self.tell_page(&page, since);
        if let Page::Followers(page) = &page {
            let clock = &self.parts.clock;
            network.came_along.keep(&page.profiles, clock.monotonic(), clock.wall());
            self.tell_profiles(network, &page.profiles).await;
        }
        Ok(page)
    }

    async fn free_page(
        &self,
        network: &Network,
        (pages, user): (Pages, &UserId),
        cursor: Option<&str>,
        since: Option<&str>,
    ) -> Result<Page, JobError> {
        match pages {
            Pages::Timeline => loop {
                let endpoint = network.source.timeline_endpoint(cursor, since);
                self.locate(network, endpoint, user).await?;
                let scope = network.source.page_scope(endpoint, user, cursor);
                let turn = self.turn(network, endpoint, Some(user), &scope).await?;
                let request = network.source.timeline_page(turn.client(), user, cursor, since);
                let answer = match endpoint {
                    // A repository comes slowly, and is read as it comes.
                    Endpoint::Repository => request.await,
                    _ => turn.in_time(request).await,
                };
                if let Some(page) = self.settle(network, endpoint, turn, answer)? {
                    return Ok(Page::Timeline(page));
                }
            },
            Pages::Followers => loop {
                self.locate(network, Endpoint::Followers, user).await?;
                let scope = network.source.page_scope(Endpoint::Followers, user, cursor);
                let turn = self.turn(network, Endpoint::Followers, Some(user), &scope).await?;
                let answer = turn.in_time(network.source.followers_page(turn.client(), user, cursor)).await;
                if let Some(page) = self.settle(network, Endpoint::Followers, turn, answer)? {
                    return Ok(Page::Followers(page));
                }
            },
        }
    }

    /// The profiles of the first of these accounts, each once, and how many were looked up: all, or fewer if money runs
    /// out; those that are gone are missing.
    pub(super) async fn look_up(
        &self,
        network: &Network,
        crawl: CrawlId,
        users: &[UserId],
    ) -> Result<(Vec<Profile>, usize), JobError> {
        let (mut profiles, looked_up) = match network.source.paid() {
            Some(x) => self.paid_look_up(network, x, crawl, users).await?,
            None => (self.look_up_all(network, users).await?, users.len()),
        };
        // An answer may repeat some, or hold accounts that nobody asked for.
        let mut asked: HashSet<&UserId> = users[..looked_up].iter().collect();
        profiles.retain(|profile| asked.remove(&profile.id));
        self.counters.add_profiles(profiles.len());
        self.tell_looked_up(network, &profiles).await;
        Ok((profiles, looked_up))
    }

    async fn look_up_all(&self, network: &Network, users: &[UserId]) -> Result<Vec<Profile>, JobError> {
        loop {
            // A source with many hosts looks up one account at a time.
            if let Some(first) = users.first() {
                let located = self.locate(network, Endpoint::Lookup, first).await;
                located.map_err(JobError::of_one_among_many)?;
            }
            let scope = network.source.scope(Endpoint::Lookup, users.first());
            let turn = self.turn(network, Endpoint::Lookup, users.first(), &scope).await;
            let turn = turn.map_err(JobError::of_one_among_many)?;
            let answer = turn.in_time(network.source.lookup(turn.client(), users)).await;
            let settled = self.settle(network, Endpoint::Lookup, turn, answer);
            if let Some(profiles) = settled.map_err(JobError::of_one_among_many)? {
                return Ok(profiles);
            }
        }
    }

    /// Finds the account's host, if that is not known.
    pub(super) async fn locate(
        &self,
        network: &Network,
        endpoint: Endpoint,
        user: &UserId,
    ) -> Result<(), JobError> {
        while !network.source.is_located(endpoint, user) {
            let scope = network.source.scope(Endpoint::Locate, Some(user));
            let turn = self.turn(network, Endpoint::Locate, Some(user), &scope).await?;
            let answer = turn.in_time(network.source.locate(turn.client(), user)).await;
            if self.settle(network, Endpoint::Locate, turn, answer)?.is_some() {
                // Others may have pushed it out of a full memory since: then its request is only counted elsewhere.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Permission to send one request: its host takes one, and an address has budget left.
    pub(super) async fn turn<'a>(
        &'a self,
        network: &'a Network,
        endpoint: Endpoint,
        user: Option<&UserId>,
        scope: &BudgetScope,
    ) -> Result<Turn<'a>, JobError> {
        let host = user.and_then(|user| network.source.host(endpoint, user));
        let Some(host) = host else {
            return Ok(Turn { permit: self.permit(scope).await?, host: None });
        };
        // First the host: what is taken from a budget and not sent would be lost.
        let pass = match network.hosts.enter(&host, HOST_WAIT, &*self.parts.clock).await {
            Ok(pass) => pass,
            Err(closed) => return Err(waits_for(host, closed)),
        };
        match self.permit(scope).await {
            Ok(permit) => Ok(Turn { permit, host: Some((host, pass)) }),
            Err(JobError::Limited { after }) => {
                Err(JobError::HostWaits { host, after, why: HostWait::Limited })
            }
            Err(error) => Err(error),
        }
    }

    /// Permission to send one request that no host is held for.
    pub(super) async fn permit(&self, scope: &BudgetScope) -> Result<Permit, JobError> {
        match self.parts.pool.acquire_within(scope, BUDGET_WAIT).await {
            Ok(Acquired::Ready(permit)) => Ok(permit),
            Ok(Acquired::Wait(after)) => Err(JobError::Limited { after: after.max(SHORTEST_LIMIT) }),
            Err(error) => Err(JobError::NoAddress(error.to_string())),
        }
    }

    /// Processes an answer; `None` if the request should be tried again: that address has no budget left, or the account
    /// has moved.
    ///
    /// The ledger learns of every refusal, so the addresses eventually run out. A source says only once in a while that
    /// an account has moved.
    pub(super) fn settle<'a, T>(
        &self,
        network: &Network,
        endpoint: Endpoint,
        turn: impl Into<Turn<'a>>,
        answer: Answer<T>,
    ) -> Result<Option<T>, JobError> {
        let Turn { permit, host } = turn.into();
        self.counters.add_request(endpoint, permit.client().address(), &answer.rate);
        let delivery = answer.rate.delivery;
        if matches!(delivery, Delivery::Answered(_)) {
            network.health.answered();
        }
        let (outcome, _cost) = permit.settle_with(answer);
        let away = match (&outcome, &host) {
            (Err(error @ SourceError::Passing { retry_after, .. }), Some((name, _)))
                if is_no_answer(delivery) =>
            {
                let what = error.to_string();
                let env = (&*self.parts.clock, &*self.parts.entropy);
                let rest = network.hosts.failed(name, &what, *retry_after, env);
                rest.map(|after| JobError::HostWaits {
                    host: name.clone(),
                    after,
                    why: HostWait::Away { what },
                })
            }
            (_, Some((name, _))) if matches!(delivery, Delivery::Answered(_)) => {
                network.hosts.answered(name);
                None
            }
            _ => None,
        };
        if let Some(away) = away {
            return Err(away);
        }
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(SourceError::Limited { .. } | SourceError::Moved { .. }) => Ok(None),
            Err(error @ SourceError::Passing { .. })
                if delivery == Delivery::NotSent && network.source.has_one_host(endpoint) =>
            {
                Err(JobError::SourceDown { what: error.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Permission to send one request.
#[must_use]
pub(super) struct Turn<'a> {
    permit: Permit,
    /// The host, where a source has many.
    host: Option<(String, Pass<'a>)>,
}

impl From<Permit> for Turn<'_> {
    fn from(permit: Permit) -> Self {
        Self { permit, host: None }
    }
}

impl Turn<'_> {
    /// The client of the address to send from.
    pub(super) fn client(&self) -> &HttpClient {
        self.permit.client()
    }

    /// The answer to a request; of a host that has not answered before, within less time than others have.
    async fn in_time<T>(&self, request: impl Future<Output = Answer<T>>) -> Answer<T> {
        let Some((host, pass)) = &self.host else { return request.await };
        tokio::select! {
            biased;
            answer = request => answer,
            () = pass.overdue() => {
                let asked = Asked { url: host.as_str().into(), user: None };
                let what = "the host has not answered any request yet, nor this one in time".to_owned();
                let error = SourceError::Passing { asked, what, retry_after: None };
                Answer { outcome: Err(error), rate: RateInfo::unanswered(), cost: 0 }
            }
        }
    }
}

/// Whether a temporary failure is that of a host that cannot be reached: there was no answer, or a gateway in front of the
/// host says so (RFC 9110, 15.6.3 to 15.6.5, and the codes from 520 on of Cloudflare).
fn is_no_answer(delivery: Delivery) -> bool {
    match delivery {
        Delivery::NotSent | Delivery::Unanswered => true,
        Delivery::Answered(status) => matches!(status, 502..=504 | 520..=530),
    }
}

fn waits_for(host: String, closed: Closed) -> JobError {
    let (after, why) = match closed {
        Closed::Busy => (BUSY_AGAIN, HostWait::Busy),
        Closed::Away { rest, what } => (rest, HostWait::Resting { what }),
    };
    JobError::HostWaits { host, after, why }
}
