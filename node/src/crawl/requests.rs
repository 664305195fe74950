//! Sends a request from whichever address has budget left.

use std::collections::HashSet;
use std::time::Duration;

use api::model::CrawlId;
use storage::ids::UserId;

use super::Crawler;
use super::draft::{Page, Pages};
use super::job_error::JobError;
use super::networks::Network;
use crate::address::Permit;
use crate::budget::Acquired;
use crate::rate::{BudgetScope, Delivery};
use crate::source::{Answer, Endpoint, Profile, SourceError};

/// How long a worker waits for a budget before it hands its job back.
const BUDGET_WAIT: Duration = Duration::from_secs(2);
/// A job that is handed back waits for at least this long.
const SHORTEST_LIMIT: Duration = Duration::from_millis(100);

impl Crawler {
    /// One page of a timeline or follower list.
    pub(super) async fn page(
        &self,
        network: &Network,
        (pages, crawl, user): (Pages, CrawlId, &UserId),
        cursor: Option<&str>,
        since: Option<&str>,
    ) -> Result<Page, JobError> {
        if let Some(x) = network.source.paid() {
            return self.paid_page(network, x, (pages, crawl, user), cursor, since).await;
        }
        match pages {
            Pages::Timeline => loop {
                let endpoint = network.source.timeline_endpoint(cursor, since);
                self.locate(network, endpoint, user).await?;
                let scope = network.source.page_scope(endpoint, user, cursor);
                let permit = self.permit(&scope).await?;
                let answer = network.source.timeline_page(permit.client(), user, cursor, since).await;
                if let Some(page) = self.settle(network, endpoint, permit, answer)? {
                    return Ok(Page::Timeline(page));
                }
            },
            Pages::Followers => loop {
                self.locate(network, Endpoint::Followers, user).await?;
                let scope = network.source.page_scope(Endpoint::Followers, user, cursor);
                let permit = self.permit(&scope).await?;
                let answer = network.source.followers_page(permit.client(), user, cursor).await;
                if let Some(page) = self.settle(network, Endpoint::Followers, permit, answer)? {
                    let clock = &self.parts.clock;
                    network.came_along.keep(&page.profiles, clock.monotonic(), clock.wall());
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
        Ok((profiles, looked_up))
    }

    async fn look_up_all(&self, network: &Network, users: &[UserId]) -> Result<Vec<Profile>, JobError> {
        loop {
            // A source with many hosts looks up one account at a time.
            if let Some(first) = users.first() {
                self.locate(network, Endpoint::Lookup, first).await?;
            }
            let permit = self.permit(&network.source.scope(Endpoint::Lookup, users.first())).await?;
            let answer = network.source.lookup(permit.client(), users).await;
            if let Some(profiles) = self.settle(network, Endpoint::Lookup, permit, answer)? {
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
            let permit = self.permit(&network.source.scope(Endpoint::Locate, Some(user))).await?;
            let answer = network.source.locate(permit.client(), user).await;
            if self.settle(network, Endpoint::Locate, permit, answer)?.is_some() {
                // Others may have pushed it out of a full memory since: then its request is only counted elsewhere.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Permission to send one request.
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
    pub(super) fn settle<T>(
        &self,
        network: &Network,
        endpoint: Endpoint,
        permit: Permit,
        answer: Answer<T>,
    ) -> Result<Option<T>, JobError> {
        self.counters.add_request(endpoint, permit.client().address(), &answer.rate);
        let not_sent = answer.rate.delivery == Delivery::NotSent;
        if matches!(answer.rate.delivery, Delivery::Answered(_)) {
            network.health.answered();
        }
        let (outcome, _cost) = permit.settle_with(answer);
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(SourceError::Limited { .. } | SourceError::Moved { .. }) => Ok(None),
            Err(error @ SourceError::Passing { .. }) if not_sent && network.source.has_one_host(endpoint) => {
                Err(JobError::SourceDown { what: error.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
