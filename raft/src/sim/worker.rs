//! Model workers of a simulated node: they take jobs, take time, and report random findings.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, ClientError};
use storage::dataset::SourceName;
use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use crate::model::{
    Finding, GoneReason, HostTrouble, Job, JobId, LeaseId, NodeId, OpenSession, Operation, Progress,
    Publication, Report, SessionId, SourceWants, StorageId, Wants,
};
use crate::server::Tracker;

use super::bank::{Bank, Purse};
use super::files::{Files, Grants};
use super::shared_budget::{Sender, Server};

/// Jobs that a node runs at once.
const WORKERS: u16 = 6;

/// Pause after a session that could not be opened.
const REOPEN: Duration = Duration::from_millis(100);

/// The cluster version from which on there are crawls of other sources.
const FIRST_SOURCES: u32 = 5;

/// The cluster version from which on jobs wait for hosts.
const FIRST_HOST_QUEUES: u32 = 6;

/// Hosts, of which one is away more often than it answers.
const HOSTS: u64 = 4;

/// How long a host may be away before its accounts fail, ms.
const GONE_AFTER: u64 = 15_000;

/// An account whose id names its host.
pub(super) fn account_of_host(number: u64) -> UserId {
    let text = format!("u{number}@host{}", number % HOSTS);
    text.parse().unwrap_or(UserId::Number(number))
}

/// The source of some crawls.
pub fn other_source() -> SourceName {
    "other".parse().unwrap_or_default()
}

/// One node's workers.
pub(super) struct Workers {
    pub(super) node: NodeId,
    /// The storage of the node's files, and whether other nodes share it.
    pub(super) storage: (StorageId, bool),
    pub(super) tracker: Tracker,
    pub(super) files: Files,
    pub(super) grants: Grants,
    pub(super) bank: Bank,
    pub(super) server: Server,
    pub(super) dice: SeededEntropy,
}

/// The jobs of a session.
#[derive(Default)]
struct Held {
    /// The jobs, with the time when each is done.
    jobs: BTreeMap<LeaseId, (Job, Instant)>,
    /// Publications, with the time when each rename is done.
    publishing: BTreeMap<LeaseId, (Publication, Instant)>,
    /// Leases of jobs that were done.
    past: Vec<(JobId, LeaseId)>,
}

/// Until when a session is certain to live.
struct Validity {
    ttl: Duration,
    until: Mutex<Instant>,
}

impl Validity {
    fn of(opened: Instant, ttl: Duration) -> Self {
        // A tenth is deducted, as in `LeaseClock`.
        Self { ttl, until: Mutex::new(opened + ttl / 10 * 9) }
    }

    fn until(&self) -> MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.until()
    }

    fn acknowledged(&self, sent: Instant) {
        let mut until = self.until();
        *until = until.max(sent + self.ttl / 10 * 9);
    }
}

impl Workers {
    /// Works as long as the process lives.
    pub(super) async fn run(self) {
        loop {
            let open = OpenSession {
                node: self.node,
                incarnation: OpenSession::incarnation(self.tracker.applied_index(), self.dice.next_u64()),
                storage: self.storage.0,
                workers: u32::from(WORKERS),
                shared: self.storage.1,
                adopt: true,
            };
            let sent = Instant::now();
            match self.tracker.open_session(open).await {
                Ok(opened) => {
                    self.share(opened.session);
                    let ttl = Duration::from_millis(opened.ttl_ms);
                    let valid = Validity::of(sent, ttl);
                    tokio::select! {
                        biased;
                        () = self.serve(opened.session, &valid) => {}
                        () = self.pay(opened.session, &valid) => {}
                    }
                }
                Err(_) => sleep(REOPEN).await,
            }
        }
    }

