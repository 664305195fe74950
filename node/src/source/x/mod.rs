//! The X API v2.
//!
//! Pages of posts (`users/:id/tweets`), pages of followers (`users/:id/followers`), and look-ups by id (`users`) and by
//! name (`users/by`), as described by the API's OpenAPI specification, versions 2.166 and 2.167, which differ in
//! [wording](Wording).
//!
//! # Money
//!
//! Each object of an answer is charged, those in `includes` too. [`Answer::cost`] is what a request has to be counted
//! with, in millionths of the currency: exactly what the answer holds if it could be read; nothing for a refusal; the
//! [most that it could cost](XSource::worst_cost) if it was sent and what it held is not known. The API charges an
//! object once in a day (UTC), but does not promise it; therefore it is never counted on.
//!
//! # Apps
//!
//! Each app has a token, limits and a bill of its own. An account belongs to one app, as long as that can be used: so
//! [`Source::scope`] and the request after it agree. An app whose token was revoked, or that lacks the access, is set
//! aside with its reason, and the others take its accounts. An app that has reached a spending limit is not set aside:
//! its budgets are spent until the API says that they are renewed.

mod cost;
mod facts;
mod page;
mod paid;
mod problem;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Request;
use serde_json::value::RawValue;
use storage::ids::UserId;

pub use cost::{Cost, Prices};
use cost::{Extras, sizes};
pub use facts::FACTS;
pub(in crate::source) use facts::facts;
use page::{Answered, Nothing};
use problem::refusal;
use request::Requests;
pub use settings::{MARGIN, Wording, XApp, XSettings, XSettingsError};

use super::{
    Answer, Asked, CursorLoops, Endpoint, FollowersPage, HttpClient, Profile, RateInfo, Source, SourceError,
    TimelinePage,
};
use crate::rate::{BudgetScope, Delivery};

/// Ids or names in one look-up.
const LOOKUP_BATCH: usize = 100;

/// Longest message about an answer, characters.
const LONGEST_COMPLAINT: usize = 200;

/// The X API v2 as a [`Source`].
#[derive(Debug)]
pub struct XSource {
    requests: Requests,
    settings: XSettings,
    extras: Extras,
    /// Why an app is set aside, by app.
    aside: Vec<OnceLock<String>>,
}

/// What is asked: by which app, for how many objects.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The position of the app in the settings.
    pub app: usize,
    /// Objects on the page; a size that the API does not offer is replaced by the nearest.
    pub size: u32,
}

