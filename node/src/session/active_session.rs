//! An open session: reports are sent one after the other, each with everything found in the meantime.

use std::sync::Arc;
use std::time::Duration;

use api::client::{ApiError, ClientError};
use api::model::{Finding, Job, JobId, LeaseId, Report, ReportAnswer, SessionId, SourceWants};
use api::wire::bounds::{FULL_COMMAND, encoded_size};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::assignment::{Ending, Message};
use super::jobs::{AllWants, Load, RunningJob};
use super::{Assignment, Backoff, JobRunner, LeaseClock, SessionLoop};

/// How long a report with few findings waits for more.
const LINGER: Duration = Duration::from_millis(2);
/// Fewer findings than this are few.
const LITTLE: usize = 8;
/// How often to check whether budgets have room for more jobs than were requested.
const ROOM_EVERY: Duration = Duration::from_millis(50);
/// Wait before the job of a panicked worker is retried, ms.
const AFTER_PANIC_MS: u64 = 1_000;
/// Shortest and longest pause between reports without effect, and between attempts of one that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// An open session.
pub(super) struct ActiveSession {
    pub(super) session: SessionId,
    pub(super) pending: Pending,
    ttl: Duration,
    lease_clock: Arc<LeaseClock>,
    stop: CancellationToken,
    sequence: u64,
    /// A report must be sent even without findings.
    due: bool,
    /// Grows while reports have no effect although the tracker said that there is work.
    fruitless: Option<Backoff>,
}

/// How a session ended.
pub(super) enum SessionOutcome {
    /// The node stops; everything was handed back.
    Ended,
    /// Its leases may have gone to others.
    Lost(String),
}

/// Findings that wait for a report, within its limits.
#[derive(Default)]
pub(super) struct Pending {
    findings: Vec<(JobId, LeaseId, Finding)>,
    ids: usize,
    bytes: usize,
}

impl Pending {
    /// Findings, account ids in them and their encoded bytes at which a report is full. One more finding always fits.
    const FULL: (usize, usize, usize) = (512, 10_000, FULL_COMMAND);

    pub(super) fn push(&mut self, job: JobId, lease: LeaseId, finding: Finding) {
        if let Finding::Discovered { admitted, discarded, .. } = &finding {
            self.ids += admitted.len() + discarded.len();
        }
        let found = (job, lease, finding);
        self.bytes += encoded_size(&found);
        self.findings.push(found);
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= Self::FULL.0 || self.ids >= Self::FULL.1 || self.bytes >= Self::FULL.2
    }

    fn take(&mut self) -> Vec<(JobId, LeaseId, Finding)> {
        (self.ids, self.bytes) = (0, 0);
        std::mem::take(&mut self.findings)
    }
}

impl ActiveSession {
    pub(super) fn new(
        session: SessionId,
        ttl: Duration,
        lease_clock: Arc<LeaseClock>,
        stop: CancellationToken,
    ) -> Self {
        let (pending, sequence, due, fruitless) = (Pending::default(), 0, true, None);
        Self { session, pending, ttl, lease_clock, stop, sequence, due, fruitless }
    }
}

impl SessionLoop {
    /// Serves a session until it is over.
    pub(super) async fn serve(
        &mut self,
        live: &mut ActiveSession,
        stop: &CancellationToken,
    ) -> SessionOutcome {
        loop {
            self.collect(live).await;
            self.show();
            let nothing_left =
                live.pending.findings.is_empty() && self.jobs.is_empty() && self.publisher.is_idle();
            if stop.is_cancelled() && nothing_left {
                self.runner.session_ends().await;
                self.end(live.session).await;
                self.flush_provenance().await;
                return SessionOutcome::Ended;
            }
            live.due = false;
            live.sequence += 1;
            let findings = live.pending.take();
            let ends_publication =
                |finding: &Finding| matches!(finding, Finding::Published | Finding::DraftLost);
            let published: Vec<_> = findings.iter().filter(|f| ends_publication(&f.2)).map(|f| f.1).collect();
            let empty = findings.is_empty();
            let AllWants { wants, others } = self.wants(live);
            let report = Report { session: live.session, sequence: live.sequence, findings, wants };
            let answer = match self.send(live, report, others).await {
                Ok(answer) => answer,
                Err(why) => return SessionOutcome::Lost(why),
            };
            self.view.send_modify(|view| view.reports += 1);
            let confirmed = published.into_iter().filter(|lease| !answer.stale.contains(lease));
            confirmed.for_each(|lease| self.publisher.confirmed(lease));
            let brought = self.accept(live, answer);
            live.fruitless = match live.fruitless.take() {
                _ if brought || !empty || wants.total == 0 => None,
                // Far below the time to live, because a pausing session is a silent one.
                before => Some(before.unwrap_or_else(|| Backoff::new(PAUSE.0, PAUSE.1.min(live.ttl / 6)))),
            };
            self.show();
        }
    }

