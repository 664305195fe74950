//! `errors list`.

use api::client::ClientError;
use api::documents;
use api::model::{CrawlId, FailedUser};
use clap::Args;
use storage::ids::UserId;

use crate::ctl::render::printable;
use crate::ctl::{Cluster, CtlError, Output};

/// Accounts per query, the most that the tracker returns.
const PAGE: u32 = 1_000;

/// Arguments.
#[derive(Debug, Args)]
pub struct List {
    /// The crawl.
    crawl: CrawlId,
    /// List the accounts that were gone (protected, suspended, not found) instead.
    #[arg(long)]
    gone: bool,
}

impl List {
    /// Lists the accounts by id, one operation per line; as JSON one account per line.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        cluster.crawl(self.crawl).await?;
        if !output.is_json() {
            output.line(row(["USER", "DEPTH", "OPERATION", "ATTEMPTS", "REASON"]))?;
        }
        if self.gone {
            self.list_gone(cluster, output).await
        } else {
            self.list_failed(cluster, output).await
        }
    }

    async fn list_failed(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let page = async |after| cluster.errors(self.crawl, after, PAGE).await;
        for_each(page, |user| {
            if output.is_json() {
                return output.json(&documents::failed(user));
            }
            let (id, depth) = (user.user.to_string(), user.depth.to_string());
            user.why.iter().try_for_each(|why| {
                let attempts = why.attempts.to_string();
                output.line(row([&id, &depth, why.operation.name(), &attempts, &printable(&why.reason)]))
            })
        })
        .await
    }

    async fn list_gone(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let page = async |after| cluster.gone(self.crawl, after, PAGE).await;
        for_each(page, |user| {
            if output.is_json() {
                return output.json(&documents::gone(user));
            }
            let (id, depth) = (user.user.to_string(), user.depth.to_string());
            user.why.iter().try_for_each(|why| {
                output.line(row([&id, &depth, why.operation.name(), "-", why.reason.name()]))
            })
        })
        .await
    }
}

/// Prints page after page.
async fn for_each<Why>(
    page: impl AsyncFn(Option<UserId>) -> Result<Vec<FailedUser<Why>>, ClientError>,
    show: impl Fn(&FailedUser<Why>) -> Result<(), CtlError>,
) -> Result<(), CtlError> {
    let mut after = None;
    loop {
        let users = page(after).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after = Some(last.user.clone());
        users.iter().try_for_each(&show)?;
    }
}

/// A row of fixed widths: the list can exceed memory, so its widths are not known in advance.
fn row(cells: [&str; 5]) -> String {
    let [user, depth, operation, attempts, reason] = cells;
    format!("{user:<20}  {depth:>5}  {operation:<9}  {attempts:>8}  {reason}")
}
