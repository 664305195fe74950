//! The Mastodon API, spoken by Mastodon, GoToSocial and others, each host with its own accounts.
//!
//! An account is `user@domain` as its home spells it, and is crawled at its home only: other hosts hold a part of its
//! posts and followers, and the id by which they know it means nothing elsewhere. Calls as described at
//! <https://docs.joinmastodon.org/methods/accounts/>.
//!
//! Posts and followers are asked for by the account's id at its home, which a walk looks up first and remembers in its
//! cursors. Each call of this source sends at most one request, as its permit says: a page that took a look-up is empty and
//! continues at the account's id.
//!
//! Mastodon counts requests in two budgets (`config/initializers/rack_attack.rb`): all of them, 300 in 5 minutes, and
//! those with `max_id` or the like, 300 in 15 minutes, which count in the first one as well. Its headers tell only the
//! one of which less is left. The first page is asked for without such a parameter, even by an update: what is not newer
//! than its newest post is left out here. A page takes a request of both budgets
//! ([`BudgetScope::within`]), and plain requests leave a tenth of theirs to pages.

mod account;
mod acct;
mod check;
mod elsewhere;
mod hosts;
mod known;
mod link;
mod page;
mod place;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;
mod walk;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde_json::value::RawValue;
use storage::ids::UserId;

pub use account::RULE_FIELDS;
pub use acct::{Acct, InvalidAcct};
pub use check::{HostState, Software};
pub use settings::{MastodonSettings, MastodonSettingsError};

use super::{
    Answer, Asked, Endpoint, FollowersPage, GoneReason, HostCheck, HostReport, HttpClient, Profile, RateInfo,
    Source, SourceError, TimelinePage,
};
use crate::rate::BudgetScope;
use account::Account;
use check::Met;
use hosts::{Budget, Hosts};
use known::Memory;
use page::List;
use place::Place;
use verdict::{Refused, is_web_page, no_api, refusal};

/// Longest message about an answer, characters.
const LONGEST_COMPLAINT: usize = 200;
/// The part of a plain budget that is left to pages.
const LEFT_TO_PAGES: u64 = 10;

const NO_PUBLIC_HOST: &str = "a host that is named by accounts has to be public";
const NAMES: &str = "accounts are named user@host";

/// All hosts of the Mastodon API as a [`Source`].
#[derive(Debug)]
pub struct MastodonSource {
    hosts: Hosts,
    memory: Memory,
    met: Met,
}

/// A successful answer.
struct Good {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl MastodonSource {
    /// A source with these hosts; all others are asked without a token.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn new(settings: &MastodonSettings) -> Result<Self, MastodonSettingsError> {
        Ok(Self { hosts: Hosts::new(settings)?, memory: Memory::default(), met: Met::default() })
    }

    /// Sends one request to a host.
    async fn ask(
        &self,
        via: &HttpClient,
        asked: &Asked,
        (domain, path): (&str, &str),
        query: &[(&str, &str)],
    ) -> Answer<Good> {
        let answer = self.send(via, asked, (domain, path), query).await;
        self.met.note(domain, &answer.outcome);
        answer
    }

    async fn send(
        &self,
        via: &HttpClient,
        asked: &Asked,
        (domain, path): (&str, &str),
        query: &[(&str, &str)],
    ) -> Answer<Good> {
        let request = match self.hosts.get(domain, path, query) {
            Ok(request) => request,
            Err(what) => return Answer::unasked(Err(unfit(asked, what.to_owned(), NAMES))),
        };
        let answer = match via.exchange_with(request, self.hosts.named_by(domain)).await {
            Ok(answer) => answer,
            Err(none) => {
                let rate = RateInfo { delivery: none.delivery, ..RateInfo::not_sent() };
                let (asked, what) = (asked.clone(), format!("host {domain}: {none}"));
                let error = match none.forbidden {
                    true => SourceError::Refused { asked, status: None, what, remedy: NO_PUBLIC_HOST },
                    false => SourceError::Passing { asked, what, retry_after: None },
                };
                return Answer { outcome: Err(error), rate, cost: 0 };
            }
        };
        let mut rate = answer.rate;
        let outcome = match (answer.status, answer.body) {
            (200..=299, Ok(body)) => Ok(Good { headers: answer.headers, body }),
            (200..=299, Err(error)) => Err(garbage(asked, error.to_string())),
            (status, body) => {
                let body = body.unwrap_or_default();
                let signed = self.hosts.has_token(domain);
                let answer = Refused { status, headers: &answer.headers, body: &body, signed };
                Err(refusal(asked, &answer, &mut rate))
            }
        };
        Answer { outcome, rate, cost: 0 }
    }

