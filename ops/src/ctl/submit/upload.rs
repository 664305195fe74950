//! The targets on their way into a crawl.

use raft::client::ClientError;
use raft::model::{CrawlId, Mutation, Response, SubmitSummary};
use storage::ids::UserId;

use crate::ctl::Cluster;
use crate::ctl::output::note;

/// A crawl that gets its targets. Says what is left behind when it is dropped too early.
pub struct Upload<'a> {
    cluster: &'a Cluster,
    crawl: CrawlId,
    /// The next chunk's number; targets and seeds are counted apart.
    chunks: [u64; 2],
    open: bool,
}

impl<'a> Upload<'a> {
    /// Of a crawl that is loading.
    pub fn new(cluster: &'a Cluster, crawl: CrawlId) -> Self {
        Self { cluster, crawl, chunks: [0; 2], open: true }
    }

    /// The cluster that it goes to.
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Sends a chunk of targets or seeds.
    pub async fn add(&mut self, users: Vec<UserId>, seeds: bool) -> Result<SubmitSummary, ClientError> {
        let chunk = &mut self.chunks[usize::from(seeds)];
        let mutation = Mutation::AddTargets { crawl: self.crawl, chunk: *chunk, users, seeds };
        match self.cluster.mutate(mutation).await? {
            Response::Added(summary) => {
                *chunk += 1;
                Ok(summary)
            }
            _ => Err(ClientError::Confused { asked: "chunk of targets" }),
        }
    }

    /// Tells that all targets are in.
    pub async fn seal(&mut self) -> Result<(), ClientError> {
        self.cluster.mutate(Mutation::SealCrawl { crawl: self.crawl }).await?;
        self.open = false;
        Ok(())
    }

    /// Ends the crawl.
    pub async fn cancel(&mut self) -> Result<(), ClientError> {
        self.cluster.mutate(Mutation::CancelCrawl { crawl: self.crawl }).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if self.open {
            let crawl = self.crawl;
            note(format!(
                "crawl {crawl} is left without all of its targets; `twm-ctl crawl cancel {crawl}` ends it"
            ));
        }
    }
}
