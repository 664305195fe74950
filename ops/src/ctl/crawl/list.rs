//! `crawl list`.

use api::documents::{self, Rates};
use serde_json::Value;

use crate::ctl::render;
use crate::ctl::{Cluster, CtlError, Output};

/// Lists all crawls.
pub async fn run(cluster: &Cluster, output: Output) -> Result<(), CtlError> {
    let crawls = cluster.crawls().await?;
    if output.is_json() {
        let views: Vec<Value> =
            crawls.iter().map(|crawl| documents::crawl(crawl, Rates::mean(crawl))).collect();
        return output.json(&views.into());
    }
    output.table(&render::crawls(&crawls, Rates::mean))
}
