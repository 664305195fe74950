//! Sends targets to a crawl.

use api::client::ClientError;
use api::model::{CrawlId, CrawlView, Response, SubmitSummary, Write};
use storage::ids::UserId;

use crate::ctl::Cluster;
use crate::ctl::output::note;
use crate::ctl::render::count;

use super::Summary;

/// A crawl that is receiving its targets. Reports what is left behind if it is dropped too early.
pub struct Upload<'a> {
    cluster: &'a Cluster,
    crawl: CrawlId,
    /// Numbers of the next chunks; targets and seeds are counted separately.
    chunks: [u64; 2],
    /// Chunks received before this run.
    known: [u64; 2],
    so_far: SubmitSummary,
    open: bool,
}

impl<'a> Upload<'a> {
    /// For a crawl that is loading.
    pub fn new(cluster: &'a Cluster, crawl: CrawlId) -> Self {
        let so_far = SubmitSummary::default();
        Self { cluster, crawl, chunks: [0; 2], known: [0; 2], so_far, open: true }
    }

    /// Continues a crawl whose submission was interrupted: received chunks are not sent again.
    pub fn resume(cluster: &'a Cluster, crawl: CrawlView) -> Self {
        let users = crawl.counters.users;
        note(format!(
            "crawl {} was begun with this list and continues: {} accounts are in",
            crawl.id,
            count(users.accepted)
        ));
        let so_far = SubmitSummary { accepted: users.accepted, duplicates: users.duplicates };
        Self { known: crawl.chunks, so_far, ..Self::new(cluster, crawl.id) }
    }

    /// The crawl.
    pub fn crawl(&self) -> CrawlId {
        self.crawl
    }

    /// What was received before this run.
    pub fn so_far(&self) -> Summary {
        let SubmitSummary { accepted, duplicates } = self.so_far;
        Summary { accepted, duplicates, ..Summary::default() }
    }

    /// The destination.
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Sends a chunk of targets or seeds.
    pub async fn add(&mut self, users: Vec<UserId>, seeds: bool) -> Result<SubmitSummary, ClientError> {
        let kind = usize::from(seeds);
        let chunk = &mut self.chunks[kind];
        if *chunk < self.known[kind] {
            *chunk += 1;
            return Ok(SubmitSummary::default());
        }
        let write = Write::AddTargets { crawl: self.crawl, chunk: *chunk, users, seeds };
        match self.cluster.write(write).await? {
            Response::Added(summary) => {
                *chunk += 1;
                Ok(summary)
            }
            _ => Err(ClientError::UnexpectedResponse { asked: "chunk of targets" }),
        }
    }

    /// Seals the crawl: all targets were sent.
    pub async fn seal(&mut self) -> Result<(), ClientError> {
        self.cluster.write(Write::SealCrawl { crawl: self.crawl }).await?;
        self.open = false;
        Ok(())
    }

    /// Ends the crawl.
    pub async fn cancel(&mut self) -> Result<(), ClientError> {
        self.cluster.write(Write::CancelCrawl { crawl: self.crawl }).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if self.open {
            let crawl = self.crawl;
            note(format!(
                "crawl {crawl} is left without all of its targets; submitting the same unchanged file again continues it, \
                 `twm-ctl crawl cancel {crawl}` ends it"
            ));
        }
    }
}
