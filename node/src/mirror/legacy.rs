//! The counters and lists that consumers of the original know.
//!
//! They are computed from the replicated state and not incremented, so that no failover can make them wrong. Only
//! `logger` is appended to, together with the events that it reports.

use api::TrackerApi;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use api::model::{Answer, CrawlView, Event, FailedUser, Failure, Operation, Query};
use raft::server::Tracker;
use raft::state::Upcoming;
use redis::{Pipeline, RedisResult, pipe};

use super::append::EventStream;
use super::entry;

/// Jobs in `stream`, at the head of the queue.
const STREAM: usize = 1000;
/// Entries of `error_stream`.
const ERRORS: usize = 1000;
/// Lines of `logger`.
const LINES: i64 = 300;

/// What was written last, so that unchanged values are not written again.
#[derive(Default)]
pub(super) struct Legacy {
    counters: BTreeMap<String, u64>,
    stream: Option<u64>,
    /// Accounts in the error lists, and jobs that have failed for good.
    failed: Option<(u64, u64)>,
}

impl Legacy {
    /// Writes what has changed.
    pub(super) async fn write(&mut self, redis: &mut dyn EventStream, tracker: &Tracker) -> RedisResult<()> {
        let crawls = tracker.crawls();
        let (ongoing, upcoming) = tracker.jobs_ahead(STREAM);
        let mut batch = pipe();
        batch.atomic();
        let counters = counters(&crawls, ongoing);
        for (name, value) in counters.iter().filter(|(name, value)| self.counters.get(*name) != Some(value)) {
            batch.set(name, value).ignore();
        }
        let stream = digest(&upcoming);
        if self.stream != Some(stream) {
            replace(&mut batch, "stream", upcoming.iter().map(job_line).collect());
        }
        let failed = failures(&crawls);
        let errors = if self.failed == Some(failed) { None } else { errors(tracker, &crawls).await };
        if let Some(errors) = &errors {
            replace(&mut batch, "error_stream", errors.clone());
        }
        redis.run(batch).await?;
        self.counters = counters;
        self.stream = Some(stream);
        self.failed = errors.map(|_| failed).or(self.failed);
        Ok(())
    }
}

fn failures(crawls: &[CrawlView]) -> (u64, u64) {
    let jobs = crawls.iter().flat_map(|crawl| crawl.counters.operations.iter().map(|of| of.failed));
    (crawls.iter().map(|crawl| crawl.counters.users.failed).sum(), jobs.sum())
}

/// The original's name of an operation in channels and counters.
pub(super) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Timeline => "timeline",
        Operation::Followers => "follower",
        Operation::Analysis => "analyzer",
        Operation::Update => "update",
    }
}

/// The 15 counters.
fn counters(crawls: &[CrawlView], ongoing: [u64; 4]) -> BTreeMap<String, u64> {
    let sum = |of: &dyn Fn(&CrawlView) -> u64| crawls.iter().map(of).sum::<u64>();
    let mut counters = BTreeMap::new();
    for operation in Operation::ALL {
        let (name, at) = (operation_name(operation), operation.index());
        counters.insert(format!("stats.worker.ongoing.{name}"), ongoing[at]);
        let completed = sum(&|crawl| crawl.counters.operations[at].completed);
        counters.insert(format!("stats.worker.completed.{name}"), completed);
        let items = sum(&|crawl| crawl.counters.operations[at].items);
        let (fetched, included) = match operation {
            Operation::Analysis => {
                (sum(&|crawl| crawl.counters.discovered), sum(&|crawl| crawl.counters.admitted))
            }
            _ => (items, items),
        };
        counters.insert(format!("{name}.total_fetched"), fetched);
        if operation != Operation::Followers {
            counters.insert(format!("{name}.total_included"), included);
        }
    }
    counters
}

/// The error lists of all crawls, one job per failed operation; `None` while the cluster does not answer.
async fn errors(tracker: &Tracker, crawls: &[CrawlView]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for crawl in crawls.iter().filter(|crawl| crawl.counters.users.failed > 0) {
        let query = Query::Errors { crawl: crawl.id, after: None, limit: ERRORS as u32 };
        let Ok(Answer::Errors(failed)) = tracker.query(query).await else { return None };
        lines.extend(failed.iter().flat_map(error_lines));
        if lines.len() >= ERRORS {
            lines.truncate(ERRORS);
            break;
        }
    }
    Some(lines)
}

fn error_lines(failed: &FailedUser<Failure>) -> impl Iterator<Item = String> + '_ {
    failed.why.iter().map(|why| line(why.operation, &failed.user.to_string(), None))
}

fn job_line(job: &Upcoming) -> String {
    line(job.operation, &job.user.to_string(), job.cursor.as_deref())
}

/// `OP,id,cursor`; the original began followers at -1 and the rest at 0.
fn line(operation: Operation, user: &str, cursor: Option<&str>) -> String {
    let first = if operation == Operation::Followers { "-1" } else { "0" };
    format!("{},{user},{}", operation.letter(), cursor.unwrap_or(first))
}

fn replace(batch: &mut Pipeline, list: &str, lines: Vec<String>) {
    batch.del(list).ignore();
    if !lines.is_empty() {
        batch.rpush(list, lines).ignore();
    }
}

fn digest(jobs: &[Upcoming]) -> u64 {
    let mut hasher = DefaultHasher::new();
    jobs.hash(&mut hasher);
    hasher.finish()
}

/// The commands that add these events to `logger`, newest first, as `HH:MM:SS [system] text` in UTC.
pub(super) fn log_lines(events: &[Event], wall: Duration) -> Vec<Vec<String>> {
    let second = wall.as_secs() % 86_400;
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let texts = events.iter().filter_map(entry::log_text);
    let mut commands: Vec<_> =
        texts.map(|text| words(&["LPUSH", "logger", &format!("{time} {text}")])).collect();
    if !commands.is_empty() {
        commands.push(words(&["LTRIM", "logger", "0", &(LINES - 1).to_string()]));
    }
    commands
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_counters_are_the_originals_15() {
        let counters = counters(&[], [0; 4]);
        let known: BTreeSet<&str> = api::documents::counters::all().collect();
        assert_eq!(known.len(), 15);
        assert!(counters.keys().map(String::as_str).eq(known));
    }

    #[test]
    fn a_job_line_is_the_originals() {
        assert_eq!(line(Operation::Followers, "7", None), "F,7,-1");
        assert_eq!(line(Operation::Analysis, "7", None), "A,7,0");
        assert_eq!(line(Operation::Timeline, "7", Some("99")), "T,7,99");
    }
}
