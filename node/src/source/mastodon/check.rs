//! What a host is, for `source check`: at most two requests a host.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::acct::Acct;
use super::hosts::Budget;
use super::{MastodonSource, spare_pages, unfit};
use crate::http_client::HttpClient;
use crate::source::{Answer, Asked, HostCheck, HostReport, SourceError};

/// Most hosts that a check asks.
const MOST_CHECKED: usize = 30;
/// Most hosts that are remembered.
const MOST_MET: usize = 1000;
/// The questions to a host.
const API: &str = "api";
const SOFTWARE: &str = "software";

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

/// The hosts that were asked, with whether the last request failed for a reason that is not the account's. When there are
/// too many, all are forgotten.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<BTreeMap<String, bool>>);

impl Met {
    pub fn note<T>(&self, host: &str, outcome: &Result<T, SourceError>) {
        let failed = matches!(outcome, Err(error) if !matches!(error, SourceError::Gone { .. } | SourceError::Limited { .. }));
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = hosts.get_mut(host) {
            *before = failed;
            return;
        }
        if hosts.len() >= MOST_MET {
            hosts.clear();
        }
        hosts.insert(host.to_owned(), failed);
    }

    /// Those that failed first.
    fn hosts(&self) -> Vec<String> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (failed, fine): (Vec<_>, Vec<_>) = hosts.iter().partition(|(_, failed)| **failed);
        failed.into_iter().chain(fine).map(|(host, _)| host.clone()).collect()
    }
}

impl MastodonSource {
    /// The hosts of the settings, then those that were asked before, the ones that failed first.
    pub(super) fn hosts_to_check(&self) -> Vec<HostCheck> {
        let mut hosts = self.hosts.named();
        hosts.extend(self.met.hosts());
        let mut seen = HashSet::new();
        hosts.retain(|host| seen.insert(host.clone()));
        hosts.truncate(MOST_CHECKED);
        hosts.into_iter().map(|host| self.question(host, API)).collect()
    }

    fn question(&self, host: String, step: &'static str) -> HostCheck {
        HostCheck { scope: self.hosts.scope(&host, Budget::Plain), host, step }
    }

    /// What a host is. One without the API is asked for its software.
    pub(super) async fn check_step(&self, via: &HttpClient, check: &HostCheck) -> Answer<HostReport> {
        let host = &check.host;
        if check.step == SOFTWARE {
            let answer = self.check_software(via, host).await;
            return answer.and_then(|software| {
                let runs = match software {
                    Some(Software { name, version }) => {
                        format!("it runs {name} {version}, which has no such API")
                    }
                    None => "it has no such API".to_owned(),
                };
                Ok(HostReport::Wrong(format!(
                    "{runs}; leave its accounts out, or name the host of its API in api-urls"
                )))
            });
        }
        self.check_api(via, host).await.and_then(|state| {
            Ok(match state {
                HostState::Api { version } => HostReport::Fine(Some(version)),
                HostState::Limited => HostReport::Wrong(
                    "it is in limited federation mode and answers nobody without a token; give one in token-files".to_owned(),
                ),
                HostState::NoApi => HostReport::Next(self.question(host.clone(), SOFTWARE)),
            })
        })
    }

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
