//! Crawls to be worked on.

use anyhow::{Context, bail};
use raft::client::Client;
use raft::model::{
    Answer, CrawlId, CrawlSpec, CrawlView, Mutation, Operation, Operations, Query, Response, Traversal,
};
use storage::ids::UserId;

/// Accounts in one chunk, as `twm-ctl submit` sends them.
pub(super) const CHUNK: usize = 5_000;

/// Submits a crawl of one operation.
pub(super) async fn submit(
    client: &Client,
    operation: Operation,
    mut users: impl Iterator<Item = u64>,
) -> anyhow::Result<CrawlId> {
    let spec = CrawlSpec {
        name: "benchmark".to_owned(),
        operations: Operations::only(operation),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
    };
    let create = Mutation::CreateCrawl { request: client.request_id(), spec };
    let Response::CrawlCreated(crawl) = client.mutate(create).await? else { bail!("no crawl was made") };
    for chunk in 0.. {
        let users: Vec<_> = users.by_ref().take(CHUNK).map(UserId::Number).collect();
        if users.is_empty() {
            break;
        }
        client.mutate(Mutation::AddTargets { crawl, chunk, users, seeds: false }).await?;
    }
    client.mutate(Mutation::SealCrawl { crawl }).await?;
    Ok(crawl)
}

/// How a crawl stands.
pub(super) async fn view(client: &Client, crawl: CrawlId) -> anyhow::Result<CrawlView> {
    match client.query(Query::Crawl(crawl)).await? {
        Answer::Crawl(view) => view.map(|view| *view).context("the crawl is not known"),
        other => bail!("asked for a crawl, got {other:?}"),
    }
}