impl XSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn new(settings: XSettings) -> Result<Self, XSettingsError> {
        let requests = Requests::new(&settings)?;
        let extras = Extras::of(settings.wording, &settings.post_expansions, &settings.user_expansions)?;
        let aside = settings.apps.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { requests, settings, extras, aside })
    }

    /// The most that an answer can hold of each kind, `includes` counted.
    pub fn worst_cost(&self, endpoint: Endpoint, page_size: u32) -> Cost {
        self.extras.worst(endpoint, page_size)
    }

    /// The largest page that costs at most `micros`; `None` if the smallest one can cost more.
    pub fn largest_page(&self, endpoint: Endpoint, micros: u64) -> Option<u32> {
        let (mut least, mut most) = sizes(endpoint);
        let fits = |size| self.worst_cost(endpoint, size).micros(&self.settings.prices) <= micros;
        if !fits(least) {
            return None;
        }
        while least < most {
            let middle = most - (most - least) / 2;
            if fits(middle) { least = middle } else { most = middle - 1 }
        }
        Some(least)
    }

    /// The prices.
    pub fn prices(&self) -> &Prices {
        &self.settings.prices
    }

    /// The API's clock (`Date`), Unix seconds, by a request without a token, which is refused and not charged. Whoever
    /// waits for the next billing cycle sends no other request that would say that it has begun.
    ///
    /// # Errors
    /// There was no answer, or it had no date.
    pub async fn date(&self, via: &HttpClient) -> Result<u64, SourceError> {
        let asked = self.requests.asked(Endpoint::Lookup, None);
        let answer = match via.exchange(self.requests.without_token()).await {
            Ok(answer) => answer,
            Err(none) => {
                return Err(SourceError::Passing { asked, what: none.to_string(), retry_after: None });
            }
        };
        answer.rate.date.ok_or_else(|| garbage(&asked, "the answer has no Date"))
    }

    /// The names of the apps, by position.
    pub fn app_name(&self, app: usize) -> &str {
        self.settings.apps.get(app).map_or("?", XApp::name)
    }

    /// The apps that are set aside, with the reason.
    pub fn set_aside(&self) -> Vec<(&str, &str)> {
        let apps = self.settings.apps.iter().zip(&self.aside);
        apps.filter_map(|(app, why)| Some((app.name(), why.get()?.as_str()))).collect()
    }

    /// The app and the page size by which a request is made if nothing else is said. Without a user it is the first app
    /// that can be used; if there is none, the first one, which says again what is wrong with it.
    pub fn terms(&self, endpoint: Endpoint, user: Option<&UserId>) -> Terms {
        let usable = self.usable_apps();
        let turn = match user {
            Some(UserId::Number(id)) => (*id).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32,
            _ => 0,
        };
        let app = usable.get((turn % usable.len().max(1) as u64) as usize).copied().unwrap_or(0);
        let size = match endpoint {
            Endpoint::Timeline | Endpoint::Repository => self.settings.posts_page,
            Endpoint::Followers => self.settings.followers_page,
            Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => LOOKUP_BATCH as u32,
        };
        Terms { app, size }
    }

    /// One page of posts, as [`Source::timeline_page`], by the given terms.
    pub async fn posts(
        &self,
        via: &HttpClient,
        user: &UserId,
        cursor: Option<&str>,
        since: Option<&str>,
        terms: Terms,
    ) -> Answer<TimelinePage> {
        let endpoint = Endpoint::Timeline;
        let request = self.requests.list(terms.app, endpoint, user, (cursor, since), terms.size);
        let asked = self.requests.asked(endpoint, Some(user));
        let answer = self.ask(via, request, endpoint, Some(user), terms).await;
        answer.and_then(|answered| {
            let body = format!("[{}]", answered.objects.join(","));
            let mut page = TimelinePage::parse(body.into_bytes()).map_err(|what| garbage(&asked, what))?;
            if page.items().is_empty() && page.unusable > 0 {
                return Err(garbage(&asked, format!("none of {} posts has a usable id", page.unusable)));
            }
            page.next = next(answered.next, cursor, &asked)?;
            Ok(page)
        })
    }

    /// One page of followers, as [`Source::followers_page`], by the given terms.
    pub async fn followers(
        &self,
        via: &HttpClient,
        user: &UserId,
        cursor: Option<&str>,
        terms: Terms,
    ) -> Answer<FollowersPage> {
        let endpoint = Endpoint::Followers;
        let request = self.requests.list(terms.app, endpoint, user, (cursor, None), terms.size);
        let asked = self.requests.asked(endpoint, Some(user));
        let answer = self.ask(via, request, endpoint, Some(user), terms).await;
        answer.and_then(|answered| {
            let (profiles, unusable) = profiles(answered.objects);
            if profiles.is_empty() && unusable > 0 {
                return Err(garbage(&asked, format!("none of {unusable} followers has a usable id")));
            }
            let ids = profiles.iter().map(|profile| profile.id.clone()).collect();
            Ok(FollowersPage { ids, profiles, unusable, next: next(answered.next, cursor, &asked)? })
        })
    }

    /// Profiles by id or by name, by the given app.
    async fn users(
        &self,
        via: &HttpClient,
        endpoint: Endpoint,
        request: Result<Request, SourceError>,
        terms: Terms,
    ) -> Answer<Vec<Profile>> {
        let asked = self.requests.asked(endpoint, None);
        let answer = self.ask(via, request, endpoint, None, terms).await;
        answer.and_then(|answered| {
            let (profiles, unusable) = profiles(answered.objects);
            if profiles.is_empty() && unusable > 0 {
                // Accepting this as an answer would count all requested accounts as gone.
                return Err(garbage(&asked, format!("none of {unusable} profiles has a usable id")));
            }
            Ok(profiles)
        })
    }

    async fn ask(
        &self,
        via: &HttpClient,
        request: Result<Request, SourceError>,
        endpoint: Endpoint,
        user: Option<&UserId>,
        terms: Terms,
    ) -> Answer<Answered> {
        let request = match request {
            Ok(request) => request,
            Err(error) => return Answer::unasked(Err(error)),
        };
        let asked = self.requests.asked(endpoint, user);
        let (least, most) = sizes(endpoint);
        let worst = self.worst_cost(endpoint, terms.size.clamp(least, most)).micros(self.prices());
        let answer = match via.exchange(request).await {
            Ok(answer) => answer,
            Err(none) => {
                let cost = if none.delivery == Delivery::NotSent { 0 } else { worst };
                let rate = RateInfo { delivery: none.delivery, ..RateInfo::not_sent() };
                let error = SourceError::Passing { asked, what: none.to_string(), retry_after: None };
                return Answer { outcome: Err(error), rate, cost };
            }
        };
        let (status, mut rate) = (answer.status, answer.rate);
        let body = match (status, answer.body) {
            (200..=299, Ok(body)) => body,
            (200..=299, Err(error)) => {
                return Answer { outcome: Err(garbage(&asked, error.to_string())), rate, cost: worst };
            }
            (_, body) => {
                // An error's body only refines its status. A front end can fail after the API has charged.
                let cost = if status >= 500 { worst } else { 0 };
                let outcome =
                    Err(self.refused(&asked, terms.app, status, &body.unwrap_or_default(), &mut rate, user));
                return Answer { outcome, rate, cost };
            }
        };
        let text = String::from_utf8(body).map_err(|_| "not UTF-8".to_owned());
        let (outcome, cost) = match text.and_then(|text| page::read(&text, endpoint, user)) {
            Ok(answered) => {
                let cost = answered.cost.micros(self.prices());
                (accept(answered, &asked, status), cost)
            }
            Err(what) => (Err(garbage(&asked, what)), worst),
        };
        Answer { outcome, rate, cost }
    }

    /// Classifies a refusal, and sets the app aside if it is of no more use.
    fn refused(
        &self,
        asked: &Asked,
        app: usize,
        status: u16,
        body: &[u8],
        rate: &mut RateInfo,
        user: Option<&UserId>,
    ) -> SourceError {
        let verdict = refusal(asked, self.app_name(app), status, body, rate, user);
        if !verdict.set_aside {
            return verdict.error;
        }
        if let Some(aside) = self.aside.get(app) {
            if aside.set(verdict.error.to_string()).is_ok() {
                tracing::error!(app = self.app_name(app), error = %verdict.error, "an app is set aside");
            }
        }
        if self.set_aside().len() == self.aside.len() {
            return verdict.error;
        }
        let what = format!("{}; its accounts go to the other apps", verdict.error);
        SourceError::Passing { asked: asked.clone(), what, retry_after: None }
    }
}

