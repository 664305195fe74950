//! Finds the API of accounts whose domain has none: `@ada@example.org` may be at `social.example.org`.
//!
//! The domain is asked by WebFinger (RFC 7033) for the account, whose link `self` names a host. That host is asked in turn
//! what it calls its account of this name: only if it says `ada@example.org` does it have the API of that domain. So a domain cannot pass off
//! accounts of another host as its own. Each step is one request.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use reqwest::header::LOCATION;
use serde::Deserialize;
use storage::ids::UserId;

use super::acct::Acct;
use super::verdict::is_no_api;
use super::{MastodonSource, NAMES, garbage, unfit};
use crate::http_client::HttpClient;
use crate::rate::RateInfo;
use crate::source::bounded::AtMost;
use crate::source::{Answer, Asked, SourceError};

const PATH: &str = "/.well-known/webfinger";
/// Most domains that are remembered, and most accounts without a host. When there are more, all are forgotten.
const MOST: usize = 10_000;
/// Most links of an answer that are looked at.
const MOST_LINKS: usize = 100;

/// What is known of a domain that was found to have no API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Search {
    /// It is to be asked for an account; or the host to which it redirects.
    Asking { at: Option<String> },
    /// It names this host, which is to confirm it.
    Named { host: String },
    /// The API is at this host.
    Found { host: String },
    /// It says that its accounts are there, where no API is.
    Nowhere,
}

/// The domains whose API is elsewhere.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    domains: HashMap<String, Search>,
    /// Accounts for which a search found nothing.
    without: HashSet<String>,
}

/// What a host is asked.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    host: String,
    resource: String,
    search: Search,
}

impl Elsewhere {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host that has the API of a domain, if that is another one.
    pub fn host_of(&self, domain: &str) -> Option<String> {
        match self.held().domains.get(domain) {
            Some(Search::Found { host }) => Some(host.clone()),
            _ => None,
        }
    }

    /// Whether there is nothing to search for an account, or the search has ended.
    pub fn is_settled(&self, acct: &Acct) -> bool {
        let held = self.held();
        let searching =
            matches!(held.domains.get(&acct.domain), Some(Search::Asking { .. } | Search::Named { .. }));
        !searching || held.without.contains(&key(acct))
    }

    /// Begins a search, as the domain of an account has no API. `false` if it is of no use.
    fn begin(&self, acct: &Acct) -> bool {
        let mut held = self.held();
        if held.without.contains(&key(acct)) {
            return false;
        }
        if held.domains.len() >= MOST {
            held.domains.clear();
        }
        let search = held.domains.entry(acct.domain.clone()).or_insert(Search::Asking { at: None });
        matches!(search, Search::Asking { .. } | Search::Named { .. })
    }

    fn question(&self, acct: &Acct) -> Option<Question> {
        let search = self.held().domains.get(&acct.domain)?.clone();
        let of = |host: &str| format!("acct:{}@{host}", acct.user);
        let (host, resource) = match &search {
            Search::Asking { at } => (at.clone().unwrap_or_else(|| acct.domain.clone()), of(&acct.domain)),
            Search::Named { host } => (host.clone(), of(host)),
            Search::Found { .. } | Search::Nowhere => return None,
        };
        Some(Question { host, resource, search })
    }

    /// The host that is asked next for an account.
    pub fn asked_next(&self, acct: &Acct) -> Option<String> {
        self.question(acct).map(|question| question.host)
    }

    /// Goes on from `before`, unless another worker has.
    fn go_on(&self, domain: &str, before: &Search, search: Search) {
        let mut held = self.held();
        if let Some(now) = held.domains.get_mut(domain).filter(|now| *now == before) {
            *now = search;
        }
    }

    /// Nothing was found for this account; another one of its domain may have more luck.
    fn give_up(&self, acct: &Acct) {
        let mut held = self.held();
        if held.without.len() >= MOST {
            held.without.clear();
        }
        held.without.insert(key(acct));
        if !matches!(held.domains.get(&acct.domain), Some(Search::Found { .. })) {
            held.domains.remove(&acct.domain);
        }
    }
}

/// Names that differ only in case are one account.
fn key(acct: &Acct) -> String {
    format!("{}@{}", acct.user.to_lowercase(), acct.domain)
}

