//! `crawl show`.

use api::documents::{self, Rates};
use api::model::CrawlId;

use crate::ctl::render;
use crate::ctl::{Cluster, CtlError, Output};

/// Shows one crawl in full.
pub async fn run(cluster: &Cluster, output: Output, id: CrawlId) -> Result<(), CtlError> {
    let crawl = cluster.crawl(id).await?;
    // The default source costs nothing.
    let money = match crawl.spec.source.is_default() {
        true => None,
        false => cluster.money(&cluster.status().await?).await?,
    };
    let money = money.as_ref().and_then(|money| money.of_crawl(id));
    if output.is_json() {
        let mut document = documents::crawl(&crawl, Rates::mean(&crawl));
        document["money"] = money.map(documents::money::crawl_money).into();
        return output.json(&document);
    }
    output.line(render::crawl_details(&crawl, money))?;
    output.table(&render::operations(&crawl))
}
