//! Opens one session after the other.

use std::sync::Arc;
use std::time::Duration;

use api::client::{ApiError, ClientError};
use api::model::{Finding, LeaseId, NodeId, OpenSession, Refusal, SessionId, StorageId};
use storage::dataset::Dataset;
use storage::env::{Clock, Entropy, Work};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::active_session::{ActiveSession, SessionOutcome};
use super::assignment::{Ending, Message};
use super::jobs::RunningJobs;
use super::leftovers::remove_leftovers;
use super::publisher::{PublicationHook, Publisher};
use super::{Backoff, JobBoard, JobRunner, JobTracker, LeaseClock, SessionView, Sharer};
use crate::provenance::Provenance;

/// The options of a session.
pub struct SessionOptions {
    /// This node.
    pub node: NodeId,
    /// The storage of its dataset.
    pub storage: StorageId,
    /// Whether other nodes write to it too.
    pub shared: bool,
    /// Whether an operator has moved the node's files there from wherever they were.
    pub adopt: bool,
    /// Jobs that run at once.
    pub workers: u32,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where jobs run.
    pub job_runtime: Handle,
    /// Runs their disk work.
    pub work: Work,
    /// Records what is published.
    pub provenance: Provenance,
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Most queued messages of workers; a worker with one more waits.
const MESSAGES: usize = 4096;
/// First and longest pause after a failed opening of a session.
const REOPEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Interval of the cleanup.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(10);
/// How long a node that stops waits for the dataset to take its provenance, which otherwise stays on its disk.
const LAST_PROVENANCE: Duration = Duration::from_secs(3);

/// Keeps a session open as long as the node runs.
pub struct SessionLoop {
    pub(super) options: SessionOptions,
    pub(super) tracker: Arc<dyn JobTracker>,
    pub(super) runner: Arc<dyn JobRunner>,
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) jobs: RunningJobs,
    pub(super) board: Arc<JobBoard>,
    pub(super) publisher: Publisher,
    pub(super) view: watch::Sender<SessionView>,
    dataset: Arc<dyn Dataset>,
    /// Reports on shared budgets, and the task that does so for the open session.
    sharer: Option<Sharer>,
    sharing: Option<JoinHandle<()>>,
    cleanup: Option<JoinHandle<()>>,
    last_cleanup: Option<Duration>,
    appending: Option<JoinHandle<()>>,
}

