//! `crawl delete`.

use api::model::{CrawlId, Write};
use serde_json::json;

use crate::ctl::output::note;
use crate::ctl::{Cluster, CtlError, Output};

/// Deletes an ended crawl.
pub async fn run(cluster: &Cluster, output: Output, crawl: CrawlId) -> Result<(), CtlError> {
    cluster.write(Write::DeleteCrawl { crawl }).await?;
    if output.is_json() {
        return output.json(&json!({ "deleted": crawl }));
    }
    note(format!("crawl {crawl} is deleted"));
    Ok(())
}