    fn asked(&self, acct: &Acct, path: &str) -> Asked {
        Asked { url: self.hosts.shown(&acct.domain, path).into(), user: acct.id() }
    }

    /// Looks an account up at its home. A suspended one is gone.
    async fn look_up_at_home(&self, via: &HttpClient, acct: &Acct) -> Answer<Account> {
        const PATH: &str = "/api/v1/accounts/lookup";
        let asked = self.asked(acct, PATH);
        let answer = self.ask(via, &asked, (&acct.domain, PATH), &[("acct", &acct.user)]).await;
        let answer = spare_pages(answer).and_then(|good| self.described(acct, good, &asked));
        let answer = self.or_elsewhere(acct, &asked, answer);
        if matches!(answer.outcome, Err(SourceError::Gone { .. })) {
            self.memory.forget(acct);
        }
        answer
    }

    /// The account that its home describes.
    fn described(&self, acct: &Acct, good: Good, asked: &Asked) -> Result<Account, SourceError> {
        if is_web_page(&good.headers) {
            return Err(no_api(asked, 200));
        }
        let text = String::from_utf8(good.body).map_err(|_| garbage(asked, "not UTF-8"))?;
        let raw: Box<RawValue> = serde_json::from_str(&text).map_err(|e| garbage(asked, e.to_string()))?;
        let account = Account::read(raw, &acct.domain).map_err(|what| garbage(asked, what))?;
        if !account.acct.is(acct) {
            let what = format!("the host says that the account is {}", account.acct);
            return Err(SourceError::Refused {
                asked: asked.clone(),
                status: Some(200),
                what,
                remedy: "submit it by this name",
            });
        }
        if account.suspended {
            let (asked, reason) = (asked.clone(), GoneReason::Suspended);
            return Err(SourceError::Gone { asked, status: 200, reason });
        }
        self.memory.put(acct, account.known());
        Ok(account)
    }

