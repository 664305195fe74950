//! The crawler: what a worker does with a job.
//!
//! - `T` and `F` walk an account's pages into a draft; `U` does so down to the newest saved tweet and appends the
//!   saved timeline; `A` looks up the followers that the crawl does not know yet, and keeps their profiles.
//! - Only one page at a time is in memory, whatever the size of the account. Now and then the draft is made durable
//!   and the progress reported, so that the walk can continue elsewhere.
//! - Every request goes to any address of the node that has budget left. Only when none has is a job [`Limited`].
//! - Files are written on blocking threads.
//!
//! A worker deliberately does not publish a finished draft. The tracker decides when to, and the session does it.
//!
//! [`Limited`]: api::model::Finding::Limited

mod analysis;
mod came_along;
mod checks;
mod counters;
mod draft;
mod hook;
mod host_gate;
mod job_error;
mod networks;
mod outage;
mod paid;
mod profiles;
mod requests;
mod resolve;
mod rules;
mod saver;
mod status;
mod update;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use api::model::{Finding, HostTrouble, Job, NodeId, Operation, Progress, SessionId, StorageId};
use api::wire::bounds::MAX_HOST;
use futures::FutureExt;
use futures::future::BoxFuture;
use storage::dataset::provenance::CAPPED;
use storage::dataset::{Dataset, DatasetError, Finished, SourceName};
use storage::env::{Clock, Entropy, Work};
use storage::planted::{Bug, planted};
use tokio::sync::watch;

pub use counters::{CrawlCounters, RequestCount};
use draft::{Draft, Pages};
pub use hook::FetchHook;
use job_error::{HostWait, JobError, JobStop};
use networks::Network;
pub use networks::{HOST_GONE_AFTER, Networks};
use outage::DatasetHealth;
pub use resolve::ResolveError;
use rules::Rules;

use crate::address::AddressPool;
use crate::purse::Purse;
use crate::session::{Assignment, Backoff, Ending, JobRunner, JobTracker};
use crate::source::Endpoint;

/// First and longest wait before a failed job is retried.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Longest reason of a failure, bytes: it may quote external data, and a report is bounded.
const LONGEST_REASON: usize = 1024;

/// The parts of a crawler.
pub struct CrawlerParts {
    /// The networks.
    pub networks: Networks,
    /// The addresses.
    pub pool: Arc<AddressPool>,
    /// Where tweets and followers go.
    pub dataset: Arc<dyn Dataset>,
    /// Knows the crawls.
    pub tracker: Arc<dyn JobTracker>,
    /// The storage of the dataset, for save points.
    pub storage: StorageId,
    /// Runs blocking work.
    pub work: Work,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Runs the jobs of a node.
pub struct Crawler {
    parts: CrawlerParts,
    rules: Rules,
    counters: CrawlCounters,
    dataset_health: DatasetHealth,
    failure: watch::Sender<Option<String>>,
    purse: Arc<Purse>,
    hook: Option<Arc<dyn FetchHook>>,
}

impl Crawler {
    /// A crawler without jobs.
    pub fn new(parts: CrawlerParts) -> Self {
        let purse = Purse::new(parts.networks.apps(), parts.clock.clone());
        Self {
            purse,
            hook: None,
            parts,
            rules: Rules::default(),
            counters: CrawlCounters::default(),
            dataset_health: DatasetHealth::default(),
            failure: watch::Sender::new(None),
        }
    }

    /// Announces what arrives to a hook.
    pub fn observe_fetches(&mut self, hook: Arc<dyn FetchHook>) {
        self.hook = Some(hook);
    }

    /// Counters since the start.
    pub fn counters(&self) -> &CrawlCounters {
        &self.counters
    }

    /// Problems that affect all jobs of this node, with their remedies.
    pub fn troubles(&self) -> Vec<String> {
        self.dataset_trouble().into_iter().chain(self.source_troubles()).collect()
    }

    /// The network of a job.
    fn network(&self, source: &SourceName) -> Result<&Network, JobError> {
        self.parts.networks.get(source).ok_or_else(|| JobError::Retryable {
            what: format!(
                "this node has no source {source}; add [source.{source}] to its settings, as on the others"
            ),
            after: None,
        })
    }

    /// Resolves with the reason when this node can no longer crawl: it must stop, or it would take jobs in
    /// vain.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }

