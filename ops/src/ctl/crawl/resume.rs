//! `crawl resume`.

use api::model::{CrawlId, Write};

use super::tell;
use crate::ctl::{Cluster, CtlError, Output};

/// Resumes a paused crawl.
pub async fn run(cluster: &Cluster, output: Output, crawl: CrawlId) -> Result<(), CtlError> {
    cluster.write(Write::ResumeCrawl { crawl }).await?;
    tell(cluster, output, crawl).await
}