    /// The only account of a look-up, if it is there.
    async fn only(&self, via: &HttpClient, names: &[String]) -> Answer<Option<Account>> {
        let nowhere = Asked { url: "a host of Mastodon".into(), user: None };
        let [name] = names else {
            let what = format!("{} accounts in one look-up", names.len());
            return Answer::unasked(Err(unfit(&nowhere, what, "each account is looked up at its own home")));
        };
        let acct = match name.parse().map_err(|_| ()).and_then(|id| Acct::of(&id).map_err(|_| ())) {
            Ok(acct) => acct,
            Err(()) => {
                let what = format!("{:?} names no account", storage::text::excerpt(name, 100));
                return Answer::unasked(Err(unfit(&nowhere, what, NAMES)));
            }
        };
        let answer = self.look_up_at_home(via, &acct).await;
        let outcome = match answer.outcome {
            Ok(account) => Ok(Some(account)),
            Err(SourceError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        Answer { outcome, rate: answer.rate, cost: 0 }
    }

    fn plain_scope(&self, user: Option<&UserId>) -> BudgetScope {
        let domain = user.and_then(|user| Acct::of(user).ok()).map(|acct| acct.domain);
        // What names no account is refused before anything is sent.
        self.hosts.scope(domain.as_deref().unwrap_or("nowhere"), Budget::Plain)
    }
}

impl Source for MastodonSource {
    fn kind(&self) -> &'static str {
        "mastodon"
    }

    fn place(&self) -> String {
        self.hosts.place()
    }

    fn probe_name(&self) -> Option<&str> {
        None
    }

    fn host_checks(&self) -> Vec<HostCheck> {
        self.hosts_to_check()
    }

    fn check_host<'a>(
        &'a self,
        via: &'a HttpClient,
        check: &'a HostCheck,
    ) -> BoxFuture<'a, Answer<HostReport>> {
        self.check_step(via, check).boxed()
    }

    fn has_one_host(&self, _endpoint: Endpoint) -> bool {
        false
    }

    fn host(&self, _endpoint: Endpoint, user: &UserId) -> Option<String> {
        Acct::of(user).ok().map(|acct| acct.domain)
    }

    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope {
        let acct = user.filter(|_| endpoint == Endpoint::Locate).and_then(|user| Acct::of(user).ok());
        match acct.and_then(|acct| self.hosts.elsewhere.asked_next(&acct)) {
            Some(host) => self.hosts.scope(&host, Budget::Plain),
            None => self.plain_scope(user),
        }
    }

    fn is_located(&self, _endpoint: Endpoint, user: &UserId) -> bool {
        Acct::of(user).map_or(true, |acct| self.hosts.elsewhere.is_settled(&acct))
    }

    fn locate<'a>(&'a self, via: &'a HttpClient, user: &'a UserId) -> BoxFuture<'a, Answer<()>> {
        self.search_step(via, user).boxed()
    }

    fn page_scope(&self, _endpoint: Endpoint, user: &UserId, cursor: Option<&str>) -> BudgetScope {
        let paging = Place::parse(cursor).is_some_and(|place| place.is_paging());
        match Acct::of(user) {
            Ok(acct) if paging => self.hosts.scope(&acct.domain, Budget::Paging),
            _ => self.plain_scope(Some(user)),
        }
    }

    /// Of accounts at other homes, their counts are those that the host knows.
    fn followers_come_whole(&self) -> bool {
        true
    }

    fn lookup_batch(&self) -> usize {
        1
    }

    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        async move {
            let answer = self.step(via, user, List::Posts, cursor).await;
            answer.and_then(|step| self.timeline(step, since))
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
            let answer = self.step(via, user, List::Followers, cursor).await;
            answer.and_then(|step| self.followers(step))
        }
        .boxed()
    }

    /// The profile has the id that was asked for, which another host may spell in another case.
    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move {
            let names: Vec<String> = ids.iter().take(2).map(UserId::to_string).collect();
            let answer = self.only(via, &names).await;
            let named =
                |account: Account| ids.first().map(|id| Profile { id: id.clone(), ..account.profile });
            answer.and_then(|account| Ok(account.and_then(named).into_iter().collect()))
        }
        .boxed()
    }

    /// Names are `user@host`. The profile has the id that the home spells, and the name that was asked for.
    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move {
            let answer = self.only(via, names).await;
            let named = |account: Account| Profile { screen_name: names.first().cloned(), ..account.profile };
            answer.and_then(|account| Ok(account.map(named).into_iter().collect()))
        }
        .boxed()
    }
}

/// Pages count against the plain budget too, and are answered meanwhile: a part of it is theirs.
fn spare_pages<T>(mut answer: Answer<T>) -> Answer<T> {
    let spared = answer.rate.limit.unwrap_or(0) / LEFT_TO_PAGES;
    answer.rate.limit = answer.rate.limit.map(|limit| limit - spared);
    answer.rate.remaining = answer.rate.remaining.map(|remaining| remaining.saturating_sub(spared));
    answer
}

/// A request that is refused before it is sent.
fn unfit(asked: &Asked, what: String, remedy: &'static str) -> SourceError {
    SourceError::Refused { asked: asked.clone(), status: None, what, remedy }
}

/// `what` may quote the answer, however long it is; an error repeats its beginning.
fn garbage(asked: &Asked, what: impl Into<String>) -> SourceError {
    let what = storage::text::excerpt(&what.into(), LONGEST_COMPLAINT);
    SourceError::Garbage { asked: asked.clone(), what }
}