    async fn work(&self, assignment: &Assignment) -> Result<Finding, JobStop> {
        match assignment.job.operation {
            Operation::Timeline => self.download(assignment, Pages::Timeline).await,
            Operation::Followers => self.download(assignment, Pages::Followers).await,
            Operation::Update => self.update(assignment).await,
            Operation::Analysis => self.analyse(assignment).await,
        }
    }

    /// `T` and `F`: all pages into a new file.
    async fn download(&self, assignment: &Assignment, pages: Pages) -> Result<Finding, JobStop> {
        let Some(draft) = self.walk(assignment, pages, None).await? else {
            return Ok(Finding::Completed { file: false, items: 0 });
        };
        let finished = self.finish(draft).await?;
        self.note_cap(assignment, pages, finished.items);
        if planted(Bug::PublishesEarly) && finished.items > 0 {
            let (dataset, lease) = (self.parts.dataset.clone(), assignment.job.lease.0);
            let key = pages.file(&assignment.job.account());
            self.on_disk(move || dataset.publish(&key, lease)).await?;
        }
        Ok(Finding::Completed { file: finished.items > 0, items: finished.items })
    }

    /// The source gives no more items of any account than a walk has met: there may be others.
    fn note_cap(&self, assignment: &Assignment, pages: Pages, items: u64) {
        let endpoint = match pages {
            Pages::Timeline => Endpoint::Timeline,
            Pages::Followers => Endpoint::Followers,
        };
        let network = self.parts.networks.get(&assignment.job.source);
        let most = network.and_then(|network| network.source.most_items(endpoint));
        if most.is_some_and(|most| items >= most) {
            assignment.cut_short(CAPPED);
        }
    }

    /// Finishes a draft and makes it durable.
    async fn finish(&self, draft: Draft) -> Result<Finished, JobError> {
        let finished = self.on_disk(move || draft.finish()).await?;
        self.dataset_health.written(&*self.parts.clock);
        Ok(finished)
    }

    /// Runs blocking work, mostly on files, on a blocking thread.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, DatasetError> + Send + 'static,
    ) -> Result<T, JobError> {
        match self.parts.work.run(work).await {
            Ok(result) => Ok(result?),
            Err(lost) => Err(JobError::DraftLost { what: lost.to_string() }),
        }
    }

    /// The finding that reports why a job stopped.
    fn ending(&self, assignment: &Assignment, stop: JobStop) -> Ending {
        let JobStop { error, progress } = stop;
        let job = &assignment.job;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let failed = |mut reason: String, retry: bool, at_least: Option<Duration>| {
            storage::text::truncate(&mut reason, LONGEST_REASON);
            let own = Backoff::new(RETRY.0, RETRY.1).after(job.attempt, &*self.parts.entropy);
            let after_ms = millis(own.max(at_least.unwrap_or_default()));
            tracing::debug!(user = %job.user, operation = %job.operation, retry, after_ms, "job failed: {reason}");
            Finding::Failed { progress: progress.clone(), reason, after_ms, retry }
        };
        let limited = |cause: &str, wait: Duration| {
            let after_ms = millis(wait);
            tracing::debug!(user = %job.user, operation = %job.operation, after_ms, "job limited: {cause}");
            Finding::Limited { progress: progress.clone(), after_ms }
        };
        Ending::Found(match error {
            JobError::Abandoned => return Ending::Abandoned,
            JobError::HandBack => Finding::HandedBack { progress },
            JobError::Limited { after } => limited("no address has a budget left", after),
            JobError::NoMoney { what, after } => limited(&what, after),
            JobError::DatasetDown { what } => {
                let wait = self.dataset_health.failed(&what, &*self.parts.clock, &*self.parts.entropy);
                limited(&what, wait)
            }
            JobError::SourceDown { what } => {
                if let Some(network) = self.parts.networks.get(&job.source) {
                    let setting = match job.source.is_default() {
                        true => "--api-url".to_owned(),
                        false => format!("[source.{}]", job.source),
                    };
                    network.health.failed(&what, &setting, &*self.parts.clock);
                }
                limited(&what, Backoff::new(RETRY.0, RETRY.0).next(&*self.parts.entropy))
            }
            JobError::HostWaits { host, after, why } => self.waits_for_host(job, progress, host, after, why),
            JobError::Gone(reason) => Finding::Gone(reason),
            JobError::Retryable { what, after } => failed(what, true, after),
            JobError::DraftLost { what } | JobError::CursorLoop { what } => failed(what, true, None),
            JobError::Permanent { what } => failed(what, false, None),
            JobError::NoAddress(what) => {
                tracing::error!("this node cannot send requests any more: {what}");
                self.failure.send_if_modified(|failure| failure.replace(what).is_none());
                Finding::HandedBack { progress }
            }
        })
    }
}

