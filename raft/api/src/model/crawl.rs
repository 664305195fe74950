//! A crawl: one submission, isolated from all others.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use storage::dataset::SourceName;

use super::{CrawlId, Operation, Operations};

/// What happens to the accounts that an analysis admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traversal {
    /// They go to the crawl's frontier, which can be exported and submitted as another crawl.
    Default,
    /// They join the end of the queue.
    Bfs,
    /// They join the front of the queue.
    Dfs,
}

impl Traversal {
    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Bfs => "bfs",
            Self::Dfs => "dfs",
        }
    }
}

/// What a submission asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrawlSpec {
    /// A name for people; it need not be unique.
    pub name: String,
    /// What is done to each account.
    pub operations: Operations,
    /// What happens to the accounts that an analysis admits.
    pub traversal: Traversal,
    /// Accounts at most this many steps from a target are crawled; those beyond go to the frontier.
    /// Absent: no limit.
    pub depth: Option<u32>,
    /// CEL expression over `user` that admits a discovered account. Absent: all are admitted.
    pub follow: Option<String>,
    /// Share of the cluster's work among running crawls, 1 to 100.
    pub priority: u8,
    /// Identifies the submitter's lists, so that an interrupted submission can be continued.
    pub fingerprint: Option<u64>,
    /// The source of the accounts. Any other than the default one needs cluster version 5.
    pub source: SourceName,
    /// The most that the crawl may spend over its whole life, in millionths of the currency. A limit needs cluster
    /// version 6.
    pub spend_limit: Option<u64>,
}

/// A [`CrawlSpec`] as it is encoded.
#[derive(Serialize, Deserialize)]
struct EncodedSpec<Text, Last> {
    name: Text,
    operations: Operations,
    traversal: Traversal,
    depth: Option<u32>,
    follow: Option<Text>,
    priority: u8,
    last: Last,
}

/// The last field of an encoded specification: the fingerprint alone as in the first releases, with a source as in
/// those that know sources, or with a source and a limit.
#[derive(Serialize, Deserialize)]
enum Last<S> {
    None,
    Some(u64),
    NoneOf(S),
    SomeOf(u64, S),
    NoneLimited(S, u64),
    SomeLimited(u64, S, u64),
}

impl Serialize for CrawlSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { operations, traversal, depth, priority, fingerprint, spend_limit, .. } = *self;
        let source = &self.source;
        let last = match (fingerprint, spend_limit) {
            (None, Some(limit)) => Last::NoneLimited(source, limit),
            (Some(fingerprint), Some(limit)) => Last::SomeLimited(fingerprint, source, limit),
            (None, None) if source.is_default() => Last::None,
            (Some(fingerprint), None) if source.is_default() => Last::Some(fingerprint),
            (None, None) => Last::NoneOf(source),
            (Some(fingerprint), None) => Last::SomeOf(fingerprint, source),
        };
        let (name, follow) = (self.name.as_str(), self.follow.as_deref());
        EncodedSpec { name, operations, traversal, depth, follow, priority, last }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for CrawlSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spec = EncodedSpec::<String, Last<SourceName>>::deserialize(from)?;
        let EncodedSpec { name, operations, traversal, depth, follow, priority, last } = spec;
        let default = SourceName::default;
        let (fingerprint, source, spend_limit) = match last {
            Last::None => (None, default(), None),
            Last::Some(fingerprint) => (Some(fingerprint), default(), None),
            Last::NoneOf(source) => (None, source, None),
            Last::SomeOf(fingerprint, source) => (Some(fingerprint), source, None),
            Last::NoneLimited(source, limit) => (None, source, Some(limit)),
            Last::SomeLimited(fingerprint, source, limit) => (Some(fingerprint), source, Some(limit)),
        };
        Ok(Self { name, operations, traversal, depth, follow, priority, fingerprint, source, spend_limit })
    }
}

/// The phase of a crawl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrawlPhase {
    /// Targets are still being submitted; jobs run already.
    Loading,
    /// All targets are in.
    Running,
    /// No job is granted until it is resumed.
    Paused,
    /// Nothing is queued, leased or delayed any more.
    Finished,
    /// Stopped for good; what was queued is dropped.
    Cancelled,
}

impl CrawlPhase {
    /// The name used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the crawl is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }
}

