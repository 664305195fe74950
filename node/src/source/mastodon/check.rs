//! What a host is, for `source check`: at most two requests a host.

use serde::Deserialize;

use super::acct::Acct;
use super::{MastodonSource, spare_pages, unfit};
use crate::http_client::HttpClient;
use crate::source::{Answer, Asked, SourceError};

/// What a host says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostState {
    /// It has the API, in this version, which also names the software.
    Api {
        /// As in `v2/instance`, for example `4.7.3` or `2.7.2 (compatible; Pleroma 2.9.1)`.
        version: String,
    },
    /// It is in limited federation mode and has not been given a token: it answers nobody.
    Limited,
    /// It has no such API.
    NoApi,
}

/// What nodeinfo says: the software and its version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Software {
    /// Such as `mastodon`, `gotosocial`, `misskey`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl MastodonSource {
    /// Asks a host for the description of its API. Only a host in limited federation mode wants a token for it.
    ///
    /// A host that wants a token for accounts alone is [`HostState::Api`] here and refuses look-ups.
    pub async fn check_api(&self, via: &HttpClient, host: &str) -> Answer<HostState> {
        #[derive(Deserialize)]
        struct Instance {
            version: String,
        }
        let answer = self.describe(via, host, "/api/v2/instance").await;
        let outcome = match answer.outcome {
            Ok(body) => Ok(match serde_json::from_slice(&body) {
                Ok(Instance { version }) => HostState::Api { version: short(&version) },
                Err(_) => HostState::NoApi,
            }),
            Err(SourceError::Refused { status: Some(401), .. }) if !self.hosts.has_token(host) => {
                Ok(HostState::Limited)
            }
            Err(error) => no_such(error).map(|()| HostState::NoApi),
        };
        Answer { outcome, rate: answer.rate, cost: 0 }
    }

    /// Asks a host for its software; `None` if it does not say.
    pub async fn check_software(&self, via: &HttpClient, host: &str) -> Answer<Option<Software>> {
        #[derive(Deserialize)]
        struct Nodeinfo {
            software: Software,
        }
        let answer = self.describe(via, host, "/nodeinfo/2.0").await;
        let outcome = match answer.outcome {
            Ok(body) => Ok(serde_json::from_slice(&body).ok().map(|Nodeinfo { software }| Software {
                name: short(&software.name),
                version: short(&software.version),
            })),
            Err(error) => no_such(error).map(|()| None),
        };
        Answer { outcome, rate: answer.rate, cost: 0 }
    }

    async fn describe(&self, via: &HttpClient, host: &str, path: &str) -> Answer<Vec<u8>> {
        let asked = Asked { url: self.hosts.shown(host, path).into(), user: None };
        // A host is checked as that of a name is.
        if Acct::new("x", host).map(|acct| acct.domain).as_deref() != Ok(host) {
            let what = format!("{:?} is no host", storage::text::excerpt(host, 100));
            return Answer::unasked(Err(unfit(&asked, what, "give the name of a host, in lower case")));
        }
        spare_pages(self.ask(via, &asked, (host, path), &[]).await).and_then(|good| Ok(good.body))
    }
}

/// Whether the error only says that there is nothing at this address.
fn no_such(error: SourceError) -> Result<(), SourceError> {
    match error {
        SourceError::Gone { .. } | SourceError::Refused { status: Some(404 | 405 | 406 | 410), .. } => Ok(()),
        other => Err(other),
    }
}

fn short(text: &str) -> String {
    storage::text::excerpt(text, 100)
}