    fn load(&self) -> Load {
        self.jobs.load(self.options.workers, self.tracker.knows_sources())
    }

    fn wants(&self, live: &ActiveSession) -> AllWants {
        if live.stop.is_cancelled() {
            return AllWants::NONE;
        }
        self.load().wants(&*self.runner)
    }

    /// Returns when there is something to report, a report would be granted something, or a report is due.
    async fn collect(&mut self, live: &mut ActiveSession) {
        loop {
            self.clean_up();
            self.append_provenance();
            self.drain(live);
            if !live.pending.findings.is_empty() {
                return self.linger(live).await;
            }
            let stopping = live.stop.is_cancelled();
            if live.due || (stopping && self.jobs.is_empty() && self.publisher.is_idle()) {
                return;
            }
            let (runner, load) = (self.runner.clone(), self.load());
            let asked = self.wants(live);
            let AllWants { wants, others } = asked.clone();
            let pause = live.fruitless.as_mut().map(|backoff| backoff.next(&*self.options.entropy));
            let sent = self.options.clock.monotonic() + pause.unwrap_or_default();
            let wait = async {
                if let Some(pause) = pause {
                    sleep(pause).await;
                }
                if wants.total == 0 {
                    // No call is needed without wants; the report that follows keeps the session alive.
                    sleep(live.ttl / 3).await;
                    return Ok(true);
                }
                let waiting =
                    self.tracker.wait_for_work(self.options.node, live.session, wants, others, live.ttl / 3);
                timeout(live.ttl / 2, waiting).await.unwrap_or(Ok(true))
            };
            tokio::select! {
                biased;
                message = self.messages.recv() => {
                    // Open as long as `self.sender` exists.
                    if let Some(message) = message {
                        self.take(live, message);
                    }
                }
                () = live.stop.cancelled(), if !stopping => {}
                () = room_for_more(&*runner, load, asked), if !stopping => {}
                answer = wait => match answer {
                    Ok(false) => {
                        live.lease_clock.acknowledged(sent);
                        live.fruitless = None;
                    }
                    Ok(true) => live.due = true,
                    Err(error) => {
                        tracing::debug!("waiting for work failed: {error}");
                        live.due = true;
                    }
                },
            }
        }
    }

    /// Takes pending messages, as many as one report can carry.
    fn drain(&mut self, live: &mut ActiveSession) {
        while !live.pending.is_full() {
            let Ok(message) = self.messages.try_recv() else { return };
            self.take(live, message);
        }
    }

    /// Waits a moment for the findings of other workers: a report with ten costs as much as one with one.
    async fn linger(&mut self, live: &mut ActiveSession) {
        let end = tokio::time::Instant::now() + LINGER;
        while live.pending.findings.len() < LITTLE.min(self.jobs.len()) {
            match tokio::time::timeout_at(end, self.messages.recv()).await {
                Ok(Some(message)) => self.take(live, message),
                Ok(None) | Err(_) => return,
            }
        }
        self.drain(live);
    }

