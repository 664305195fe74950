//! Requests to a network that charges: their worst case is taken from the purse before they are sent.

use std::time::Duration;

use api::model::{CrawlId, NO_CRAWL};
use storage::ids::UserId;

use super::Crawler;
use super::draft::{Page, Pages};
use super::job_error::JobError;
use super::networks::Network;
use crate::address::Permit;
use crate::purse::{Bid, NoMoney, Spending};
use crate::rate::{Delivery, RateInfo};
use crate::source::x::{Terms, XSource};
use crate::source::{Endpoint, Profile};

/// How long a job waits if the network's date is not to be had.
const AFTER_NO_DATE: Duration = Duration::from_secs(5);

impl From<NoMoney> for JobError {
    fn from(none: NoMoney) -> Self {
        Self::NoMoney { what: none.what, after: none.after }
    }
}

/// A request that is paid for and may be sent.
struct Paid {
    spending: Spending,
    permit: Permit,
    terms: Terms,
}

impl Crawler {
    /// One page of posts or followers, smaller near a limit.
    pub(super) async fn paid_page(
        &self,
        network: &Network,
        x: &XSource,
        (pages, crawl, user): (Pages, CrawlId, &UserId),
        cursor: Option<&str>,
        since: Option<&str>,
    ) -> Result<Page, JobError> {
        let endpoint = match pages {
            Pages::Timeline => Endpoint::Timeline,
            Pages::Followers => Endpoint::Followers,
        };
        loop {
            let terms = x.terms(endpoint, Some(user));
            let Paid { spending, permit, terms } = self.pay(x, crawl, endpoint, terms).await?;
            match pages {
                Pages::Timeline => {
                    let answer = x.posts(permit.client(), user, cursor, since, terms).await;
                    spending.settle(&answer.rate, answer.cost);
                    if let Some(page) = self.settle(network, endpoint, permit, answer)? {
                        return Ok(Page::Timeline(page));
                    }
                }
                Pages::Followers => {
                    let answer = x.followers(permit.client(), user, cursor, terms).await;
                    spending.settle(&answer.rate, answer.cost);
                    if let Some(page) = self.settle(network, endpoint, permit, answer)? {
                        return Ok(Page::Followers(page));
                    }
                }
            }
        }
    }

    /// The profiles of the first of these accounts, and how many were looked up: all, or fewer near a limit.
    pub(super) async fn paid_look_up(
        &self,
        network: &Network,
        x: &XSource,
        crawl: CrawlId,
        users: &[UserId],
    ) -> Result<(Vec<Profile>, usize), JobError> {
        let endpoint = Endpoint::Lookup;
        loop {
            let terms = self.terms_of_lookup(x, endpoint, users.len());
            let Paid { spending, permit, terms } = self.pay(x, crawl, endpoint, terms).await?;
            let asked = &users[..users.len().min(terms.size as usize)];
            let answer = x.lookup_by(permit.client(), asked, terms.app).await;
            spending.settle(&answer.rate, answer.cost);
            if let Some(profiles) = self.settle(network, endpoint, permit, answer)? {
                return Ok((profiles, asked.len()));
            }
        }
    }

    /// The profiles of these names, for an operator.
    pub(super) async fn paid_resolve(
        &self,
        network: &Network,
        x: &XSource,
        names: &[String],
    ) -> Result<Vec<Profile>, JobError> {
        let endpoint = Endpoint::Resolve;
        let (mut found, mut left) = (Vec::new(), names);
        while !left.is_empty() {
            let terms = self.terms_of_lookup(x, endpoint, left.len());
            let Paid { spending, permit, terms } = self.pay(x, NO_CRAWL, endpoint, terms).await?;
            let (asked, rest) = left.split_at(left.len().min(terms.size as usize));
            let answer = x.resolve_by(permit.client(), asked, terms.app).await;
            spending.settle(&answer.rate, answer.cost);
            if let Some(profiles) = self.settle(network, endpoint, permit, answer)? {
                found.extend(profiles);
                left = rest;
            }
        }
        Ok(found)
    }

    /// Look-ups belong to no account: any app does that can be used and has something left.
    fn terms_of_lookup(&self, x: &XSource, endpoint: Endpoint, accounts: usize) -> Terms {
        let usual = x.terms(endpoint, None);
        let solvent = x.usable_apps().into_iter().find(|app| !self.purse.waits(x.app_name(*app)));
        Terms { app: solvent.unwrap_or(usual.app), size: usual.size.min(accounts as u32) }
    }

    /// Takes the money and the permission for one request.
    async fn pay(
        &self,
        x: &XSource,
        crawl: CrawlId,
        endpoint: Endpoint,
        usual: Terms,
    ) -> Result<Paid, JobError> {
        loop {
            self.ask_for_the_date(x, usual.app).await?;
            let cost = |size| x.worst_micros(endpoint, size);
            let least = x.smallest(endpoint).min(usual.size);
            let bid = Bid { app: x.app_name(usual.app), crawl, usual: cost(usual.size), least: cost(least) };
            let fit = |micros| {
                let size = x.largest_page(endpoint, micros)?.min(usual.size);
                Some((size, cost(size)))
            };
            let (mut spending, size) = self.purse.take(bid, usual.size, fit).await?;
            // What was taken goes back if there is no permission.
            let permit = self.permit(&x.app_scope(usual.app, endpoint)).await?;
            if spending.send() {
                return Ok(Paid { spending, permit, terms: Terms { size, ..usual } });
            }
            permit.settle(&RateInfo::not_sent());
        }
    }

    /// Asks the network for its date if an app waits for a cycle that should have begun: no other request would say so.
    async fn ask_for_the_date(&self, x: &XSource, app: usize) -> Result<(), JobError> {
        let app = x.app_name(app);
        if !self.purse.is_date_due(app) {
            return Ok(());
        }
        let permit = self.permit(&x.date_scope()).await?;
        let date = x.date(permit.client()).await;
        let silent = RateInfo::unanswered();
        let answered = RateInfo { delivery: Delivery::Answered(401), ..silent.clone() };
        permit.settle(if date.is_ok() { &answered } else { &silent });
        let date =
            date.map_err(|error| JobError::NoMoney { what: error.to_string(), after: AFTER_NO_DATE })?;
        self.purse.see(app, date);
        self.purse.ask_again(app);
        Ok(())
    }
}
