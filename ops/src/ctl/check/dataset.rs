//! Compares datasets with the state.
//!
//! The state counts what each crawl has published, but not in which files. Therefore the files are compared with the
//! crawl that ended last, whose files nothing has replaced since.

use std::path::PathBuf;

use api::model::{ClusterStatus, CrawlView, Operation};
use storage::dataset::OutputState;

use crate::ctl::dataset::{Contents, contents, store};
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// What datasets hold.
#[derive(Debug, Default)]
pub struct Found {
    tweets: u64,
    followers: u64,
    /// Defects that do not depend on the state.
    pub wrong: Vec<String>,
}

/// Reads whole datasets of the cluster. Unsound files are printed as they are found.
pub fn read(folders: &[PathBuf], cluster: &ClusterStatus, output: Output) -> Result<Found, CtlError> {
    let mut found = Found::default();
    for folder in folders {
        let shown = folder.display();
        let state = store(folder)?.look().map_err(|error| CtlError::Failed(error.to_string()))?;
        let why = match state {
            OutputState::Marked(marker) if marker.cluster == cluster.id.0 => None,
            OutputState::Marked(marker) => Some(format!(
                "{shown} belongs to cluster {:032x}, and this one is {}: it was not compared",
                marker.cluster, cluster.id
            )),
            OutputState::Unmarked => {
                Some(format!("{shown} was never the output of a node: it was not compared"))
            }
            OutputState::Empty => {
                Some(format!("{shown} is empty: is it the right place, and is its volume mounted?"))
            }
        };
        if let Some(why) = why {
            found.wrong.push(why);
            continue;
        }
        let Contents { tweets, followers, unsound } = contents(folder, output)?;
        found.tweets += tweets;
        found.followers += followers;
        if unsound > 0 {
            found.wrong.push(format!(
                "{} files in {shown} are not sound; they are named above, and `twm-ctl dataset recover` mends what can be",
                count(unsound)
            ));
        }
    }
    Ok(found)
}

impl Found {
    /// What is missing, and what could not be compared.
    pub fn compare(&self, crawls: &[CrawlView]) -> (Vec<String>, Vec<String>) {
        let (mut missing, mut notes) = (Vec::new(), Vec::new());
        let timelines = &[Operation::Timeline, Operation::Update][..];
        for (operation, writers, found, what) in [
            (Operation::Timeline, timelines, self.tweets, "tweets"),
            (Operation::Followers, &[Operation::Followers], self.followers, "followers"),
        ] {
            let writes = |crawl: &&CrawlView| writers.iter().any(|op| crawl.spec.operations.contains(*op));
            if let Some(open) = crawls.iter().filter(writes).find(|crawl| !crawl.phase.is_over()) {
                notes
                    .push(format!("{what} were not compared with the state: crawl {} still writes", open.id));
                continue;
            }
            let Some(last) = crawls.iter().filter(writes).max_by_key(|crawl| crawl.ended_at) else {
                continue;
            };
            let published = last.counters.operations[operation.index()].items;
            if found < published {
                missing.push(format!(
                    "crawl {} published {} {what} and the datasets have {}: either files are missing (were all datasets \
                     given?), or some accounts were crawled more than once while they deleted some",
                    last.id,
                    count(published),
                    count(found)
                ));
            }
        }
        (missing, notes)
    }
}

#[cfg(test)]
mod tests {
    use api::model::{CrawlId, CrawlPhase, Operations};

    use super::*;
    use crate::ctl::render::samples;

    fn crawl(id: u64, ended_at: Option<u64>, tweets: u64) -> CrawlView {
        let mut crawl = samples::crawl();
        crawl.id = CrawlId(id);
        crawl.spec.operations = Operations::only(Operation::Timeline);
        crawl.phase = if ended_at.is_some() { CrawlPhase::Finished } else { CrawlPhase::Running };
        crawl.ended_at = ended_at;
        crawl.counters.operations[Operation::Timeline.index()].items = tweets;
        crawl
    }

    #[test]
    fn the_crawl_that_ended_last_says_what_has_to_be_there() {
        let crawls = [crawl(1, Some(50), 900), crawl(2, Some(40), 5_000)];
        let has = |tweets| Found { tweets, ..Found::default() }.compare(&crawls);
        assert_eq!(has(900), (Vec::new(), Vec::new()));
        let (missing, _) = has(899);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(
            missing[0].contains("crawl 1 published 900 tweets") && missing[0].contains("have 899"),
            "{missing:?}"
        );
    }

    #[test]
    fn nothing_is_compared_while_files_may_change() {
        let crawls = [crawl(1, Some(50), 900), crawl(2, None, 3)];
        let (missing, notes) = Found::default().compare(&crawls);
        assert_eq!((missing.len(), notes.len()), (0, 1));
        assert!(notes[0].contains("crawl 2 still writes"), "{notes:?}");
    }
}
