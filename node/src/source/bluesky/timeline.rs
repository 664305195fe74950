//! An account's timeline, whole or in pages.

use std::sync::Arc;

use reqwest::Url;
use storage::ids::UserId;

use super::ask::{Ask, Reply, garbage, settled};
use super::ids::{Did, parts};
use super::listing::{self, Page, PageError, Place};
use super::repository::{Incoming, Repository, RepositoryError};
use super::rest::RepositoryPosts;
use super::verdict::Refusal;
use super::{BlueskySource, PAGE, labels};
use crate::http_client::{BodyError, HttpClient};
use crate::rate::RateInfo;
use crate::source::bounded::AtMost;
use crate::source::{Answer, Asked, GoneReason, MOST_ITEMS, SourceError, TimelinePage};

/// The cursor of a walk that has found its server's lists in another order: the repository instead.
const WHOLE: &str = "repository";

/// The cursor of a walk whose server refused without a reason: it is asked for one, as a request of its own.
const WHY: &str = "why";

/// Bytes of a repository that are spooled at a time.
const PIECE: usize = 256 << 10;

/// Whether the page at `cursor` is a whole repository. An update mostly needs one page.
pub(super) fn is_whole(cursor: Option<&str>, since: Option<&str>) -> bool {
    match cursor {
        None => since.is_none(),
        Some(cursor) => cursor == WHOLE,
    }
}

/// What came of asking for a repository.
enum Fetched {
    Whole(Repository),
    /// It is too large, or the server does not send it.
    No(String),
    /// Others take the room that it needs.
    NoRoom(String),
}

impl BlueskySource {
    pub(super) async fn timeline(
        &self,
        via: &HttpClient,
        user: &UserId,
        cursor: Option<&str>,
        since: Option<&str>,
    ) -> Answer<TimelinePage> {
        let Some(did) = Did::of(user).map(|did| did.to_string()) else { return self.no_did(user) };
        let Some(document) = self.accounts.get(user) else { return self.unlocated(user) };
        let pds = document.pds.clone();
        if is_whole(cursor, since) {
            return Box::pin(self.whole(via, &pds, user, did, since, cursor.is_some())).await;
        }
        if cursor == Some(WHY) {
            return Box::pin(self.why_gone(via, &pds, user)).await;
        }
        let first = || self.first_place(false);
        // A cursor of other settings is as good as none: the draft has what was written.
        let place =
            cursor.and_then(|cursor| Place::parse(cursor, self.collections.len())).unwrap_or_else(first);
        if place.requests == 0 && !self.settings.signed_in_only {
            return Box::pin(self.admitted(via, &pds, user, &did, place)).await;
        }
        Box::pin(self.listed(via, &pds, user, &did, place, since)).await
    }

    /// The whole repository. `forced`: because pages cannot be used.
    async fn whole(
        &self,
        via: &HttpClient,
        pds: &Url,
        user: &UserId,
        did: String,
        since: Option<&str>,
        forced: bool,
    ) -> Answer<TimelinePage> {
        let ask = self.of_pds(pds, "com.atproto.sync.getRepo", &[("did", &did)], user);
        let (ask, asked) = (ask.streamed(self.settings.repository_timeout), user_asked(pds, "getRepo", user));
        let answer = self.fetch(via, ask, &asked, &did).await;
        let (rate, repository) = match answer {
            Answer { outcome: Ok(Reply::Good(Fetched::Whole(repository))), rate, .. } => (rate, repository),
            Answer { outcome: Ok(Reply::Good(Fetched::No(why))), rate, .. } => {
                let outcome = self.in_pages_instead(&asked, why, forced);
                return Answer { outcome, rate, cost: 0 };
            }
            Answer { outcome: Ok(Reply::Good(Fetched::NoRoom(why))), rate, .. } => {
                let outcome = match forced {
                    true => Err(passing(&asked, why)),
                    false => self.in_pages_instead(&asked, why, forced),
                };
                return Answer { outcome, rate, cost: 0 };
            }
            Answer { outcome: Ok(Reply::Refused(refusal)), rate, .. } => {
                if refusal.is_unknown_method() {
                    let outcome = self.in_pages_instead(&asked, refusal.message, forced);
                    return Answer { outcome, rate, cost: 0 };
                }
                return self.refusal(user, &asked, &refusal, rate);
            }
            Answer { outcome: Err(error), rate, .. } => return Answer { outcome: Err(error), rate, cost: 0 },
        };
        let (collections, since) = (self.collections.clone(), since.map(str::to_owned));
        let respects_labels = !self.settings.signed_in_only;
        let first = self.work.run(move || {
            if respects_labels && repository.own_labels()?.iter().any(|label| label == labels::SIGNED_IN_ONLY)
            {
                return Ok(None);
            }
            let records = repository.into_records(&collections);
            let mut posts = RepositoryPosts::new(records, collections, did, since);
            let mut page = posts.page()?.unwrap_or_default();
            page.rest = Some(Box::new(posts));
            Ok(Some(page))
        });
        let outcome = match first.await {
            Ok(Ok(Some(page))) => Ok(page),
            Ok(Ok(None)) => Err(gone(&asked, GoneReason::SignedInOnly)),
            Ok(Err(error)) => Err(unreadable(&asked, &error)),
            Err(lost) => Err(passing(&asked, lost.to_string())),
        };
        Answer { outcome, rate, cost: 0 }
    }

