//! `crawl`.

mod cancel;
mod delete;
mod list;
mod pause;
mod resume;
mod show;
pub mod wait;

use api::documents::{self, Rates};
use api::model::CrawlId;
use clap::{Args, Subcommand};

use super::output::note;
use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Crawl {
    /// List all crawls.
    List,
    /// Show one crawl in full.
    Show(Named),
    /// Stop granting jobs of a crawl; running jobs finish.
    Pause(Named),
    /// Resume a paused crawl.
    Resume(Named),
    /// Stop a crawl for good and drop what is queued.
    Cancel(Named),
    /// Delete a crawl that has ended, with its errors and its frontier.
    Delete(Named),
    /// Wait until a crawl is over, showing its progress.
    Wait(Named),
}

/// Which crawl.
#[derive(Debug, Args)]
pub struct Named {
    /// The crawl's id, as `submit` printed it.
    crawl: CrawlId,
}

impl Crawl {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::List => list::run(cluster, output).await,
            Self::Show(named) => show::run(cluster, output, named.crawl).await,
            Self::Pause(named) => pause::run(cluster, output, named.crawl).await,
            Self::Resume(named) => resume::run(cluster, output, named.crawl).await,
            Self::Cancel(named) => cancel::run(cluster, output, named.crawl).await,
            Self::Delete(named) => delete::run(cluster, output, named.crawl).await,
            Self::Wait(named) => wait::wait(cluster, output, named.crawl).await,
        }
    }
}

/// Prints the state of a crawl after an operator's change.
async fn tell(cluster: &Cluster, output: Output, id: CrawlId) -> Result<(), CtlError> {
    let crawl = cluster.crawl(id).await?;
    if output.is_json() {
        return output.json(&documents::crawl(&crawl, Rates::mean(&crawl)));
    }
    note(format!("crawl {id} is {}", crawl.phase.name()));
    Ok(())
}
