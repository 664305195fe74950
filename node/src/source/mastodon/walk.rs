//! Walks through the pages of an account, one request at a time.

use reqwest::header::LINK;
use storage::ids::UserId;

use super::acct::Acct;
use super::page::{self, List, Listed};
use super::place::Place;
use super::{MastodonSource, NAMES, garbage, link, spare_pages, unfit};
use crate::http_client::HttpClient;
use crate::source::{Answer, Asked, FollowersPage, GoneReason, SourceError, TimelinePage};

/// The result of one request of a walk.
pub(super) enum Step {
    /// The walk goes on at this cursor.
    Turn(Place),
    /// A page.
    Page(Listed),
}

impl MastodonSource {
    /// One request of a walk: a look-up or a page.
    pub(super) async fn step(
        &self,
        via: &HttpClient,
        user: &UserId,
        list: List,
        cursor: Option<&str>,
    ) -> Answer<Step> {
        let nowhere = Asked { url: "a host of Mastodon".into(), user: Some(user.clone()) };
        let acct = match Acct::of(user) {
            Ok(acct) => acct,
            Err(error) => return Answer::unasked(Err(unfit(&nowhere, error.to_string(), NAMES))),
        };
        let Some(place) = Place::parse(cursor) else {
            let what = format!("cursor {:?} is of another source", cursor.unwrap_or_default());
            return Answer::unasked(Err(unfit(&nowhere, what, "start the walk over")));
        };
        let known = match place {
            Place::Start => self.memory.get(&acct),
            _ => None,
        };
        let (id, max_id) = match (&place, &known) {
            (Place::Start, Some(known)) => (known.id.clone(), None),
            (Place::Start | Place::LookUp, _) => {
                let found = self.look_up_at_home(via, &acct).await;
                return found.and_then(|account| Ok(Step::Turn(Place::First(account.id))));
            }
            (Place::First(id), _) => (id.clone(), None),
            (Place::Before { id, max_id }, _) => (id.clone(), Some(max_id.clone())),
        };
        let path = format!("/api/v1/accounts/{id}/{}", list.name());
        let asked = self.asked(&acct, &path);
        let mut query = vec![("limit", list.limit())];
        query.extend(max_id.as_deref().map(|max_id| ("max_id", max_id)));
        let answer = self.ask(via, &asked, (&acct.domain, &path), &query).await;
        let answer = if place.is_paging() { answer } else { spare_pages(answer) };
        let answer = self.or_elsewhere(&acct, &asked, answer);
        if matches!(answer.outcome, Err(SourceError::Gone { .. })) {
            self.memory.forget(&acct);
            if known.is_some() {
                // The id is from an earlier look-up: the account may have got another one since.
                return Answer { outcome: Ok(Step::Turn(Place::LookUp)), rate: answer.rate, cost: 0 };
            }
        }
        answer.and_then(|good| {
            let link = good.headers.get(LINK).map(|link| String::from_utf8_lossy(link.as_bytes()));
            let authority = self.hosts.authority(&acct.domain);
            let next = link::next_max_id(&link.unwrap_or_default(), &authority);
            let next = next.map_err(|what| garbage(&asked, what))?;
            let first = max_id.is_none();
            let listed =
                Listed { acct, asked, id, body: good.body, before: max_id, next, first, remembered: known };
            Ok(Step::Page(listed))
        })
    }

    /// What a first page without anything on it means; `Ok(None)`: that there is nothing.
    fn judge_empty(&self, listed: &Listed, list: List) -> Result<Option<Place>, SourceError> {
        if !listed.first || listed.next.is_some() {
            return Ok(None);
        }
        if let Some(known) = &listed.remembered {
            let expected = match list {
                List::Posts => known.posts,
                List::Followers => known.followers,
            };
            // Suspended since, or deleted and made anew: only a look-up tells.
            return Ok((expected > 0).then_some(Place::LookUp));
        }
        let hidden = match (list, self.memory.get(&listed.acct)) {
            (List::Posts, _) => false,
            // The look-up was at another node, or was forgotten.
            (List::Followers, None) => return Ok(Some(Place::LookUp)),
            (List::Followers, Some(known)) => known.followers > 0 && known.hides_followers != Some(false),
        };
        match hidden {
            true => {
                let (asked, reason) = (listed.asked.clone(), GoneReason::HiddenFollowers);
                Err(SourceError::Gone { asked, status: 200, reason })
            }
            false => Ok(None),
        }
    }

    pub(super) fn timeline(&self, step: Step, since: Option<&str>) -> Result<TimelinePage, SourceError> {
        let mut listed = match step {
            Step::Turn(place) => return Ok(TimelinePage::empty(place.cursor())),
            Step::Page(listed) => listed,
        };
        let page = page::timeline(&mut listed, since);
        if matches!(page, Err(SourceError::Garbage { .. })) {
            self.memory.forget(&listed.acct);
        }
        let (mut page, is_empty) = page?;
        if is_empty {
            page.next =
                self.judge_empty(&listed, List::Posts)?.and_then(|place| place.cursor()).or(page.next);
        }
        Ok(page)
    }

    pub(super) fn followers(&self, step: Step) -> Result<FollowersPage, SourceError> {
        let listed = match step {
            Step::Turn(place) => {
                return Ok(FollowersPage { next: place.cursor(), ..FollowersPage::default() });
            }
            Step::Page(listed) => listed,
        };
        let mut page = page::followers(&listed)?;
        if page.ids.is_empty() {
            page.next =
                self.judge_empty(&listed, List::Followers)?.and_then(|place| place.cursor()).or(page.next);
        }
        Ok(page)
    }
}