    fn refusal(
        &self,
        user: &UserId,
        asked: &Asked,
        refusal: &Refusal,
        mut rate: RateInfo,
    ) -> Answer<TimelinePage> {
        let outcome = match self.refused(user, asked, refusal, &mut rate) {
            Some(error) => Err(error),
            None => Ok(TimelinePage::empty(Some(WHY.to_owned()))),
        };
        Answer { outcome, rate, cost: 0 }
    }

    /// The beginning of a walk in pages.
    fn first_place(&self, repository_tried: bool) -> Place {
        let walk = self.clock.wall().as_nanos() as u64;
        Place::first(walk, self.collections.len(), repository_tried)
    }

    fn in_pages_instead(
        &self,
        asked: &Asked,
        why: String,
        forced: bool,
    ) -> Result<TimelinePage, SourceError> {
        if forced {
            let remedy = "its server neither lists records newest first nor sends a repository that can be taken: raise the limit of repositories if it is that";
            return Err(SourceError::Refused { asked: asked.clone(), status: None, what: why, remedy });
        }
        tracing::debug!(%asked, "a timeline is read in pages: {why}");
        Ok(TimelinePage::empty(self.first_place(true).cursor()))
    }

    /// Spools a repository as it arrives.
    async fn fetch(&self, via: &HttpClient, ask: Ask, asked: &Asked, did: &str) -> Answer<Reply<Fetched>> {
        let Answer { outcome, mut rate, .. } = ask.open(via).await;
        let mut answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return Answer { outcome: Err(error), rate, cost: 0 },
        };
        if !(200..=299).contains(&answer.status) {
            let refusal = Refusal::read(answer.status, &answer.body().await.unwrap_or_default());
            return Answer { outcome: settled(refusal, asked, &mut rate), rate, cost: 0 };
        }
        let limit = self.settings.repository_limit;
        let mut incoming = Incoming::new(&self.settings.spool, limit, &self.room);
        if answer.length().is_some_and(|length| length > limit) {
            let why = format!("the repository has more than {limit} bytes");
            return Answer { outcome: Ok(Reply::Good(Fetched::No(why))), rate, cost: 0 };
        }
        let mut held = Vec::with_capacity(PIECE);
        loop {
            let piece = match answer.piece().await {
                Ok(piece) => piece,
                Err(error) => return Answer { outcome: Err(broken(asked, error)), rate, cost: 0 },
            };
            let ended = piece.is_none();
            held.extend_from_slice(&piece.unwrap_or_default());
            if held.len() < PIECE && !ended {
                continue;
            }
            let (taken, did) = (std::mem::replace(&mut held, Vec::with_capacity(PIECE)), did.to_owned());
            let worked = self.work.run(move || {
                incoming.push(&taken)?;
                Ok(match ended {
                    true => Err(incoming.finish(&did)?),
                    false => Ok(incoming),
                })
            });
            let outcome = match worked.await {
                Ok(Ok(Ok(more))) => {
                    incoming = more;
                    continue;
                }
                Ok(Ok(Err(repository))) => Ok(Reply::Good(Fetched::Whole(repository))),
                Ok(Err(RepositoryError::TooLarge { what })) => Ok(Reply::Good(Fetched::No(what))),
                Ok(Err(error @ RepositoryError::NoRoom { .. })) => {
                    Ok(Reply::Good(Fetched::NoRoom(error.to_string())))
                }
                Ok(Err(error)) => Err(unreadable(asked, &error)),
                Err(lost) => Err(passing(asked, lost.to_string())),
            };
            return Answer { outcome, rate, cost: 0 };
        }
    }

    /// Looks at the labels that the account gave itself before its records are listed. Servers pass a request for one
    /// record of an account that they do not have on to an AppView, and a list not.
    async fn admitted(
        &self,
        via: &HttpClient,
        pds: &Url,
        user: &UserId,
        did: &str,
        mut place: Place,
    ) -> Answer<TimelinePage> {
        let parameters = [("repo", did), ("collection", "app.bsky.actor.profile"), ("limit", PAGE)];
        let ask = self.of_pds(pds, "com.atproto.repo.listRecords", &parameters, user);
        let asked = ask.asked.clone();
        let Answer { outcome, rate, .. } = ask.send(via).await;
        let hidden = match outcome {
            Ok(Reply::Good(body)) => hides_itself(&body),
            Ok(Reply::Refused(refusal)) => return self.refusal(user, &asked, &refusal, rate),
            Err(error) => return Answer { outcome: Err(error), rate, cost: 0 },
        };
        place.requests = 1;
        let outcome = match hidden {
            true => Err(gone(&asked, GoneReason::SignedInOnly)),
            false => Ok(TimelinePage::empty(place.cursor())),
        };
        Answer { outcome, rate, cost: 0 }
    }

    /// One page of one collection, and what is certain by now.
    async fn listed(
        &self,
        via: &HttpClient,
        pds: &Url,
        user: &UserId,
        did: &str,
        mut place: Place,
        since: Option<&str>,
    ) -> Answer<TimelinePage> {
        let (mut rate, mut unusable) = (RateInfo::not_sent(), 0);
        if let Some(at) = listing::missing(&self.waiting, user, &place) {
            let collection = &self.collections[at];
            let mut parameters = vec![("repo", did), ("collection", collection.as_str()), ("limit", PAGE)];
            let position = place.collections[at].clone();
            parameters.extend(position.page.as_deref().map(|page| ("cursor", page)));
            let ask = self.of_pds(pds, "com.atproto.repo.listRecords", &parameters, user);
            let asked = ask.asked.clone();
            let answer = ask.send(via).await;
            rate = answer.rate;
            let page = match answer.outcome {
                Ok(Reply::Good(body)) => Page::parse(&body, did, collection),
                Ok(Reply::Refused(refusal)) => return self.refusal(user, &asked, &refusal, rate),
                Err(error) => return Answer { outcome: Err(error), rate, cost: 0 },
            };
            let page = match page {
                Ok(page) if page.follows(&position) && !page.repeats(&position) => page,
                Err(PageError::Garbage(what)) => {
                    return Answer { outcome: Err(garbage(&asked, what)), rate, cost: 0 };
                }
                Ok(_) | Err(PageError::Unordered) => {
                    return Answer { outcome: self.unordered(&asked, &place), rate, cost: 0 };
                }
            };
            unusable = page.unusable;
            self.waiting.keep(user, &place, at, Arc::new(page));
            place.requests = place.requests.saturating_add(1);
        }
        // A saved id of another form is older than all: everything is read.
        let since = since.filter(|since| parts(since).is_some());
        let mut page = listing::advance(&self.waiting, user, &self.collections, &mut place, since);
        (page.unusable, page.next) = (unusable, place.cursor());
        Answer { outcome: Ok(page), rate, cost: 0 }
    }

    /// Records that are not newest first: their place in the timeline is unknown until all are there.
    fn unordered(&self, asked: &Asked, place: &Place) -> Result<TimelinePage, SourceError> {
        if place.repository_tried {
            return self.in_pages_instead(asked, "records are listed in another order".to_owned(), true);
        }
        tracing::debug!(%asked, "records are not listed newest first: the whole repository is fetched");
        Ok(TimelinePage::empty(Some(WHOLE.to_owned())))
    }
}