/// Accounts by state. TWM-C1: `accepted` is the sum of `waiting`, `active` and the four final states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserCounters {
    /// Accounts accepted: targets and admitted discoveries, each once.
    pub accepted: u64,
    /// Targets named again.
    pub duplicates: u64,
    /// Not begun.
    pub waiting: u64,
    /// Started and not final: leased, between two operations, or delayed.
    pub active: u64,
    /// Final: at least one operation completed, none failed.
    pub completed: u64,
    /// Final: every operation found the account gone.
    pub gone: u64,
    /// Final until retried: at least one operation failed. These are the error list.
    pub failed: u64,
    /// Final: the crawl was cancelled first.
    pub cancelled: u64,
}

/// Counters of one operation's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperationCounters {
    /// Jobs done.
    pub completed: u64,
    /// Jobs that found the account gone.
    pub gone: u64,
    /// Jobs that failed for good.
    pub failed: u64,
    /// How often a job had to wait for a rate budget.
    pub limited: u64,
    /// Attempts that failed and were tried again.
    pub retried: u64,
    /// Tweets, followers or looked-up accounts in completed jobs.
    pub items: u64,
}

/// A crawl's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CrawlCounters {
    /// Accounts.
    pub users: UserCounters,
    /// Jobs, by [`Operation::index`].
    pub operations: [OperationCounters; 4],
    /// Accounts that an analysis looked up for the first time in this crawl.
    pub discovered: u64,
    /// Of these, how many the follow rule admitted.
    pub admitted: u64,
    /// Accounts in the frontier.
    pub frontier: u64,
}

impl CrawlCounters {
    /// One operation's counters.
    pub fn of(&mut self, operation: Operation) -> &mut OperationCounters {
        &mut self.operations[operation.index()]
    }
}

/// A crawl as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlView {
    /// Its id.
    pub id: CrawlId,
    /// What was asked for.
    pub spec: CrawlSpec,
    /// Where it stands.
    pub phase: CrawlPhase,
    /// What was done.
    pub counters: CrawlCounters,
    /// Accounts in the queue that have not been started.
    pub queued: u64,
    /// Jobs that could run now, with a record of their own.
    pub ready: u64,
    /// Jobs that run.
    pub leased: u64,
    /// Jobs that wait for a reset or a retry.
    pub delayed: u64,
    /// Chunks of targets and of seeds received.
    pub chunks: [u64; 2],
    /// Cluster time of the submission, ms.
    pub submitted_at: u64,
    /// Cluster time of the end, ms.
    pub ended_at: Option<u64>,
    /// Cluster time of this view, ms.
    pub now: u64,
}

#[cfg(test)]
mod tests {
    use super::super::sourced::Sourced;
    use super::*;

    fn spec(fingerprint: Option<u64>, source: &str, spend_limit: Option<u64>) -> CrawlSpec {
        CrawlSpec {
            name: "n".to_owned(),
            operations: Operations::only(Operation::Timeline),
            traversal: Traversal::Bfs,
            depth: Some(3),
            follow: None,
            priority: 10,
            fingerprint,
            source: source.parse().unwrap(),
            spend_limit,
        }
    }

    #[test]
    fn without_a_limit_a_specification_is_encoded_as_before_there_were_any() {
        for fingerprint in [None, Some(7)] {
            for source in ["twitter", "bluesky"] {
                let new = spec(fingerprint, source, None);
                let CrawlSpec { name, operations, traversal, depth, follow, priority, .. } = new.clone();
                let last = Sourced::new(fingerprint, &new.source);
                let old = EncodedSpec { name, operations, traversal, depth, follow, priority, last };
                assert_eq!(postcard::to_stdvec(&new).unwrap(), postcard::to_stdvec(&old).unwrap());
            }
        }
    }

    #[test]
    fn every_specification_is_read_as_it_was_written() {
        for fingerprint in [None, Some(u64::MAX)] {
            for source in ["twitter", "bluesky"] {
                for limit in [None, Some(0), Some(u64::MAX)] {
                    let spec = spec(fingerprint, source, limit);
                    let encoded = postcard::to_stdvec(&spec).unwrap();
                    assert_eq!(postcard::from_bytes::<CrawlSpec>(&encoded).unwrap(), spec);
                }
            }
        }
    }
}
