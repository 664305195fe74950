//! `crawl pause`.

use api::model::{CrawlId, Write};

use super::tell;
use crate::ctl::{Cluster, CtlError, Output};

/// Stops granting jobs of a crawl.
pub async fn run(cluster: &Cluster, output: Output, crawl: CrawlId) -> Result<(), CtlError> {
    cluster.write(Write::PauseCrawl { crawl }).await?;
    tell(cluster, output, crawl).await
}
