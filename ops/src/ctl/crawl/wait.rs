//! `crawl wait`.

use std::time::Duration;

use api::documents::{self, Pace, Rates};
use api::model::{CrawlId, CrawlPhase, CrawlView};
use tokio::time::{Instant, sleep};

use crate::ctl::output::note;
use crate::ctl::progress::CrawlProgress;
use crate::ctl::render::{count, duration};
use crate::ctl::{Cluster, CtlError, Output};

/// Pause between two polls.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until a crawl is over. A cancelled crawl or failed accounts are an error.
pub async fn wait(cluster: &Cluster, output: Output, id: CrawlId) -> Result<(), CtlError> {
    let start = Instant::now();
    let mut pace = Pace::default();
    let mut progress = CrawlProgress::new();
    let crawl = loop {
        let crawl = cluster.crawl(id).await?;
        pace.take(start.elapsed(), std::slice::from_ref(&crawl));
        if crawl.phase.is_over() {
            break crawl;
        }
        progress.show(&crawl, pace.of(&crawl));
        sleep(LOOK_EVERY).await;
    };
    drop(progress);
    if output.is_json() {
        output.json(&documents::crawl(&crawl, Rates::mean(&crawl)))?;
    }
    note(summary(&crawl));
    conclude(&crawl)
}

fn summary(crawl: &CrawlView) -> String {
    let users = &crawl.counters.users;
    format!(
        "crawl {} is {} after {}: {} users completed, {} gone, {} failed, {} cancelled",
        crawl.id,
        crawl.phase.name(),
        duration(documents::age(crawl)),
        count(users.completed),
        count(users.gone),
        count(users.failed),
        count(users.cancelled),
    )
}

/// The result for the caller that waited.
fn conclude(crawl: &CrawlView) -> Result<(), CtlError> {
    let id = crawl.id;
    if crawl.phase == CrawlPhase::Cancelled {
        return Err(CtlError::Failed(format!("crawl {id} was cancelled")));
    }
    match crawl.counters.users.failed {
        0 => Ok(()),
        n => Err(CtlError::Failed(format!(
            "{} users of crawl {id} failed; `twm-ctl errors list {id}` shows why, `twm-ctl errors retry {id}` tries again",
            count(n)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn only_a_finished_crawl_without_failures_ends_well() {
        let mut crawl = samples::crawl();
        crawl.phase = CrawlPhase::Finished;
        let message = conclude(&crawl).unwrap_err().to_string();
        assert!(message.contains("errors list 7"), "{message}");
        crawl.counters.users.failed = 0;
        assert!(conclude(&crawl).is_ok());
        crawl.phase = CrawlPhase::Cancelled;
        assert!(conclude(&crawl).is_err());
    }
}
