//! Finds the account of a handle, a request at a time.
//!
//! The AppView's profiles answer most. What it has no profile for is searched for: its resolver knows accounts that are gone;
//! else the handle's own host says which account it is, in DNS (`_atproto.HANDLE`) or on the web
//! (`https://HANDLE/.well-known/atproto-did`), as <https://atproto.com/specs/handle> has it. Whatever they say, an account has a
//! handle only if its document names it in turn.

use reqwest::header::HOST;
use reqwest::{Url, header::HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::ids::UserId;

use super::ask::{Ask, Reply, garbage};
use super::ids::{Did, is_handle};
use super::{BlueskySource, NamedBy};
use crate::http_client::HttpClient;
use crate::rate::{BudgetScope, Per};
use crate::source::{Answer, Endpoint, Lead, Profile, Source as _, SourceError, Trail};

/// A handle of an account whose own handle does not lead back to it.
const INVALID_HANDLE: &str = "handle.invalid";
/// Longest answer of a handle's host, bytes: a DID and some line ends.
const LONGEST_ANSWER: usize = 2100;

const RESOLVER: &str = "resolver";
const DNS: &str = "dns";
const WEB: &str = "web";

impl BlueskySource {
    /// Where the search for a handle begins that has no profile.
    pub(super) fn first_step(&self, name: &str) -> Option<Lead> {
        let name = name.to_ascii_lowercase();
        let step = if self.settings.own_handles { DNS } else { RESOLVER };
        is_handle(&name).then(|| self.lead(&name, step))
    }

    fn lead(&self, name: &str, step: &str) -> Lead {
        let scope = match step {
            RESOLVER => self.scope(Endpoint::Resolve, None),
            // One for all hosts of handles: each is asked once.
            DNS | WEB => BudgetScope::new("bluesky hosts of handles", Per::Address),
            did => self.scope(Endpoint::Locate, did.parse().ok().as_ref()),
        };
        Lead { name: name.to_owned(), step: step.into(), scope }
    }

    /// The step after which a DID is known or not.
    fn after(&self, name: &str, did: Option<&str>, otherwise: Option<&str>) -> Trail {
        let did = did.filter(|did| Did::parse(did).is_some());
        did.or(otherwise).map_or(Trail::Nobody, |step| Trail::Next(self.lead(name, step)))
    }

    /// Makes one step.
    pub(super) async fn step(&self, via: &HttpClient, lead: &Lead) -> Answer<Trail> {
        match &*lead.step {
            RESOLVER => self.ask_resolver(via, &lead.name).await,
            DNS => self.ask_dns(&lead.name).await,
            WEB => self.ask_web(via, &lead.name).await,
            did => self.confirm(via, &lead.name, did).await,
        }
    }

    async fn ask_resolver(&self, via: &HttpClient, name: &str) -> Answer<Trail> {
        #[derive(Deserialize)]
        struct Body {
            did: String,
        }
        let ask = self.of_appview("com.atproto.identity.resolveHandle", &[("handle", name)], None);
        let asked = ask.asked.clone();
        let Answer { outcome, mut rate, .. } = ask.send(via).await;
        let outcome = match outcome {
            Ok(Reply::Good(body)) => match serde_json::from_slice::<Body>(&body) {
                Ok(Body { did }) => Ok(self.after(name, Some(&did), None)),
                Err(error) => Err(garbage(&asked, error.to_string())),
            },
            Ok(Reply::Refused(refusal)) if refusal.status == 400 => Ok(self.after(name, None, Some(DNS))),
            Ok(Reply::Refused(refusal)) => Err(refusal.error(&asked, &mut rate)),
            Err(error) => Err(error),
        };
        Answer { outcome, rate, cost: 0 }
    }

    /// A name server is none of the network's hosts: it counts against no budget.
    async fn ask_dns(&self, name: &str) -> Answer<Trail> {
        let texts = self.dns.texts(&format!("_atproto.{name}")).await.unwrap_or_else(|error| {
            tracing::debug!(name, "DNS does not tell the account of a handle: {error}");
            Vec::new()
        });
        let dids = texts.iter().filter_map(|text| std::str::from_utf8(text).ok()?.strip_prefix("did="));
        let mut dids: Vec<&str> = dids.collect();
        dids.sort_unstable();
        dids.dedup();
        // Several that differ are none.
        let did = if let [did] = dids.as_slice() { Some(*did) } else { None };
        Answer::unasked(Ok(self.after(name, did, Some(WEB))))
    }

    /// A host that does not answer, or not with a DID, says that nobody has the handle.
    async fn ask_web(&self, via: &HttpClient, name: &str) -> Answer<Trail> {
        let (origin, named_by) = match &self.settings.handle_gateway {
            Some(gateway) => (Url::parse(gateway), NamedBy::Settings),
            None => (Url::parse(&format!("https://{name}")), self.strangers()),
        };
        let Ok(origin) = origin else { return Answer::unasked(Ok(Trail::Nobody)) };
        let mut ask = Ask::get((&origin, named_by), "/.well-known/atproto-did", &[], None, &self.agent);
        if let (Some(_), Ok(host)) = (&self.settings.handle_gateway, HeaderValue::from_str(name)) {
            ask.request.headers_mut().insert(HOST, host);
        }
        let Answer { outcome, rate, .. } = ask.send(via).await;
        let did = match outcome {
            Ok(Reply::Good(body)) if body.len() <= LONGEST_ANSWER => String::from_utf8(body).ok(),
            Ok(_) => None,
            Err(error @ SourceError::Limited { .. }) => return Answer { outcome: Err(error), rate, cost: 0 },
            Err(error) => {
                tracing::debug!(name, "the host of a handle does not tell its account: {error}");
                None
            }
        };
        Answer { outcome: Ok(self.after(name, did.as_deref().map(str::trim), None)), rate, cost: 0 }
    }

    /// Whether the account's document names the handle in turn.
    async fn confirm(&self, via: &HttpClient, name: &str, text: &str) -> Answer<Trail> {
        let (Some(did), Ok(user)) = (Did::parse(text), text.parse::<UserId>()) else {
            return Answer::unasked(Ok(Trail::Nobody));
        };
        let Answer { outcome, rate, .. } = self.document(via, &user, &did).await;
        let outcome = match (outcome, &did) {
            (Ok(document), _) if document.handle.as_deref() == Some(name) => {
                self.accounts.insert(&user, document);
                Ok(profile(text, name).map_or(Trail::Nobody, Trail::Found))
            }
            (Ok(_) | Err(SourceError::Gone { .. }), _) => Ok(Trail::Nobody),
            // A host of its own that is away must not keep all other names from being looked up.
            (
                Err(SourceError::Passing { .. } | SourceError::Garbage { .. } | SourceError::Refused { .. }),
                Did::Web(_),
            ) => Ok(Trail::Nobody),
            (Err(error), _) => Err(error),
        };
        Answer { outcome, rate, cost: 0 }
    }
}

/// As much of a profile as is known of an account that the AppView does not show.
fn profile(did: &str, handle: &str) -> Option<Profile> {
    let raw = serde_json::json!({"did": did, "handle": handle}).to_string();
    let profile = Profile::from_bluesky(RawValue::from_string(raw).ok()?).ok()?;
    (profile.screen_name.as_deref() != Some(INVALID_HANDLE)).then_some(profile)
}