    /// Sends requests of a budget that all nodes share. It goes on when this node believes that its session may be over.
    fn share(&self, session: SessionId) {
        let (node, tracker, server) = (self.node, self.tracker.clone(), self.server.clone());
        let dice = SeededEntropy::new(self.dice.next_u64());
        tokio::spawn(Sender { node, tracker, server, dice, session }.run());
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    /// Reports until the session is over, or may be.
    async fn serve(&self, session: SessionId, valid: &Validity) {
        let mut held = Held::default();
        let mut sequence = 0;
        loop {
            sleep(Duration::from_millis(10 + self.below(40))).await;
            if valid.is_over() {
                return;
            }
            let mut findings = self.findings(&mut held);
            let old = self.old_lease(&held, &findings);
            findings
                .extend(old.map(|(job, lease)| (job, lease, Finding::Completed { file: false, items: 0 })));
            sequence += 1;
            let free = WORKERS.saturating_sub(held.jobs.len() as u16);
            let report = Report { session, sequence, findings, wants: Wants::any(free) };
            let others = self.other_wants(free);
            let answer = loop {
                let sent = Instant::now();
                match self.tracker.report(self.node, report.clone(), others.clone()).await {
                    Ok(answer) => {
                        valid.acknowledged(sent);
                        break answer;
                    }
                    Err(ClientError::Api(ApiError::Refused(_))) => return,
                    Err(_) if valid.is_over() => return,
                    Err(_) => sleep(REOPEN).await,
                }
            };
            for (_, lease, finding) in &report.findings {
                if *finding == Finding::Published {
                    self.files.confirmed(*lease);
                }
            }
            if let Some((job, lease)) = old {
                self.grants.old_lease_answered(self.node, job, lease, answer.stale.contains(&lease));
            }
            for lease in &answer.stale {
                held.jobs.remove(lease);
                held.publishing.remove(lease);
            }
            for job in answer.granted {
                self.grants.granted(job.id, job.lease);
                let takes = Duration::from_millis(5 + self.below(400));
                held.jobs.entry(job.lease).or_insert((job, Instant::now() + takes));
            }
            for publication in answer.publish {
                // A rename may hang.
                let most = if self.below(10) == 0 { 2_500 } else { 60 };
                let takes = Duration::from_millis(self.below(most));
                held.publishing.entry(publication.lease).or_insert((publication, Instant::now() + takes));
            }
        }
    }

    /// Spends money as long as the session is certain to live.
    async fn pay(&self, session: SessionId, valid: &Validity) {
        let mut purse = Purse::default();
        loop {
            sleep(Duration::from_millis(50 + self.below(300))).await;
            if valid.is_over() {
                // The session is over as soon as `serve` looks.
                return std::future::pending().await;
            }
            purse.step((self.node, session), &self.tracker, &self.bank, &self.dice).await;
        }
    }

    /// What the node wants of the other source, once the cluster knows of sources.
    fn other_wants(&self, free: u16) -> Vec<SourceWants> {
        let knows = self.tracker.cluster_version() >= FIRST_SOURCES;
        knows.then(|| SourceWants { source: other_source(), each: [free; 4] }).into_iter().collect()
    }

    /// Occasionally, a job that was done long ago: a report on it changes nothing.
    fn old_lease(&self, held: &Held, findings: &[(JobId, LeaseId, Finding)]) -> Option<(JobId, LeaseId)> {
        let known = held.past.len() as u64;
        if known == 0 || self.below(15) > 0 {
            return None;
        }
        let (job, lease) = held.past[self.below(known) as usize];
        let under_way =
            held.publishing.contains_key(&lease) || findings.iter().any(|(_, of, _)| *of == lease);
        (!under_way).then_some((job, lease))
    }

    /// The findings so far.
    fn findings(&self, held: &mut Held) -> Vec<(JobId, LeaseId, Finding)> {
        let now = Instant::now();
        let mut findings = Vec::new();
        let renamed: Vec<LeaseId> =
            held.publishing.iter().filter(|(_, (_, at))| *at <= now).map(|(lease, _)| *lease).collect();
        for lease in renamed {
            let Some((publication, _)) = held.publishing.remove(&lease) else { continue };
            let job = publication.job;
            held.past.push((job, lease));
            findings.push((job, lease, self.files.publish(publication.file(), publication.draft)));
        }
        let due: Vec<LeaseId> =
            held.jobs.iter().filter(|(_, (_, at))| *at <= now).map(|(lease, _)| *lease).collect();
        for lease in due {
            let Some((job, _)) = held.jobs.remove(&lease) else { continue };
            self.grants.work(self.node, job.id, lease);
            let (finding, goes_on) = self.found(&job);
            let id = job.id;
            match (goes_on, &finding) {
                (true, _) => {
                    held.jobs.insert(lease, (job, now + Duration::from_millis(20 + self.below(200))));
                }
                // It is published under the same lease.
                (false, Finding::Completed { file: true, .. }) => {}
                (false, _) => held.past.push((id, lease)),
            }
            findings.push((id, lease, finding));
        }
        findings
    }

    /// The host of the account takes no request now.
    fn at_host(&self, job: &Job) -> Option<Finding> {
        let user = job.user.to_string();
        let (_, host) = user.split_once('@')?;
        // One host hangs most of the time, until all faults end, the others hardly ever.
        let hangs =
            if host == "host0" && !self.server.is_healed() { self.below(3) > 0 } else { self.below(20) == 0 };
        if !hangs || self.tracker.cluster_version() < FIRST_HOST_QUEUES {
            return None;
        }
        let trouble = match self.below(4) {
            0 => HostTrouble::Busy,
            1 => HostTrouble::Limited,
            _ => HostTrouble::Away { reason: "timed out".to_owned(), gone_after_ms: GONE_AFTER },
        };
        let (host, after_ms) = (host.to_owned(), self.below(800));
        Some(Finding::WaitsForHost { progress: None, host, after_ms, trouble })
    }

    /// What a job finds, and whether it continues afterwards.
    fn found(&self, job: &Job) -> (Finding, bool) {
        let progress = || Progress { cursor: self.below(1_000).to_string(), draft: None };
        let input = match job.operation {
            Operation::Update => Some(job.account().timeline()),
            Operation::Analysis => Some(job.account().followers()),
            Operation::Timeline | Operation::Followers => None,
        };
        if input.is_some_and(|input| !self.files.has(&input)) {
            return (Finding::InputMissing, false);
        }
        if let Some(finding) = self.at_host(job) {
            return (finding, false);
        }
        match self.below(20) {
            0 => (Finding::Limited { progress: None, after_ms: self.below(1_500) }, false),
            1 => {
                let (reason, after_ms) = ("the server answered 500".to_owned(), self.below(800));
                (Finding::Failed { progress: Some(progress()), reason, after_ms, retry: true }, false)
            }
            2 => (Finding::HandedBack { progress: Some(progress()) }, false),
            3 => (Finding::Gone(GoneReason::Protected), false),
            4 | 5 => (Finding::Advanced(progress()), true),
            6 => (Finding::Completed { file: false, items: 0 }, false),
            _ if job.operation == Operation::Analysis => {
                if self.below(2) == 0 {
                    return (Finding::Completed { file: false, items: 3 }, false);
                }
                let user = |_| match self.below(5) {
                    0 => account_of_host(self.below(2_000)),
                    _ => UserId::Number(500_000 + self.below(2_000)),
                };
                let users = |n| (0..n).map(user).collect();
                let (admitted, discarded) = (users(self.below(4)), users(self.below(3)));
                (Finding::Discovered { admitted, discarded, progress: progress() }, true)
            }
            _ => {
                self.files.write_draft(job.lease);
                (Finding::Completed { file: true, items: 1 + self.below(9) }, false)
            }
        }
    }
}
