//! Finds the server of an account, and why it does not have it.

use reqwest::Url;
use storage::ids::UserId;

use super::ask::{Ask, Reply, garbage};
use super::document::{self, Document};
use super::ids::Did;
use super::verdict::{Refusal, gone_by_status};
use super::{BlueskySource, NamedBy};
use crate::http_client::HttpClient;
use crate::rate::RateInfo;
use crate::source::{Answer, Asked, GoneReason, HostReport, SourceError};

/// A DID that no directory has.
const NOBODY: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

impl BlueskySource {
    /// Whether the directory of DIDs answers as one: it says of a DID that nobody has that it is not there.
    pub(super) async fn check_directory(&self, via: &HttpClient) -> Answer<HostReport> {
        let ask = Ask::get((&self.plc, NamedBy::Settings), &format!("/{NOBODY}"), &[], None, &self.agent);
        let asked = ask.asked.clone();
        let Answer { outcome, mut rate, .. } = ask.send(via).await;
        let outcome = match outcome {
            Ok(Reply::Good(_) | Reply::Refused(Refusal { status: 404 | 410, .. })) => {
                Ok(HostReport::Fine(None))
            }
            Ok(Reply::Refused(refusal)) => Err(refusal.error(&asked, &mut rate)),
            Err(error) => Err(error),
        };
        Answer { outcome, rate, cost: 0 }
    }

    /// Asks for the DID document, and remembers it.
    pub(super) async fn locate_account(&self, via: &HttpClient, user: &UserId) -> Answer<()> {
        let Some(did) = Did::of(user) else { return self.no_did(user) };
        let answer = self.document(via, user, &did).await;
        answer.and_then(|document| {
            self.accounts.insert(user, document);
            Ok(())
        })
    }

    /// The DID document, which is asked for.
    pub(super) async fn document(&self, via: &HttpClient, user: &UserId, did: &Did<'_>) -> Answer<Document> {
        let ask = match did {
            Did::Plc(text) => {
                Ask::get((&self.plc, NamedBy::Settings), &format!("/{text}"), &[], Some(user), &self.agent)
            }
            Did::Web(host) => match Url::parse(&format!("https://{host}")) {
                Ok(url) => {
                    let path = "/.well-known/did.json";
                    Ask::get((&url, self.strangers()), path, &[], Some(user), &self.agent)
                }
                Err(_) => return self.no_did(user),
            },
        };
        let (asked, did) = (ask.asked.clone(), did.to_string());
        let mut answer = ask.send(via).await;
        let gone = |status, reason| SourceError::Gone { asked: asked.clone(), status, reason };
        let outcome = match answer.outcome {
            Err(error) => Err(error),
            Ok(Reply::Good(body)) => match document::read(&body, &did) {
                Ok(Some(document)) => Ok(document),
                // It was the account's way to leave the network.
                Ok(None) => Err(gone(200, GoneReason::Deleted)),
                Err(what) => Err(garbage(&asked, format!("no DID document: {what}"))),
            },
            // The directory keeps the record of DIDs that were given up.
            Ok(Reply::Refused(Refusal { status: 410, .. })) => Err(gone(410, GoneReason::Deleted)),
            Ok(Reply::Refused(Refusal { status: 404, .. })) => Err(gone(404, GoneReason::NotFound)),
            Ok(Reply::Refused(refusal)) => Err(refusal.error(&asked, &mut answer.rate)),
        };
        Answer { outcome, rate: answer.rate, cost: 0 }
    }

    /// What a server's refusal means for an account, or `None` if it does not say why it does not have it. An account that
    /// moved away is deactivated or unknown where it was: its document is asked for again before that is believed.
    pub(super) fn refused(
        &self,
        user: &UserId,
        asked: &Asked,
        refusal: &Refusal,
        rate: &mut RateInfo,
    ) -> Option<SourceError> {
        // Its document names this server, so it was here.
        let deleted = (refusal.name == "RepoNotFound").then_some(GoneReason::Deleted);
        let reason = refusal.gone().or(deleted);
        if reason.is_none() && !refusal.is_unknown_account() {
            return Some(refusal.error(asked, rate));
        }
        if self.accounts.doubt(user) {
            return Some(SourceError::Moved { asked: asked.clone() });
        }
        let (asked, status) = (asked.clone(), refusal.status);
        reason.map(|reason| SourceError::Gone { asked, status, reason })
    }

    /// Asks a server that refused an account's records without a reason for the status of its repository.
    pub(super) async fn why_gone<T>(&self, via: &HttpClient, pds: &Url, user: &UserId) -> Answer<T> {
        let ask = self.of_pds(pds, "com.atproto.sync.getRepoStatus", &[("did", &user.to_string())], user);
        let asked = ask.asked.clone();
        let Answer { outcome, mut rate, .. } = ask.send(via).await;
        let error = match outcome {
            Ok(Reply::Good(body)) => match gone_by_status(&body) {
                Some(reason) => SourceError::Gone { asked, status: 200, reason },
                None => garbage(&asked, "a repository that is active and whose records are refused"),
            },
            Ok(Reply::Refused(refusal)) => match refusal.gone() {
                None if !refusal.is_unknown_account() => refusal.error(&asked, &mut rate),
                reason => {
                    let reason = reason.unwrap_or(GoneReason::Deleted);
                    SourceError::Gone { asked, status: refusal.status, reason }
                }
            },
            Err(error) => error,
        };
        Answer { outcome: Err(error), rate, cost: 0 }
    }
}
