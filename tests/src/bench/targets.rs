//! Crawls that the benchmarks work on.

use anyhow::{Context, bail, ensure};
use api::TrackerApi;
use api::client::Client;
use api::model::{
    Answer, CrawlId, CrawlSpec, CrawlView, Operation, Operations, Query, Response, Traversal, Write,
};
use storage::dataset::SourceName;
use storage::ids::UserId;

use super::accounts::account;

/// Accounts in one chunk, as `twm-ctl submit` sends them.
pub(super) const CHUNK: u64 = 5_000;

/// A crawl with one operation, and the progress of its submission. Its jobs can be granted from the first
/// chunk on.
pub(super) struct Targets {
    client: Client,
    crawl: CrawlId,
    chunk: u64,
    /// Index of the next account.
    next: u64,
    first: u64,
}

impl Targets {
    /// Creates an empty crawl. Discovered accounts are appended to its queue; its own targets are the
    /// accounts from index `first` on.
    pub(super) async fn open(client: Client, operation: Operation, first: u64) -> anyhow::Result<Self> {
        let source = SourceName::default();
        Self::open_for(client, source, Operations::only(operation), Traversal::Bfs, first).await
    }

    async fn open_for(
        client: Client,
        source: SourceName,
        operations: Operations,
        traversal: Traversal,
        first: u64,
    ) -> anyhow::Result<Self> {
        let spec = CrawlSpec {
            name: "benchmark".to_owned(),
            operations,
            traversal,
            depth: None,
            follow: None,
            priority: 10,
            fingerprint: None,
            source,
            spend_limit: None,
        };
        let create = Write::CreateCrawl { request: client.request_id(), spec };
        let Response::CrawlCreated(crawl) = client.write(create).await? else { bail!("no crawl was made") };
        Ok(Self { client, crawl, chunk: 0, next: first, first })
    }

    /// Submits `count` more accounts.
    pub(super) async fn add(&mut self, count: u64) -> anyhow::Result<()> {
        let end = self.next + count;
        while self.next < end {
            let next = end.min(self.next + CHUNK);
            self.add_chunk((self.next..next).map(account).collect()).await?;
            self.next = next;
        }
        Ok(())
    }

    async fn add_chunk(&mut self, users: Vec<UserId>) -> anyhow::Result<()> {
        let add = Write::AddTargets { crawl: self.crawl, chunk: self.chunk, users, seeds: false };
        self.client.write(add).await?;
        self.chunk += 1;
        Ok(())
    }

    /// Accounts submitted so far.
    pub(super) fn count(&self) -> u64 {
        self.next - self.first
    }

    pub(super) fn crawl(&self) -> CrawlId {
        self.crawl
    }

    pub(super) async fn view(&self) -> anyhow::Result<CrawlView> {
        view(&self.client, self.crawl).await
    }

    /// Checks that the tracker has every target once, and `completed` of them completed.
    pub(super) async fn verify(&self, completed: u64) -> anyhow::Result<()> {
        let users = self.view().await?.counters.users;
        let count = self.count();
        ensure!(users.accepted == count, "{count} targets were submitted; the tracker has {users:?}");
        ensure!(
            users.completed == completed,
            "{completed} completions were acknowledged; the tracker has {users:?}"
        );
        Ok(())
    }
}

/// Submits a crawl of these accounts of the default source; discovered accounts go to its frontier.
pub(super) async fn submit(
    client: Client,
    operations: Operations,
    users: impl IntoIterator<Item = UserId>,
) -> anyhow::Result<CrawlId> {
    submit_to(client, SourceName::default(), operations, users).await
}

/// Submits a crawl of these accounts of a source; discovered accounts go to its frontier.
pub(super) async fn submit_to(
    client: Client,
    source: SourceName,
    operations: Operations,
    users: impl IntoIterator<Item = UserId>,
) -> anyhow::Result<CrawlId> {
    let mut targets = Targets::open_for(client, source, operations, Traversal::Default, 0).await?;
    let mut users = users.into_iter();
    loop {
        let chunk: Vec<_> = users.by_ref().take(CHUNK as usize).collect();
        if chunk.is_empty() {
            break;
        }
        targets.add_chunk(chunk).await?;
    }
    targets.client.write(Write::SealCrawl { crawl: targets.crawl }).await?;
    Ok(targets.crawl)
}

/// The state of a crawl.
pub(super) async fn view(client: &Client, crawl: CrawlId) -> anyhow::Result<CrawlView> {
    match client.query(Query::Crawl(crawl)).await? {
        Answer::Crawl(view) => view.map(|view| *view).context("the crawl is not known"),
        other => bail!("asked for a crawl, got {other:?}"),
    }
}