impl SessionLoop {
    /// A loop that is not running yet.
    pub fn new(
        options: SessionOptions,
        tracker: Arc<dyn JobTracker>,
        runner: Arc<dyn JobRunner>,
        dataset: Arc<dyn Dataset>,
    ) -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES);
        let publisher = Publisher::new(dataset.clone(), tracker.clone(), &options, sender.clone());
        let (jobs, view) = (RunningJobs::default(), watch::Sender::default());
        let (cleanup, last_cleanup, appending) = (None, None, None);
        let (sharer, sharing) = (None, None);
        let board = Arc::default();
        Self {
            options,
            tracker,
            runner,
            messages,
            sender,
            jobs,
            board,
            publisher,
            view,
            dataset,
            sharer,
            sharing,
            cleanup,
            last_cleanup,
            appending,
        }
    }

    /// Announces publications to a hook.
    pub fn observe_publications(&mut self, hook: Arc<dyn PublicationHook>) {
        self.publisher.set_hook(hook);
    }

    /// Shares budgets with other nodes.
    pub fn share_budgets(&mut self, sharer: Sharer) {
        self.sharer = Some(sharer);
    }

    /// The view of the session, always up to date.
    pub fn view(&self) -> watch::Receiver<SessionView> {
        self.view.subscribe()
    }

    /// The running jobs, always up to date.
    pub fn board(&self) -> Arc<JobBoard> {
        self.board.clone()
    }

    /// Takes jobs and reports until `stop` is cancelled; then hands all jobs back, closes the session and returns.
    ///
    /// While no leader can be reached it cannot close its session, so the caller should use a timeout.
    ///
    /// # Errors
    /// The cluster says that the node's files are in another storage.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Refusal> {
        while let Some(mut live) = self.open(&stop).await? {
            let session = live.session;
            let span = tracing::info_span!("session", id = %session);
            let beside = AbortOnDrop(tokio::spawn(
                self.runner.session_begins(self.options.node, session).instrument(span.clone()),
            ));
            self.begin_sharing(session);
            let over = self.serve(&mut live, &stop).instrument(span).await;
            self.end_sharing();
            drop(beside);
            self.runner.session_is_over();
            self.jobs.abandon_all();
            self.publisher.forget_done();
            self.view.send_modify(|view| view.open = false);
            match over {
                SessionOutcome::Ended => {
                    tracing::info!(%session, "session ended");
                    return Ok(());
                }
                SessionOutcome::Lost(why) => {
                    tracing::warn!(%session, "session lost, opening a new one: {why}")
                }
            }
        }
        Ok(())
    }

    /// Opens a session; `None` if the node stops first.
    async fn open(&mut self, stop: &CancellationToken) -> Result<Option<ActiveSession>, Refusal> {
        let mut backoff = Backoff::new(REOPEN.0, REOPEN.1);
        let incarnation =
            || OpenSession::incarnation(self.tracker.applied_index(), self.options.entropy.next_u64());
        let mut open = OpenSession {
            node: self.options.node,
            incarnation: incarnation(),
            storage: self.options.storage,
            workers: self.options.workers,
            shared: self.options.shared,
            adopt: self.options.adopt,
        };
        loop {
            let sent = self.options.clock.monotonic();
            let opened = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                opened = self.tracker.open_session(open.clone()) => opened,
            };
            let wait = backoff.next(&*self.options.entropy);
            match opened {
                Ok(opened) => {
                    let ttl = Duration::from_millis(opened.ttl_ms);
                    let lease_clock = Arc::new(LeaseClock::new(self.options.clock.clone(), ttl));
                    lease_clock.acknowledged(sent);
                    tracing::info!(session = %opened.session, ?ttl, "session opened");
                    self.view.send_modify(|view| {
                        view.open = true;
                        view.sessions += 1;
                    });
                    self.request_cleanup();
                    return Ok(Some(ActiveSession::new(opened.session, ttl, lease_clock, stop.clone())));
                }
                Err(ClientError::Api(ApiError::Refused(refusal @ Refusal::OtherStorage { .. }))) => {
                    return Err(refusal);
                }
                // Either this replica has not yet applied the session of the process before this one, or a late
                // attempt of that process has just been carried out.
                Err(ClientError::Api(ApiError::Refused(refusal @ Refusal::SessionNewer { .. }))) => {
                    tracing::info!(retry_in = ?wait, "cannot open a session yet: {refusal}");
                    open.incarnation = incarnation();
                }
                Err(error) => tracing::warn!(retry_in = ?wait, "cannot open a session: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn begin_sharing(&mut self, session: SessionId) {
        let sharer = self.sharer.clone();
        self.sharing = sharer.map(|sharer| tokio::spawn(sharer.serve(self.tracker.clone(), session)));
    }

    /// The session is over, and with it its shares.
    fn end_sharing(&mut self) {
        if let Some(sharing) = self.sharing.take() {
            sharing.abort();
        }
        if let Some(sharer) = &self.sharer {
            sharer.drop_session();
        }
    }

    /// Ends the session in good order.
    pub(super) async fn end(&self, session: SessionId) {
        match self.tracker.end_session(self.options.node, session).await {
            Ok(()) | Err(ClientError::Api(ApiError::Refused(Refusal::SessionOver(_)))) => {}
            Err(error) => tracing::warn!(%session, "cannot end the session, it will time out: {error}"),
        }
    }

    /// Processes a message of a worker or publication; findings of jobs that no longer count are dropped.
    pub(super) fn take(&mut self, live: &mut ActiveSession, message: Message) {
        match message {
            Message::Found(lease, finding) => {
                if let Some(running) = self.jobs.valid(lease, live.session) {
                    live.pending.push(running.id(), lease, finding);
                }
            }
            Message::Ended(lease, ending) => {
                let is_valid = self.jobs.valid(lease, live.session).is_some();
                let running = self.jobs.remove(lease).filter(|_| is_valid);
                self.board.end(lease);
                if let (Some(running), Ending::Found(finding)) = (running, ending) {
                    if let Finding::Completed { file: true, items } = finding {
                        let record = running.record(self.options.clock.wall(), items);
                        self.options.provenance.finished(record);
                    }
                    live.pending.push(running.id(), lease, finding);
                }
            }
            Message::Published(lease, finding) => self.published(live, lease, finding),
        }
    }

    fn published(&mut self, live: &mut ActiveSession, lease: LeaseId, finding: Finding) {
        if let Some(job) = self.publisher.done(lease) {
            live.pending.push(job, lease, finding);
        }
    }

    /// Makes the next [`clean_up`](Self::clean_up) due.
    pub(super) fn request_cleanup(&mut self) {
        self.last_cleanup = None;
    }

    /// Removes leftovers in the background, if due.
    pub(super) fn clean_up(&mut self) {
        let now = self.options.clock.monotonic();
        let due = self.last_cleanup.is_none_or(|last| now.saturating_sub(last) >= CLEANUP_INTERVAL);
        if !due || self.cleanup.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        self.last_cleanup = Some(now);
        let work = self.options.work.clone();
        self.cleanup = Some(tokio::spawn(remove_leftovers(self.tracker.clone(), self.dataset.clone(), work)));
    }

    /// Appends provenance to the dataset in the background, if due.
    pub(super) fn append_provenance(&mut self) {
        let idle = self.jobs.is_empty() && self.publisher.is_idle();
        let runs = self.appending.as_ref().is_some_and(|task| !task.is_finished());
        if !self.options.provenance.is_due(idle) || runs {
            return;
        }
        let (provenance, dataset) = (self.options.provenance.clone(), self.dataset.clone());
        let append = async move { provenance.append(dataset).await };
        self.appending = Some(self.options.job_runtime.spawn(append));
    }

    /// Appends what is left, if the dataset takes it.
    pub(super) async fn flush_provenance(&self) {
        let append = self.options.provenance.append(self.dataset.clone());
        if tokio::time::timeout(LAST_PROVENANCE, append).await.is_err() {
            tracing::warn!(
                "the dataset does not take provenance in time; it stays on this node's disk until the node starts again"
            );
        }
    }

    /// Shows what changed.
    pub(super) fn show(&self) {
        let (busy, publishing) = (self.jobs.len() as u32, self.publisher.len() as u32);
        self.view.send_if_modified(|view| {
            let changed = view.busy != busy || view.publishing != publishing;
            view.busy = busy;
            view.publishing = publishing;
            changed
        });
    }
}
