//! Followers and profiles, from the AppView.

use serde::Deserialize;
use serde_json::value::RawValue;
use storage::ids::UserId;

use super::ask::{Reply, garbage};
use super::ids::{Did, is_handle};
use super::labels::{Label, hides};
use super::verdict::Refusal;
use super::{BlueskySource, LOOKUP_BATCH, PAGE};
use crate::http_client::HttpClient;
use crate::rate::RateInfo;
use crate::source::bounded::AtMost;
use crate::source::{
    Answer, Asked, CursorLoops, FollowersPage, GoneReason, MOST_ITEMS, Profile, SourceError,
};

/// A profile as answers hold it.
struct Person {
    profile: Profile,
    hidden: bool,
}

impl Person {
    /// `None` if it is no profile of an account.
    fn read(raw: Box<RawValue>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            labels: Option<Vec<Label>>,
        }
        let profile = match Profile::from_bluesky(raw) {
            Ok(profile) => profile,
            Err(error) => {
                tracing::warn!(%error, "left an entry out of an answer");
                return None;
            }
        };
        let labels = serde_json::from_str::<Fields>(profile.raw.get()).ok().and_then(|fields| fields.labels);
        Did::of(&profile.id)?;
        Some(Self { hidden: labels.is_some_and(|labels| hides(&labels)), profile })
    }
}

impl BlueskySource {
    pub(super) async fn followers(
        &self,
        via: &HttpClient,
        user: &UserId,
        cursor: Option<&str>,
    ) -> Answer<FollowersPage> {
        let Some(did) = Did::of(user).map(|did| did.to_string()) else { return self.no_did(user) };
        let mut parameters = vec![("actor", did.as_str()), ("limit", PAGE)];
        parameters.extend(cursor.map(|cursor| ("cursor", cursor)));
        let ask = self.of_appview("app.bsky.graph.getFollowers", &parameters, Some(user));
        let asked = ask.asked.clone();
        let Answer { outcome, mut rate, .. } = ask.send(via).await;
        let outcome = match outcome {
            Ok(Reply::Good(body)) => self.followers_of(&body, cursor, &asked),
            Ok(Reply::Refused(refusal)) => {
                return Box::pin(self.gone_from_appview(via, user, &did, asked, refusal, rate)).await;
            }
            Err(error) => {
                rate.limited |= matches!(error, SourceError::Limited { .. });
                Err(error)
            }
        };
        Answer { outcome, rate, cost: 0 }
    }

    fn followers_of(
        &self,
        body: &[u8],
        cursor: Option<&str>,
        asked: &Asked,
    ) -> Result<FollowersPage, SourceError> {
        #[derive(Deserialize)]
        struct Body {
            subject: Option<Subject>,
            followers: AtMost<Box<RawValue>, MOST_ITEMS>,
            cursor: Option<String>,
        }
        #[derive(Deserialize)]
        struct Subject {
            labels: Option<Vec<Label>>,
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| garbage(asked, error.to_string()))?;
        let respects_labels = !self.settings.signed_in_only;
        let labels = body.subject.and_then(|subject| subject.labels).unwrap_or_default();
        if respects_labels && hides(&labels) {
            let (asked, reason) = (asked.clone(), GoneReason::SignedInOnly);
            return Err(SourceError::Gone { asked, status: 200, reason });
        }
        let next = body.cursor.filter(|next| !next.is_empty());
        if let Some(next) = next.clone().filter(|next| Some(next.as_str()) == cursor) {
            let loops = CursorLoops { cursor: next };
            return Err(SourceError::Loops { asked: asked.clone(), loops });
        }
        let mut page = FollowersPage { next, ..FollowersPage::default() };
        for raw in body.followers.0 {
            let Some(Person { profile, hidden }) = Person::read(raw) else {
                page.unusable += 1;
                continue;
            };
            page.ids.push(profile.id.clone());
            // That it follows is public; what it says of itself is not.
            if !(hidden && respects_labels) {
                page.profiles.push(profile);
            }
        }
        if page.ids.is_empty() && page.unusable > 0 {
            // Accepting this as a page could silently truncate the list.
            return Err(garbage(asked, format!("none of {} followers is an account", page.unusable)));
        }
        Ok(page)
    }