/// What a host says of an account.
#[derive(Debug)]
enum Told {
    /// That it is this one, at this host.
    Account {
        subject: String,
        host: Option<String>,
    },
    Redirect {
        host: Option<String>,
    },
    Nothing,
}

impl MastodonSource {
    /// Turns the answer that a domain has no API into a search for it, where there is one.
    pub(super) fn or_elsewhere<T>(&self, acct: &Acct, asked: &Asked, answer: Answer<T>) -> Answer<T> {
        let Answer { outcome, rate, cost } = answer;
        let outcome = match outcome {
            Err(error)
                if is_no_api(&error)
                    && !self.hosts.is_set(&acct.domain)
                    && self.hosts.elsewhere.begin(acct) =>
            {
                Err(SourceError::Moved { asked: asked.clone() })
            }
            other => other,
        };
        Answer { outcome, rate, cost }
    }

    /// One step of the search. [`SourceError::Moved`]: there is another one.
    pub(super) async fn search_step(&self, via: &HttpClient, user: &UserId) -> Answer<()> {
        let nowhere = Asked { url: "a host of Mastodon".into(), user: Some(user.clone()) };
        let acct = match Acct::of(user) {
            Ok(acct) => acct,
            Err(error) => return Answer::unasked(Err(unfit(&nowhere, error.to_string(), NAMES))),
        };
        let Some(question) = self.hosts.elsewhere.question(&acct) else { return Answer::unasked(Ok(())) };
        let asked = Asked { url: self.hosts.shown(&question.host, PATH).into(), user: Some(user.clone()) };
        let Answer { outcome, rate, .. } = self.ask_for(via, &asked, &question).await;
        let outcome = outcome.and_then(|told| match self.next(&acct, &question, told) {
            Some(next @ (Search::Found { .. } | Search::Nowhere)) => {
                self.hosts.elsewhere.go_on(&acct.domain, &question.search, next);
                Ok(())
            }
            Some(next) => {
                self.hosts.elsewhere.go_on(&acct.domain, &question.search, next);
                Err(SourceError::Moved { asked: asked.clone() })
            }
            None => {
                self.hosts.elsewhere.give_up(&acct);
                Ok(())
            }
        });
        Answer { outcome, rate, cost: 0 }
    }

    /// What follows from an answer; `None` if it leads nowhere.
    fn next(&self, acct: &Acct, question: &Question, told: Told) -> Option<Search> {
        match (&question.search, told) {
            (Search::Asking { at: None }, Told::Redirect { host }) => {
                let host = host.filter(|host| *host != acct.domain)?;
                Some(Search::Asking { at: Some(host) })
            }
            (Search::Asking { .. }, Told::Account { subject, host }) => {
                let host = host.filter(|_| is_name(&subject, acct))?;
                Some(if host == acct.domain { Search::Nowhere } else { Search::Named { host } })
            }
            (Search::Named { host }, Told::Account { subject, .. }) => {
                is_name(&subject, acct).then(|| Search::Found { host: host.clone() })
            }
            _ => None,
        }
    }

    async fn ask_for(&self, via: &HttpClient, asked: &Asked, question: &Question) -> Answer<Told> {
        let request = match self.hosts.get(&question.host, PATH, &[("resource", &question.resource)]) {
            Ok(request) => request,
            Err(what) => return Answer::unasked(Err(unfit(asked, what.to_owned(), NAMES))),
        };
        let answer = match via.exchange_with(request, self.hosts.named_by(&question.host)).await {
            Ok(answer) => answer,
            Err(none) => {
                let rate = RateInfo { delivery: none.delivery, ..RateInfo::not_sent() };
                let what = format!("host {}: {none}", question.host);
                let error = SourceError::Passing { asked: asked.clone(), what, retry_after: None };
                let outcome = if none.forbidden { Ok(Told::Nothing) } else { Err(error) };
                return Answer { outcome, rate, cost: 0 };
            }
        };
        let mut rate = answer.rate;
        let outcome = match (answer.status, answer.body) {
            (200..=299, Ok(body)) => Ok(account_in(&body)),
            (300..=399, _) => {
                let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
                Ok(Told::Redirect { host: location.and_then(host_in) })
            }
            (429, _) => {
                rate.limited = true;
                let retry_in = rate.retry_after.max(rate.reset_in);
                Err(SourceError::Limited { asked: asked.clone(), status: 429, retry_in })
            }
            (status @ (408 | 500..=599), _) => {
                let (asked, retry_after) = (asked.clone(), rate.retry_after);
                Err(SourceError::Passing { asked, what: format!("status {status}"), retry_after })
            }
            (200..=299, Err(error)) => Err(garbage(asked, error.to_string())),
            _ => Ok(Told::Nothing),
        };
        Answer { outcome, rate, cost: 0 }
    }
}

