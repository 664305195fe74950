//! A source and a client for the network in a box.

use std::sync::Arc;

use node::http_client::{ClientTls, ForeignHosts, HttpClient, HttpSettings};
use node::rate::Delivery;
use node::source::bluesky::{BlueskySettings, BlueskySource, item_id};
use node::source::{Endpoint, Source, SourceError, TimelinePage};
use storage::env::{SystemClock, Work};
use storage::ids::UserId;
use twm_tests::bluesky_server::BlueskyServer;

/// Longest walk, in calls.
const LONGEST: usize = 500;

pub fn settings(server: &BlueskyServer) -> BlueskySettings {
    BlueskySettings {
        appview: server.appview_url(),
        plc: server.plc_url(),
        foreign_hosts: ForeignHosts::Any,
        ..BlueskySettings::new("twm-tests (nobody@example.org)", server.folder())
    }
}

pub fn source_of(settings: BlueskySettings) -> BlueskySource {
    BlueskySource::new(settings, Arc::new(SystemClock::new()), Work::default()).unwrap()
}

pub fn source(server: &BlueskyServer) -> BlueskySource {
    source_of(settings(server))
}

/// A source that reads repositories in pages, because it takes none whole.
pub fn pages_only(server: &BlueskyServer) -> BlueskySource {
    source_of(BlueskySettings { repository_limit: 1, ..settings(server) })
}

pub fn client() -> HttpClient {
    HttpClient::new(None, &HttpSettings::default(), &ClientTls::new().unwrap(), Arc::new(SystemClock::new()))
        .unwrap()
}

pub fn user(did: &str) -> UserId {
    did.parse().unwrap()
}

/// A walk of a timeline, as a crawl makes it.
#[derive(Debug, Default)]
pub struct Walked {
    pub lines: Vec<String>,
    /// Requests for posts and labels, without those for DID documents.
    pub requests: usize,
    /// Where it goes on.
    pub cursor: Option<String>,
}

impl Walked {
    /// The ids of its lines, which have to descend.
    pub fn ids(&self) -> Vec<String> {
        let ids: Vec<_> = self.lines.iter().map(|line| item_id(line).unwrap()).collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first, each once");
        ids.iter().map(ToString::to_string).collect()
    }

    /// One step. `true` at the end.
    pub async fn step(
        &mut self,
        source: &BlueskySource,
        client: &HttpClient,
        user: &UserId,
        since: Option<&str>,
    ) -> Result<bool, SourceError> {
        if !source.is_located(Endpoint::Timeline, user) {
            source.locate(client, user).await.outcome?;
        }
        let answer = source.timeline_page(client, user, self.cursor.as_deref(), since).await;
        self.requests += usize::from(matches!(answer.rate.delivery, Delivery::Answered(_)));
        let mut page = match answer.outcome {
            Err(SourceError::Moved { .. }) => return Ok(false),
            page => page?,
        };
        self.take(&page);
        let mut rest = page.rest.take();
        while let Some(more) = rest.as_mut().and_then(|rest| rest.next_page().unwrap()) {
            self.take(&more);
        }
        self.cursor = page.next;
        Ok(self.cursor.is_none())
    }

    fn take(&mut self, page: &TimelinePage) {
        assert_eq!(page.unusable, 0);
        self.lines.extend(page.posts().map(|(_, line)| line.to_owned()));
    }
}

/// Walks to the end, or down to `since`.
pub async fn walk(source: &BlueskySource, did: &str, since: Option<&str>) -> Result<Walked, SourceError> {
    let (client, user, mut walked) = (client(), user(did), Walked::default());
    for _ in 0..LONGEST {
        if walked.step(source, &client, &user, since).await? {
            return Ok(walked);
        }
    }
    panic!("an endless walk");
}