impl Crawler {
    /// The finding of a job whose host takes no request: it waits for the host, or in a cluster that knows of no such
    /// queues by itself.
    fn waits_for_host(
        &self,
        job: &Job,
        progress: Option<Progress>,
        host: String,
        after: Duration,
        why: HostWait,
    ) -> Finding {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let after_ms = millis(after);
        tracing::debug!(user = %job.user, operation = %job.operation, host, after_ms, ?why, "job waits for its host");
        let cut = |mut reason: String| {
            storage::text::truncate(&mut reason, LONGEST_REASON);
            reason
        };
        let network = self.parts.networks.get(&job.source);
        let queues = self.parts.tracker.queues_at_hosts() && host.len() <= MAX_HOST;
        let trouble = match (why, network) {
            (HostWait::Away { what }, Some(network)) if queues => {
                let gone_after_ms = millis(network.host_gone_after);
                HostTrouble::Away { reason: cut(what), gone_after_ms }
            }
            // The cluster learns that from whoever asks.
            (HostWait::Resting { .. }, _) if queues => HostTrouble::Busy,
            (HostWait::Away { what } | HostWait::Resting { what }, _) => {
                let own = Backoff::new(RETRY.0, RETRY.1).after(job.attempt, &*self.parts.entropy);
                let after_ms = millis(own.max(after));
                return Finding::Failed { progress, reason: cut(what), after_ms, retry: true };
            }
            (HostWait::Busy, _) if queues => HostTrouble::Busy,
            (HostWait::Limited, _) if queues => HostTrouble::Limited,
            (HostWait::Busy | HostWait::Limited, _) => return Finding::Limited { progress, after_ms },
        };
        Finding::WaitsForHost { progress, host, after_ms, trouble }
    }
}

impl JobRunner for Crawler {
    fn run(self: Arc<Self>, assignment: Assignment) -> BoxFuture<'static, Ending> {
        async move {
            let outcome = self.work(&assignment).await;
            if assignment.stop() == Some(crate::session::Stop::Abandon) {
                return Ending::Abandoned;
            }
            match outcome {
                Ok(finding) => Ending::Found(finding),
                Err(halt) => self.ending(&assignment, halt),
            }
        }
        .boxed()
    }

    fn sources(&self) -> Vec<SourceName> {
        self.parts.networks.names().cloned().collect()
    }

    fn capacity(&self, source: &SourceName, operation: Operation) -> usize {
        let Some(network) = self.parts.networks.get(source) else { return 0 };
        let endpoint = match operation {
            Operation::Timeline | Operation::Update => Endpoint::Timeline,
            Operation::Followers => Endpoint::Followers,
            Operation::Analysis => Endpoint::Lookup,
        };
        // Of many hosts, some have budget left; a job of another one comes back at once.
        let room = match network.source.has_one_host(endpoint) {
            true => self.parts.pool.capacity(&network.source.scope(endpoint, None)),
            false => usize::MAX,
        };
        let room = match network.source.paid() {
            Some(x) => self.purse.room(x.usable_apps().into_iter().map(|app| x.app_name(app)), room),
            None => room,
        };
        self.dataset_health.room(room, &*self.parts.clock)
    }

    fn session_begins(&self, node: NodeId, session: SessionId) -> BoxFuture<'static, ()> {
        if !self.purse.is_needed() {
            return std::future::ready(()).boxed();
        }
        self.purse.begin(session);
        self.purse.clone().serve(self.parts.tracker.clone(), node, session).boxed()
    }

    fn session_ends(&self) -> BoxFuture<'_, ()> {
        match self.purse.is_needed() {
            true => self.purse.finish().boxed(),
            false => std::future::ready(()).boxed(),
        }
    }

    fn session_is_over(&self) {
        self.purse.lose();
    }
}
