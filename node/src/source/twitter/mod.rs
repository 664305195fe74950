//! Twitter's API v1 and v1.1, and compatible servers.
//!
//! Endpoints as described at <https://developer.x.com/en/docs/x-api/v1>: `statuses/user_timeline`, `followers/ids`
//! and `users/lookup`. Look-ups by id and by name share one endpoint and thus one budget.

mod followers;
#[cfg(fuzzing)]
pub mod fuzz;
mod request;
#[cfg(test)]
mod tests;
mod verdict;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Request;
use storage::ids::{PostId, UserId};

use request::{Requests, Resource};
pub use request::{TwitterSettings, TwitterSettingsError, check_base_url, check_bearer};
use verdict::{lacks_matches, refusal};

use super::bounded::AtMost;
use super::{
    Answer, Asked, CursorLoops, Endpoint, FollowersPage, HttpClient, MOST_ITEMS, Profile, RateInfo, Source,
    SourceError, TimelinePage,
};
use crate::rate::BudgetScope;

/// Ids or names in one look-up.
const LOOKUP_BATCH: usize = 100;
/// Most posts of an account that the network gives, its newest ones.
const TIMELINE_REACH: u64 = 3_200;

/// Longest message about an answer, characters.
const LONGEST_COMPLAINT: usize = 200;

/// The cursor of the first page of followers, and the one after the last.
const FIRST_CURSOR: &str = "-1";
const END_CURSOR: &str = "0";

/// Twitter's API v1 and v1.1 as a [`Source`].
#[derive(Debug)]
pub struct TwitterSource {
    requests: Requests,
}

impl TwitterSource {
    /// A source at `settings.base_url`.
    pub fn new(settings: &TwitterSettings) -> Result<Self, TwitterSettingsError> {
        Ok(Self { requests: Requests::new(settings)? })
    }

    async fn ask(
        &self,
        via: &HttpClient,
        request: Request,
        asked: &Asked,
        about_user: bool,
    ) -> Answer<Vec<u8>> {
        let answer = match via.exchange(request).await {
            Ok(answer) => answer,
            Err(none) => {
                let rate = RateInfo { delivery: none.delivery, ..RateInfo::not_sent() };
                let error =
                    SourceError::Passing { asked: asked.clone(), what: none.to_string(), retry_after: None };
                return Answer { outcome: Err(error), rate, cost: 0 };
            }
        };
        let mut rate = answer.rate;
        let outcome = match (answer.status, answer.body) {
            (200..=299, Ok(body)) => Ok(body),
            (200..=299, Err(error)) => Err(garbage(asked, error.to_string())),
            (404, Ok(body)) if !about_user && lacks_matches(&body) => Ok(b"[]".to_vec()),
            (status, body) => {
                // An error's body only refines its status.
                Err(refusal(asked, status, &body.unwrap_or_default(), &mut rate, about_user))
            }
        };
        Answer { outcome, rate, cost: 0 }
    }

    async fn profiles(&self, via: &HttpClient, form: Result<Request, SourceError>) -> Answer<Vec<Profile>> {
        let request = match form {
            Ok(request) => request,
            Err(error) => return Answer::unasked(Err(error)),
        };
        let asked = self.requests.asked(Resource::Lookup, None);
        let answer = self.ask(via, request, &asked, false).await;
        answer.and_then(|body| profiles(body, &asked))
    }
}

/// An object without an id stands for no requested account: like an unknown one, it is missing.
fn usable_profile(raw: Box<serde_json::value::RawValue>) -> Option<Profile> {
    match Profile::from_twitter(raw) {
        Ok(profile) => Some(profile),
        Err(error) => {
            tracing::warn!(%error, "left an entry out of a look-up's answer");
            None
        }
    }
}