    /// A refusal of a list does not say why the account is gone; one of its profile does.
    async fn gone_from_appview<T>(
        &self,
        via: &HttpClient,
        user: &UserId,
        did: &str,
        asked: Asked,
        refusal: Refusal,
        mut rate: RateInfo,
    ) -> Answer<T> {
        let gone = |status, reason| SourceError::Gone { asked: asked.clone(), status, reason };
        if let Some(reason) = refusal.gone() {
            return Answer { outcome: Err(gone(refusal.status, reason)), rate, cost: 0 };
        }
        if !refusal.is_unknown_account() {
            let error = refusal.error(&asked, &mut rate);
            return Answer { outcome: Err(error), rate, cost: 0 };
        }
        let profile =
            self.of_appview("app.bsky.actor.getProfile", &[("actor", did)], Some(user)).send(via).await;
        let error = match profile.outcome {
            Ok(Reply::Refused(profile)) => match profile.gone() {
                Some(reason) => gone(profile.status, reason),
                None if profile.is_unknown_account() => gone(profile.status, GoneReason::NotFound),
                None => profile.error(&asked, &mut rate),
            },
            // The account is there and its list is not: what was said stands.
            Ok(Reply::Good(_)) => refusal.error(&asked, &mut rate),
            Err(error) => error,
        };
        Answer { outcome: Err(error), rate: profile.rate, cost: 0 }
    }

    pub(super) async fn profiles_by_id(&self, via: &HttpClient, ids: &[UserId]) -> Answer<Vec<Profile>> {
        let mut actors = Vec::with_capacity(ids.len());
        for id in ids {
            match Did::of(id) {
                Some(did) => actors.push(did.to_string()),
                None => return self.no_did(id),
            }
        }
        self.profiles(via, &actors).await
    }

    async fn profiles(&self, via: &HttpClient, actors: &[String]) -> Answer<Vec<Profile>> {
        let parameters: Vec<(&str, &str)> = actors.iter().map(|actor| ("actors", actor.as_str())).collect();
        let ask = self.of_appview("app.bsky.actor.getProfiles", &parameters, None);
        let asked = ask.asked.clone();
        if actors.is_empty() || actors.len() > LOOKUP_BATCH {
            let what = format!("{} accounts in one look-up", actors.len());
            let remedy = "look up between 1 and 25 at a time";
            return Answer::unasked(Err(SourceError::Refused { asked, status: None, what, remedy }));
        }
        let Answer { outcome, mut rate, .. } = ask.send(via).await;
        let outcome = match outcome {
            Ok(Reply::Good(body)) => self.profiles_of(&body, &asked),
            Ok(Reply::Refused(refusal)) => Err(refusal.error(&asked, &mut rate)),
            Err(error) => Err(error),
        };
        Answer { outcome, rate, cost: 0 }
    }

    fn profiles_of(&self, body: &[u8], asked: &Asked) -> Result<Vec<Profile>, SourceError> {
        #[derive(Deserialize)]
        struct Body {
            profiles: AtMost<Box<RawValue>, MOST_ITEMS>,
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| garbage(asked, error.to_string()))?;
        let found = body.profiles.0.len();
        let people: Vec<Person> = body.profiles.0.into_iter().filter_map(Person::read).collect();
        if found > 0 && people.is_empty() {
            // Accepting this as an answer would count all requested accounts as gone.
            return Err(garbage(asked, format!("none of {found} profiles is that of an account")));
        }
        let shown = people.into_iter().filter(|person| self.settings.signed_in_only || !person.hidden);
        Ok(shown.map(|person| person.profile).collect())
    }

    /// The AppView resolves handles both ways: it shows a handle only if the account's document names it. Those that have no
    /// profile are searched for: an account that is gone has none, and a crawl shall say why it is gone.
    pub(super) async fn profiles_by_handle(
        &self,
        via: &HttpClient,
        names: &[String],
    ) -> Answer<Vec<Profile>> {
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        if let Some(name) = names.iter().find(|name| !is_handle(name)) {
            let asked = self.of_appview("app.bsky.actor.getProfiles", &[], None).asked;
            let what = format!("{name:?} is no handle");
            let remedy = "handles are host names such as ada.bsky.social";
            return Answer::unasked(Err(SourceError::Refused { asked, status: None, what, remedy }));
        }
        if self.settings.own_handles {
            // Each is searched for.
            return Answer::unasked(Ok(Vec::new()));
        }
        let answer = self.profiles(via, &names).await;
        answer.and_then(|mut profiles| {
            profiles
                .retain(|profile| profile.screen_name.as_ref().is_some_and(|handle| names.contains(handle)));
            Ok(profiles)
        })
    }
}