    /// Sends a report until it is answered, or the leases may have ended.
    async fn send(
        &mut self,
        live: &mut ActiveSession,
        report: Report,
        others: Vec<SourceWants>,
    ) -> Result<ReportAnswer, String> {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let sent = self.options.clock.monotonic();
            // The opening may have taken long: the first report confirms the session.
            let patience = if report.sequence == 1 { live.ttl } else { live.lease_clock.remaining() };
            let reporting = self.tracker.report(self.options.node, report.clone(), others.clone());
            let answer = match timeout(patience, reporting).await {
                Ok(answer) => answer,
                Err(_) => return Err("no leader answered a report before the leases could end".to_owned()),
            };
            match answer {
                Ok(answer) => {
                    live.lease_clock.acknowledged(sent);
                    return Ok(answer);
                }
                Err(error @ ClientError::Api(ApiError::Refused(_) | ApiError::BadRequest(_))) => {
                    return Err(error.to_string());
                }
                Err(error) => tracing::warn!("repeating a report: {error}"),
            }
            if report.sequence > 1 && !live.lease_clock.is_valid() {
                return Err("no leader answered a report before the leases could end".to_owned());
            }
            sleep(backoff.next(&*self.options.entropy)).await;
        }
    }

    /// Follows the tracker's answer. Returns whether there was anything new.
    fn accept(&mut self, live: &ActiveSession, answer: ReportAnswer) -> bool {
        let before = (self.jobs.len(), self.publisher.len());
        // Their drafts are left to the cleanup: a save point may still be of use.
        if !answer.stale.is_empty() {
            self.request_cleanup();
        }
        answer.stale.iter().for_each(|&lease| {
            self.jobs.abandon(lease);
            self.publisher.stale(lease);
        });
        answer.granted.into_iter().for_each(|job| self.start(live, job));
        answer.publish.into_iter().for_each(|publication| self.publisher.start(publication));
        before != (self.jobs.len(), self.publisher.len()) || !answer.stale.is_empty()
    }

    fn start(&mut self, live: &ActiveSession, job: Job) {
        let abandon = CancellationToken::new();
        let lease = job.lease;
        if self.jobs.contains(lease) {
            return;
        }
        let gauge = self.board.begin(&job, self.options.clock.monotonic());
        let running = RunningJob {
            job: job.clone(),
            session: live.session,
            abandon: abandon.clone(),
            begun: self.options.clock.wall(),
            gauge: gauge.clone(),
        };
        self.jobs.add(lease, running);
        let span = tracing::info_span!(
            "job", id = %job.id, %lease, crawl = %job.crawl, user = %job.user, operation = %job.operation
        );
        let messages = self.sender.clone();
        let assignment = Assignment {
            job,
            lease_clock: live.lease_clock.clone(),
            abandon,
            hand_back: live.stop.clone(),
            messages: messages.clone(),
            gauge,
        };
        let work = self.options.job_runtime.spawn(self.runner.clone().run(assignment).instrument(span));
        self.options.job_runtime.spawn(async move {
            let ending = work.await.unwrap_or_else(|failure| {
                let reason = format!("the worker broke down: {failure}");
                tracing::error!(%lease, "{reason}");
                Ending::Found(Finding::Failed {
                    progress: None,
                    reason,
                    after_ms: AFTER_PANIC_MS,
                    retry: true,
                })
            });
            // The loop ends before its workers only when the process stops at once.
            let _ = messages.send(Message::Ended(lease, ending)).await;
        });
    }
}

/// Returns when the runner could take more jobs than were asked for.
async fn room_for_more(runner: &dyn JobRunner, load: Load, asked: AllWants) {
    if load.idle == 0 || asked.is_full(load.idle) {
        return std::future::pending().await;
    }
    loop {
        sleep(ROOM_EVERY).await;
        if !load.wants(runner).is_within(&asked) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use api::model::{Progress, Wants};
    use api::wire::bounds::MAX_COMMAND;
    use storage::ids::UserId;

    use super::*;

    #[test]
    fn a_report_of_the_longest_ids_is_full_before_it_is_too_long_for_the_log() {
        let id: UserId = "x".repeat(255).parse().unwrap();
        let mut pending = Pending::default();
        while !pending.is_full() {
            let (admitted, discarded) = (vec![id.clone(); 100], Vec::new());
            let progress = Progress { cursor: "c".repeat(1_024), draft: None };
            pending.push(JobId(1), LeaseId(1), Finding::Discovered { admitted, discarded, progress });
        }
        let findings = pending.take();
        let report = Report { session: SessionId(1), sequence: 1, findings, wants: Wants::NONE };
        let bytes = encoded_size(&report);
        assert!((FULL_COMMAND..MAX_COMMAND).contains(&bytes), "{bytes}");
        assert!(!pending.is_full());
    }

    /// The leader applies a report as one command: none may keep it for long.
    #[test]
    fn a_report_of_many_small_findings_or_ids_is_full_however_few_bytes_they_take() {
        let discovered = |ids: u64| {
            let progress = Progress { cursor: String::new(), draft: None };
            let admitted = (0..ids).map(UserId::from).collect();
            Finding::Discovered { admitted, discarded: Vec::new(), progress }
        };
        for (findings, ids) in [(512, 0), (1, 10_000)] {
            let mut pending = Pending::default();
            for _ in 0..findings {
                assert!(!pending.is_full());
                pending.push(JobId(1), LeaseId(1), discovered(ids));
            }
            assert!(pending.is_full(), "{findings} findings of {ids} ids");
        }
    }
}