/// An answer without objects has to say why.
fn accept(answered: Answered, asked: &Asked, status: u16) -> Result<Answered, SourceError> {
    match &answered.nothing {
        None => Ok(answered),
        Some(Nothing::Gone(reason)) => {
            Err(SourceError::Gone { asked: asked.clone(), status, reason: *reason })
        }
        Some(Nothing::Problem(what)) => Err(garbage(asked, format!("no data, and the problem {what}"))),
        Some(Nothing::Empty) => Err(garbage(asked, "neither data nor errors nor meta")),
    }
}

/// `what` may quote the answer, however long it is; an error repeats its beginning.
fn garbage(asked: &Asked, what: impl Into<String>) -> SourceError {
    let what = storage::text::excerpt(&what.into(), LONGEST_COMPLAINT);
    SourceError::Garbage { asked: asked.clone(), what }
}

fn next(next: Option<String>, cursor: Option<&str>, asked: &Asked) -> Result<Option<String>, SourceError> {
    match next {
        Some(next) if cursor == Some(next.as_str()) => {
            Err(SourceError::Loops { asked: asked.clone(), loops: CursorLoops { cursor: next } })
        }
        next => Ok(next),
    }
}

/// The profiles, and how many objects are none.
fn profiles(objects: Vec<String>) -> (Vec<Profile>, usize) {
    let all = objects.len();
    let profile = |object| {
        let raw = RawValue::from_string(object).map_err(|error| error.to_string());
        raw.and_then(|raw| Profile::from_x(raw).map_err(|error| error.to_string()))
    };
    let read = objects.into_iter().map(profile);
    let good = read.filter_map(|profile| match profile {
        Ok(profile) => Some(profile),
        Err(error) => {
            tracing::warn!(%error, "left an entry out of an answer");
            None
        }
    });
    let profiles: Vec<Profile> = good.collect();
    let unusable = all - profiles.len();
    (profiles, unusable)
}

impl Source for XSource {
    /// They are paid for, and have the fields of a look-up.
    fn followers_come_whole(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "x"
    }

    fn place(&self) -> String {
        self.requests.place()
    }

    fn probe_name(&self) -> Option<&str> {
        None
    }

    fn paid(&self) -> Option<&XSource> {
        Some(self)
    }

    fn troubles(&self) -> Vec<String> {
        let aside = self.set_aside();
        aside
            .into_iter()
            .map(|(app, why)| format!("app {app} is set aside until this node restarts: {why}"))
            .collect()
    }

    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope {
        self.requests.scope(self.terms(endpoint, user).app, endpoint)
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
        let terms = self.terms(Endpoint::Timeline, Some(user));
        self.posts(via, user, cursor, since, terms).boxed()
    }

    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        let terms = self.terms(Endpoint::Followers, Some(user));
        self.followers(via, user, cursor, terms).boxed()
    }

    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.lookup_by(via, ids, self.terms(Endpoint::Lookup, None).app).boxed()
    }

    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        self.resolve_by(via, names, self.terms(Endpoint::Resolve, None).app).boxed()
    }
}