fn account_in(body: &[u8]) -> Told {
    #[derive(Deserialize)]
    struct Body {
        subject: String,
        links: Option<AtMost<Link, MOST_LINKS>>,
    }
    #[derive(Deserialize)]
    struct Link {
        rel: String,
        href: Option<String>,
    }
    let Ok(Body { subject, links }) = serde_json::from_slice(body) else { return Told::Nothing };
    let links = links.map_or_else(Vec::new, |AtMost(links)| links);
    let own = links.into_iter().filter(|link| link.rel == "self").find_map(|link| host_in(&link.href?));
    Told::Account { subject, host: own }
}

/// The host of an address, if it is one of the public web.
fn host_in(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "https" && url.port().is_none())?;
    Some(Acct::new("x", url.host_str()?).ok()?.domain)
}

/// Whether a subject names the account.
fn is_name(subject: &str, acct: &Acct) -> bool {
    let name = subject.strip_prefix("acct:").and_then(|name| name.rsplit_once('@'));
    name.is_some_and(|(user, domain)| Acct::new(user, domain).is_ok_and(|named| named.is(acct)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::response::Response;
    use reqwest::header::HOST;

    use super::super::{MastodonSettings, Source as _};
    use super::*;
    use crate::source::test_server::{Seen, client, serve};
    use crate::source::{Endpoint, Profile};

    fn answer(status: u16, body: impl Into<String>) -> Response {
        Response::builder().status(status).body(body.into().into()).unwrap()
    }

    fn finger(subject: &str, host: &str) -> Response {
        let links = format!(
            r#"[{{"rel":"http://webfinger.net/rel/profile-page"}},{{"rel":"self","href":"https://{host}/users/ada"}}]"#
        );
        answer(200, format!(r#"{{"subject":"acct:{subject}","links":{links}}}"#))
    }

    /// Looks an account up as a crawl does, at hosts that answer by `reply`. Returns the number of requests, too.
    async fn look_up(source: &MastodonSource, name: &str) -> Result<Vec<Profile>, SourceError> {
        let (client, user) = (client(None), name.parse().unwrap());
        for _ in 0..20 {
            while !source.is_located(Endpoint::Lookup, &user) {
                match source.locate(&client, &user).await.outcome {
                    Ok(()) => break,
                    Err(SourceError::Moved { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            match source.lookup(&client, std::slice::from_ref(&user)).await.outcome {
                Err(SourceError::Moved { .. }) => {}
                other => return other,
            }
        }
        panic!("an endless search");
    }

    /// A source whose hosts answer by `reply`, and the requests so far.
    async fn hosts(reply: fn(&str, &str, &str) -> Response) -> (MastodonSource, Arc<AtomicUsize>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let url = serve(move |seen: Seen| {
            count.fetch_add(1, Ordering::Relaxed);
            let host = seen.headers[HOST].to_str().unwrap().to_owned();
            let query: String = url::form_urlencoded::parse(seen.query.as_bytes())
                .map(|(_, value)| value.into_owned())
                .collect();
            std::future::ready(reply(&host, &seen.path, &query))
        })
        .await;
        let gateway = Some(url.strip_suffix("1/").unwrap().to_owned());
        (MastodonSource::new(&MastodonSettings { gateway, ..MastodonSettings::default() }).unwrap(), requests)
    }

    fn account(name: &str) -> Response {
        answer(200, format!(r#"{{"id":"7","username":"{name}","acct":"{name}"}}"#))
    }

    #[tokio::test]
    async fn the_host_of_a_domain_without_an_api_is_found_and_asked_from_then_on() {
        let (source, requests) = hosts(|host, path, query| match (host, path, query) {
            ("example.test", PATH, "acct:ada@example.test") => {
                finger("Ada@example.test", "social.example.test")
            }
            ("social.example.test", PATH, "acct:ada@social.example.test") => {
                finger("ada@example.test", "social.example.test")
            }
            ("social.example.test", "/api/v1/accounts/lookup", name) => account(name),
            _ => answer(404, "<html>"),
        })
        .await;
        let found = look_up(&source, "ada@example.test").await.unwrap();
        assert_eq!(found[0].id.to_string(), "ada@example.test");
        assert_eq!(requests.load(Ordering::Relaxed), 4, "a look-up, two questions, a look-up");
        look_up(&source, "bob@example.test").await.unwrap();
        assert_eq!(requests.load(Ordering::Relaxed), 5);
        let (one, other) = ("ada@example.test".parse().unwrap(), "ada@social.example.test".parse().unwrap());
        let scope = |user| source.scope(Endpoint::Lookup, Some(user));
        assert_eq!(scope(&one), scope(&other), "one host, one budget");
    }

    #[tokio::test]
    async fn a_redirect_is_followed_once() {
        let (source, _) = hosts(|host, path, query| match (host, path, query) {
            ("example.test" | "loop.test", PATH, _) => Response::builder()
                .status(301)
                .header("location", format!("https://social.{host}/.well-known/webfinger"))
                .body(axum::body::Body::empty())
                .unwrap(),
            ("social.loop.test", PATH, _) => Response::builder()
                .status(301)
                .header("location", "https://loop.test/")
                .body(axum::body::Body::empty())
                .unwrap(),
            ("social.example.test", PATH, _) => finger("ada@example.test", "social.example.test"),
            ("social.example.test", _, name) => account(name),
            _ => answer(404, "<html>"),
        })
        .await;
        assert_eq!(look_up(&source, "ada@example.test").await.unwrap().len(), 1);
        assert!(matches!(look_up(&source, "ada@loop.test").await, Err(SourceError::Refused { .. })));
    }

    #[tokio::test]
    async fn a_domain_cannot_pass_accounts_of_another_host_off_as_its_own() {
        let (source, requests) = hosts(|host, path, _| match (host, path) {
            ("thief.test", PATH) => finger("ada@thief.test", "social.test"),
            // It calls its account by its own name.
            ("social.test", PATH) => finger("ada@social.test", "social.test"),
            ("social.test", _) => account("ada"),
            ("other.test", PATH) => finger("somebody@else.test", "social.test"),
            ("local.test", PATH) => finger("ada@local.test", "127.0.0.1"),
            _ => answer(404, "<html>"),
        })
        .await;
        for name in ["ada@thief.test", "ada@other.test", "ada@local.test", "ada@nothing.test"] {
            let error = look_up(&source, name).await.unwrap_err();
            assert!(matches!(&error, SourceError::Refused { .. }), "{name}: {error}");
            let before = requests.load(Ordering::Relaxed);
            look_up(&source, name).await.unwrap_err();
            assert_eq!(requests.load(Ordering::Relaxed), before + 1, "{name} is not searched for again");
        }
    }

    #[tokio::test]
    async fn another_software_that_is_at_home_costs_one_question_for_all_its_accounts() {
        let (source, requests) = hosts(|host, path, query| match path {
            PATH => finger(query.trim_start_matches("acct:"), host),
            _ => answer(404, r#"{"error":{"code":"UNKNOWN_API_ENDPOINT"}}"#),
        })
        .await;
        for name in ["ada@misskey.test", "bob@misskey.test", "eve@misskey.test"] {
            assert!(matches!(look_up(&source, name).await, Err(SourceError::Refused { .. })), "{name}");
        }
        assert_eq!(
            requests.load(Ordering::Relaxed),
            2 + 1 + 2,
            "two look-ups and a question, then a look-up each"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let elsewhere = Elsewhere::default();
        for number in 0..2 * MOST + 10 {
            let acct = Acct::new("ada", &format!("h{number}.test")).unwrap();
            assert!(elsewhere.begin(&acct) && !elsewhere.is_settled(&acct));
            if number % 2 == 0 {
                elsewhere.give_up(&acct);
                assert!(elsewhere.is_settled(&acct) && !elsewhere.begin(&acct));
            }
        }
        let held = elsewhere.held();
        assert!(held.domains.len() <= MOST && held.without.len() <= MOST);
    }
}
