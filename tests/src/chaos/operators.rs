//! Operators that submit, change and read crawls.

use std::sync::Arc;
use std::time::Duration;
use storage::dataset::SourceName;

use api::TrackerApi;
use api::client::{Client, ClientError};
use api::model::{Answer, CrawlId, CrawlSpec, Operation, Operations, Query, Response, Traversal, Write};
use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use tokio::time::sleep;

use super::ledger::{Known, Ledger};

/// One operator.
pub(super) struct Operator {
    pub(super) number: u64,
    pub(super) client: Arc<Client>,
    pub(super) ledger: Ledger,
    pub(super) dice: SeededEntropy,
    /// Whom it submits.
    pub(super) accounts: Arc<Vec<u64>>,
    /// Nodes that it drains and undrains.
    pub(super) nodes: Vec<u64>,
    pub(super) created: u64,
}

impl Operator {
    fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    /// Performs random actions one after the other.
    pub(super) async fn run(mut self) {
        loop {
            sleep(Duration::from_millis(50 + self.below(700))).await;
            match self.below(20) {
                0..3 => self.submit().await,
                3..6 => self.change_one().await,
                6 => {
                    let node = self.nodes[self.below(self.nodes.len() as u64) as usize];
                    let drained = self.below(3) == 0;
                    // Refused if the node has left.
                    self.write(Write::Drain { node, drained }).await;
                }
                _ => self.look().await,
            }
        }
    }

    /// Absent: the request was refused, or its outcome is unknown.
    async fn write(&self, write: Write) -> Option<Response> {
        let answer = self.client.write(write).await;
        let mut entries = self.ledger.entries();
        match &answer {
            Ok(_) => entries.acknowledged += 1,
            Err(ClientError::Api(_)) => entries.refused += 1,
            Err(_) => entries.unanswered += 1,
        }
        drop(entries);
        if !matches!(answer, Err(ClientError::Unreachable { .. })) {
            self.ledger.answered();
        }
        answer.ok().filter(|answer| !matches!(answer, Response::Refused(_)))
    }

    fn spec(&self) -> (Operations, Traversal) {
        let [timeline, followers, analysis, update] =
            [Operation::Timeline, Operation::Followers, Operation::Analysis, Operation::Update];
        let operations = match self.below(6) {
            0 => Operations::only(timeline),
            1 => Operations::only(followers),
            2 => Operations::only(followers).with(analysis),
            3 => Operations::only(update),
            _ => Operations::only(timeline).with(followers).with(analysis),
        };
        let traversal = match self.below(3) {
            0 => Traversal::Bfs,
            1 => Traversal::Dfs,
            _ => Traversal::Default,
        };
        (operations, traversal)
    }

    async fn submit(&mut self) {
        self.created += 1;
        let (operations, traversal) = self.spec();
        let spec = CrawlSpec {
            name: format!("crawl {} of operator {}", self.created, self.number),
            operations,
            traversal,
            depth: Some(1),
            follow: None,
            priority: 1 + self.below(20) as u8,
            fingerprint: None,
            source: SourceName::default(),
            spend_limit: None,
        };
        let request = self.client.request_id();
        let Some(Response::CrawlCreated(crawl)) = self.write(Write::CreateCrawl { request, spec }).await
        else {
            return;
        };
        let traverses = operations.contains(Operation::Analysis) && traversal != Traversal::Default;
        self.ledger.entries().crawls.insert(crawl, Known::new(operations, traverses));
        for chunk in 0..1 + self.below(3) {
            let some = |_| self.accounts[self.below(self.accounts.len() as u64) as usize];
            let accounts: Vec<u64> = (0..1 + self.below(12)).map(some).collect();
            self.ledger.note(crawl, |known| known.sent.extend(&accounts));
            let users = accounts.iter().copied().map(UserId::Number).collect();
            if self.write(Write::AddTargets { crawl, chunk, users, seeds: false }).await.is_none() {
                return;
            }
            self.ledger.note(crawl, |known| known.targets.extend(&accounts));
        }
        self.write(Write::SealCrawl { crawl }).await;
    }

    fn some_crawl(&self) -> Option<(CrawlId, Known)> {
        let entries = self.ledger.entries();
        let count = entries.crawls.len() as u64;
        let (crawl, known) = entries.crawls.iter().nth(self.below(count.max(1)) as usize)?;
        Some((*crawl, known.clone()))
    }

    async fn change_one(&self) {
        let Some((crawl, known)) = self.some_crawl() else { return };
        match self.below(8) {
            0 => {
                self.ledger.note(crawl, |known| known.cancel_sent = true);
                if self.write(Write::CancelCrawl { crawl }).await.is_some() {
                    self.ledger.note(crawl, |known| known.cancelled = true);
                }
            }
            1 | 2 => drop(self.write(Write::PauseCrawl { crawl }).await),
            3 | 4 => drop(self.write(Write::ResumeCrawl { crawl }).await),
            // Only cancelled crawls are deleted: other checks may still need the rest.
            5 if known.cancelled => {
                self.ledger.note(crawl, |known| known.delete_sent = true);
                self.write(Write::DeleteCrawl { crawl }).await;
            }
            _ => {
                let request = self.client.request_id();
                self.write(Write::RetryErrors { request, crawl, user: None, limit: 1_000 }).await;
            }
        }
    }

    /// Reads must not show an older state than an acknowledged write or an earlier read.
    async fn look(&self) {
        let Some((crawl, before)) = self.some_crawl() else { return };
        let query = match self.below(6) {
            0 => Query::Errors { crawl, after: None, limit: 1_000 },
            1 => Query::Frontier { crawl, from: 0 },
            2 => Query::Status,
            _ => Query::Crawl(crawl),
        };
        let Ok(answer) = self.client.query(query).await else {
            self.ledger.entries().unanswered += 1;
            return;
        };
        self.ledger.entries().acknowledged += 1;
        self.ledger.answered();
        if let Answer::Crawl(view) = answer {
            // Its deletion may have been requested meanwhile.
            let mut before = before;
            before.delete_sent = self.ledger.known(crawl).is_some_and(|known| known.delete_sent);
            self.ledger.seen(crawl, &before, view.as_deref());
        }
    }
}