impl Source for TwitterSource {
    fn kind(&self) -> &'static str {
        "twitter"
    }

    fn probe_name(&self) -> Option<&str> {
        Some("twitter")
    }

    fn place(&self) -> String {
        self.requests.base().to_owned()
    }

    fn scope(&self, endpoint: Endpoint, _user: Option<&UserId>) -> BudgetScope {
        self.requests.scope(match endpoint {
            Endpoint::Timeline | Endpoint::Repository => Resource::Timeline,
            Endpoint::Followers => Resource::Followers,
            Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => Resource::Lookup,
        })
    }

    fn lookup_batch(&self) -> usize {
        LOOKUP_BATCH
    }

    fn most_items(&self, endpoint: Endpoint) -> Option<u64> {
        matches!(endpoint, Endpoint::Timeline).then_some(TIMELINE_REACH)
    }

    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        async move {
            let asked = self.requests.asked(Resource::Timeline, Some(user));
            let request = match self.requests.timeline(user, cursor, since) {
                Ok(request) => request,
                Err(error) => return Answer::unasked(Err(error)),
            };
            let answer = self.ask(via, request, &asked, true).await;
            answer.and_then(|body| timeline(body, cursor, &asked))
        }
        .boxed()
    }

    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        async move {
            let asked = self.requests.asked(Resource::Followers, Some(user));
            let cursor = cursor.unwrap_or(FIRST_CURSOR);
            let request = match self.requests.followers(user, cursor) {
                Ok(request) => request,
                Err(error) => return Answer::unasked(Err(error)),
            };
            let answer = self.ask(via, request, &asked, true).await;
            answer.and_then(|body| followers(&body, cursor, &asked))
        }
        .boxed()
    }

    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move { self.profiles(via, self.requests.lookup(ids)).await }.boxed()
    }

    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move { self.profiles(via, self.requests.resolve(names)).await }.boxed()
    }
}

/// `what` may quote the answer, however long it is; an error repeats its beginning.
fn garbage(asked: &Asked, what: impl Into<String>) -> SourceError {
    let what = storage::text::excerpt(&what.into(), LONGEST_COMPLAINT);
    SourceError::Garbage { asked: asked.clone(), what }
}

fn profiles(body: Vec<u8>, asked: &Asked) -> Result<Vec<Profile>, SourceError> {
    let text = String::from_utf8(body).map_err(|_| garbage(asked, "not UTF-8"))?;
    let AtMost(objects) = serde_json::from_str::<AtMost<Box<serde_json::value::RawValue>, MOST_ITEMS>>(&text)
        .map_err(|e| garbage(asked, e.to_string()))?;
    let found = objects.len();
    let profiles: Vec<Profile> = objects.into_iter().filter_map(usable_profile).collect();
    if found > 0 && profiles.is_empty() {
        // Accepting this as an answer would count all requested accounts as suspended.
        return Err(garbage(asked, format!("none of {found} profiles has a usable id")));
    }
    Ok(profiles)
}

fn timeline(body: Vec<u8>, cursor: Option<&str>, asked: &Asked) -> Result<TimelinePage, SourceError> {
    let page = TimelinePage::parse(body).map_err(|what| garbage(asked, what))?;
    with_next(page, cursor, asked)
}

/// The next `max_id` is the lowest id minus one, because `max_id` is inclusive. It has to decrease from page
/// to page.
fn with_next(
    mut page: TimelinePage,
    cursor: Option<&str>,
    asked: &Asked,
) -> Result<TimelinePage, SourceError> {
    let lowest = page.items().iter().filter_map(|item| match &item.id {
        PostId::Number(id) => Some(*id),
        PostId::Text(_) => None,
    });
    let Some(lowest) = lowest.min() else {
        if page.unusable > 0 {
            // Accepting this as the end would silently truncate the timeline.
            return Err(garbage(asked, format!("none of {} tweets has a usable id", page.unusable)));
        }
        return Ok(page);
    };
    let next = lowest - 1;
    let before = cursor.and_then(|cursor| cursor.parse::<u64>().ok());
    if before.is_some_and(|before| next >= before) {
        let loops = CursorLoops { cursor: next.to_string() };
        return Err(SourceError::Loops { asked: asked.clone(), loops });
    }
    page.next = (next > 0).then(|| next.to_string());
    Ok(page)
}

fn followers(body: &[u8], cursor: &str, asked: &Asked) -> Result<FollowersPage, SourceError> {
    let (page, next) = followers::parse_followers(body).map_err(|what| garbage(asked, what))?;
    if next == cursor {
        let loops = CursorLoops { cursor: next };
        return Err(SourceError::Loops { asked: asked.clone(), loops });
    }
    let next = (next != END_CURSOR).then_some(next);
    Ok(FollowersPage { next, ..page })
}
