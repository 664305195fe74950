//! Walks as a crawl makes them: one request for each call, from cursor to cursor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use node::http_client::{ClientTls, HttpClient, HttpSettings};
use node::rate::Delivery;
use node::source::mastodon::{MastodonSettings, MastodonSource};
use node::source::{Answer, Endpoint, Source, SourceError};
use storage::env::SystemClock;
use storage::ids::UserId;
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions};

/// A request that takes longer is given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Many hosts and a source that asks them.
pub struct Crawl {
    pub fediverse: Fediverse,
    pub source: MastodonSource,
    pub client: HttpClient,
}

/// What a walk brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walked {
    pub items: Vec<String>,
    pub profiles: usize,
    pub requests: u64,
}

impl Crawl {
    /// The source has the tokens of these hosts.
    pub async fn start(options: FediverseOptions, tokens: &[u32]) -> Self {
        let fediverse = Fediverse::start(options).await.unwrap();
        let source = source(&fediverse, tokens);
        let settings = HttpSettings { request_timeout: REQUEST_TIMEOUT, ..HttpSettings::default() };
        let tls = ClientTls::new().unwrap();
        let client = HttpClient::new(None, &settings, &tls, Arc::new(SystemClock::new())).unwrap();
        Self { fediverse, source, client }
    }

    pub async fn timeline(&self, acct: &str, since: Option<&str>) -> Result<Walked, SourceError> {
        let mut walked = Walked::default();
        let (user, mut cursor) = (id(acct), None);
        loop {
            // As a crawler does: an account whose host has no API there may have moved, which is said once in a while.
            let page = loop {
                while !self.source.is_located(Endpoint::Timeline, &user) {
                    self.source.locate(&self.client, &user).await.outcome?;
                }
                let page = self.source.timeline_page(&self.client, &user, cursor.as_deref(), since).await;
                if !matches!(page.outcome, Err(SourceError::Moved { .. })) {
                    break page;
                }
            };
            let page = walked.count(page)?;
            assert_eq!(page.unusable, 0);
            walked.items.extend(page.posts().map(|(id, _)| id.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(walked);
            }
        }
    }

    pub async fn followers(&self, acct: &str) -> Result<Walked, SourceError> {
        let mut walked = Walked::default();
        let (user, mut cursor) = (id(acct), None);
        loop {
            let page = self.source.followers_page(&self.client, &user, cursor.as_deref()).await;
            let page = walked.count(page)?;
            assert_eq!((page.unusable, page.profiles.len()), (0, page.ids.len()));
            walked.profiles += page.profiles.len();
            walked.items.extend(page.ids.iter().map(UserId::to_string));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(walked);
            }
        }
    }
}

impl Walked {
    /// Counts the request of an answer.
    fn count<T>(&mut self, answer: Answer<T>) -> Result<T, SourceError> {
        self.requests += u64::from(answer.rate.delivery != Delivery::NotSent);
        answer.outcome
    }
}

/// A source with the tokens of these hosts.
pub fn source(fediverse: &Fediverse, tokens: &[u32]) -> MastodonSource {
    let token = |host: &u32| (format!("h{host}.test"), Fediverse::token(*host));
    let settings = MastodonSettings {
        tokens: tokens.iter().map(token).collect(),
        apis: BTreeMap::new(),
        gateway: Some(fediverse.url()),
        user_agent: Some("twm-tests (nobody@example.org)".to_owned()),
    };
    MastodonSource::new(&settings).unwrap()
}

pub fn id(acct: &str) -> UserId {
    acct.parse().unwrap()
}

pub fn host_of(acct: &str) -> &str {
    acct.split_once('@').unwrap().1
}