/// Whether an account asks in its profile, of which this is the list, not to be shown to strangers.
fn hides_itself(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        records: AtMost<Record<'a>, MOST_ITEMS>,
    }
    #[derive(serde::Deserialize)]
    struct Record<'a> {
        #[serde(borrow)]
        value: &'a serde_json::value::RawValue,
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    let records =
        serde_json::from_str::<Body<'_>>(text).map_or_else(|_none| Vec::new(), |body| body.records.0);
    records
        .iter()
        .any(|record| labels::own(record.value.get()).iter().any(|label| label == labels::SIGNED_IN_ONLY))
}

fn user_asked(pds: &Url, method: &str, user: &UserId) -> Asked {
    Asked { url: format!("{pds}xrpc/com.atproto.sync.{method}").into(), user: Some(user.clone()) }
}

fn gone(asked: &Asked, reason: GoneReason) -> SourceError {
    SourceError::Gone { asked: asked.clone(), status: 200, reason }
}

fn passing(asked: &Asked, what: String) -> SourceError {
    SourceError::Passing { asked: asked.clone(), what, retry_after: None }
}

fn broken(asked: &Asked, error: BodyError) -> SourceError {
    match error {
        BodyError::Broken(_) => passing(asked, error.to_string()),
        BodyError::TooLarge { .. } | BodyError::Encoding { .. } => garbage(asked, error.to_string()),
    }
}

fn unreadable(asked: &Asked, error: &RepositoryError) -> SourceError {
    match error {
        RepositoryError::Spool { .. } | RepositoryError::NoRoom { .. } => passing(asked, error.to_string()),
        RepositoryError::TooLarge { .. } | RepositoryError::Damaged(_) => garbage(asked, error.to_string()),
    }
}
