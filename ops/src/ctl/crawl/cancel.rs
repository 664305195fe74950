//! `crawl cancel`.

use api::model::{CrawlId, Write};

use super::tell;
use crate::ctl::{Cluster, CtlError, Output};

/// Stops a crawl for good.
pub async fn run(cluster: &Cluster, output: Output, crawl: CrawlId) -> Result<(), CtlError> {
    cluster.write(Write::CancelCrawl { crawl }).await?;
    tell(cluster, output, crawl).await
}
