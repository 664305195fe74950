//! `errors retry`.

use api::client::ClientError;
use api::model::{CrawlId, Response, Write};
use clap::Args;
use serde_json::json;
use storage::ids::UserId;

use crate::ctl::output::note;
use crate::ctl::render::count;
use crate::ctl::{Cluster, CtlError, Output};

/// Accounts retried by one command of the cluster.
const STEP: u32 = 1_000;

/// Arguments.
#[derive(Debug, Args)]
pub struct Retry {
    /// The crawl.
    crawl: CrawlId,
    /// Only this account.
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
}

impl Retry {
    /// Retries the accounts that are in the error list now.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let listed = cluster.crawl(self.crawl).await?.counters.users.failed;
        let goal = if self.user.is_some() { 1 } else { listed };
        let mut retried = 0;
        // Accounts that fail again in the meantime are not retried twice, or this might not end.
        while retried < goal {
            let limit = u64::from(STEP).min(goal - retried) as u32;
            match self.step(cluster, limit).await? {
                0 => break,
                n => retried += u64::from(n),
            }
        }
        if output.is_json() {
            return output.json(&json!({ "crawl": self.crawl.0, "retried": retried }));
        }
        note(format!("crawl {}: {} accounts are in the queue again", self.crawl, count(retried)));
        Ok(())
    }

    async fn step(&self, cluster: &Cluster, limit: u32) -> Result<u32, ClientError> {
        let (request, crawl, user) = (cluster.request_id(), self.crawl, self.user.clone());
        match cluster.write(Write::RetryErrors { request, crawl, user, limit }).await? {
            Response::Retried(n) => Ok(n),
            _ => Err(ClientError::UnexpectedResponse { asked: "retry" }),
        }
    }
}
