//! `crawl show`.

use api::documents::{self, Rates};
use api::model::CrawlId;

use crate::ctl::render;
use crate::ctl::{Cluster, CtlError, Output};

/// Shows one crawl in full.
pub async fn run(cluster: &Cluster, output: Output, id: CrawlId) -> Result<(), CtlError> {
    let crawl = cluster.crawl(id).await?;
    if output.is_json() {
        return output.json(&documents::crawl(&crawl, Rates::mean(&crawl)));
    }
    output.line(render::crawl_details(&crawl))?;
    output.table(&render::operations(&crawl))
}
