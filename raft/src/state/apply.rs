//! Applies commands.

use api::wire::bounds::{MAX_NAME, MAX_RULE};
use storage::ids::UserId;
use storage::planted::{Bug, planted};

use crate::command::RosterChange;
use crate::model::{
    Command, CrawlChange, CrawlId, CrawlPhase, CrawlSpec, EventKind, JobId, Mutation, NodeId, Operation,
    Refusal, RequestId, Response, SubmitSummary, Write,
};

use super::broken::StateFailure;
use super::crawl::{Chunk, Crawl};
use super::job::JobRecord;
use super::{MAX_DRAINED, State, profiles};

/// Most failed accounts that one command retries: it reads all of them from the store.
const MAX_RETRIED: u32 = 10_000;

impl State {
    /// Applies the command of the log entry at `index`. Deterministic: every replica that applies
    /// the same commands from the same state gives the same responses and reaches the same state.
    pub fn apply(&mut self, index: u64, command: Command) -> Response {
        // TWM-T1: a new leader whose clock starts lower does not turn time back.
        self.head.clock = self.head.clock.max(command.now);
        self.limits = command.limits;
        self.index = index;
        self.outbox.begin(index);
        self.release_delayed();
        self.serve_due_hosts();
        let response = self.change(command.mutation);
        if let Some(gap) = self.outbox.take_gap() {
            self.broken("TWM-M1", gap);
        }
        self.check_if_due();
        response
    }

    fn change(&mut self, mutation: Mutation) -> Response {
        if let Some(refusal) = mutation.refused_at(self.head.version) {
            return Response::Refused(refusal);
        }
        match mutation {
            Mutation::Tick => {
                self.give_up_absent_storages();
                Response::Done
            }
            Mutation::OpenSession(open) => self.open_session(self.index, open),
            Mutation::Report(report) => self.report(self.index, report, Vec::new()),
            Mutation::ReportOf { report, others } => self.report(self.index, report, others),
            Mutation::Shares { report, moment } => self.share(&report, moment),
            Mutation::EndSession { session, graceful } => self.end_session(session, graceful),
            Mutation::CreateCrawl { request, spec } => self.once(request, |state| state.create_crawl(spec)),
            Mutation::AddTargets { crawl, chunk, users, seeds } => {
                self.add_targets(crawl, chunk, users, seeds)
            }
            Mutation::SealCrawl { crawl } => {
                self.change_crawl(crawl, "be sealed", CrawlChange::Sealed, Crawl::seal)
            }
            Mutation::PauseCrawl { crawl } => {
                self.change_crawl(crawl, "be paused", CrawlChange::Paused, Crawl::pause)
            }
            Mutation::ResumeCrawl { crawl } => {
                self.hosts.wake_all(self.head.clock);
                self.change_crawl(crawl, "be resumed", CrawlChange::Resumed, Crawl::resume)
            }
            Mutation::CancelCrawl { crawl } => self.cancel_crawl(crawl),
            Mutation::RetryErrors { request, crawl, user, limit } => {
                self.once(request, |state| state.retry_errors(crawl, user, limit))
            }
            Mutation::Drain { node, drained } => self.drain(node, drained),
            Mutation::Lead { node, term } => {
                if self.outbox.take_term(term) {
                    self.outbox.push(self.head.clock, EventKind::Leader { node, term });
                }
                Response::Done
            }
            Mutation::KeepEvents { bytes } => {
                self.outbox.resize(bytes);
                Response::Done
            }
            Mutation::EventsPassed { through } => {
                self.outbox.passed(through);
                Response::Done
            }
            Mutation::Once { request, write } => self.once_for_all(request, write),
            Mutation::RaiseVersion { to } => self.raise_version(to),
            Mutation::DeleteCrawl { crawl } => self.delete_crawl(crawl),
            Mutation::Spend { session, report } => self.report_money(session, &report),
            Mutation::Roster(change) => match self.roster.change(change.clone()) {
                Ok(()) => {
                    if let RosterChange::Leave { member } = change {
                        self.head.storages.remove(&member.node);
                    }
                    Response::Done
                }
                Err(refused) => Response::Refused(Refusal::Roster(refused)),
            },
        }
    }

    /// One version after the other, so that no program skips what it has to do at one of them.
    fn raise_version(&mut self, to: u32) -> Response {
        let from = self.head.version;
        if to <= from {
            return Response::Done;
        }
        if to > from + 1 {
            return Response::Refused(Refusal::VersionSkipped { from, to });
        }
        self.head.version = to;
        if to == profiles::FIRST_VERSION {
            self.profiles.begin_after(CrawlId(self.head.last_crawl));
        }
        if to > self.known {
            // The leader proposes a version only when all members support it. A member that does not must not
            // guess.
            self.stop_for(StateFailure::TooNew { cluster: to, known: self.known });
        }
        Response::Done
    }

    /// Applies a write with a request id once, however often it comes. A refusal is not remembered: it
    /// changed nothing, and its text could be too long for a thousand of them to fit in one record.
    fn once(&mut self, request: RequestId, write: impl FnOnce(&mut Self) -> Response) -> Response {
        if let Some(earlier) = self.requests.answer(request) {
            return earlier;
        }
        let response = write(self);
        if !matches!(response, Response::Refused(_)) {
            self.requests.remember(request, response.clone());
        }
        response
    }

    /// Applies a write once, and gives all attempts the same answer, including a refusal.
    fn once_for_all(&mut self, request: RequestId, write: Write) -> Response {
        if let Some(earlier) = self.requests.answer(request) {
            return earlier;
        }
        let response = self.change(Mutation::from(write));
        // These answers have a few bytes whatever was requested: a thousand of them have to fit in one
        // record.
        let is_short = match &response {
            Response::Refused(refusal) => matches!(
                refusal,
                Refusal::NoSuchCrawl(_) | Refusal::WrongPhase { .. } | Refusal::TooManyDrained { .. }
            ),
            _ => true,
        };
        if is_short {
            self.requests.remember(request, response.clone());
        }
        response
    }

    fn release_delayed(&mut self) {
        while let Some(&(until, job)) = self.jobs.delayed().first() {
            if until > self.head.clock {
                break;
            }
            self.unqueue(job);
            self.make_ready(job, true);
        }
    }

    fn create_crawl(&mut self, spec: CrawlSpec) -> Response {
        if let Some(refusal) = refuse(&spec, self.head.version) {
            return Response::Refused(refusal);
        }
        self.head.last_crawl += 1;
        let id = CrawlId(self.head.last_crawl);
        self.emit_crawl(id, CrawlChange::Submitted { name: spec.name.clone(), operations: spec.operations });
        self.crawls.insert(id, Crawl::submitted(spec, self.head.clock));
        Response::CrawlCreated(id)
    }

    fn add_targets(&mut self, id: CrawlId, chunk: u64, users: Vec<UserId>, seeds: bool) -> Response {
        let Some(crawl) = self.crawls.get_mut(id) else {
            return Response::Refused(Refusal::NoSuchCrawl(id));
        };
        let next = crawl.expects(chunk, seeds);
        if let Chunk::Repeated(summary) = next {
            return Response::Added(summary);
        }
        if !crawl.takes_targets() {
            return wrong_phase(id, crawl.phase(), "take targets");
        }
        if let Chunk::Missing { expected } = next {
            return Response::Refused(Refusal::MissingChunk { crawl: id, got: chunk, expected });
        }
        let summary = crawl.add_chunk(users, seeds);
        if !seeds {
            let SubmitSummary { accepted, duplicates } = summary;
            self.emit_crawl(id, CrawlChange::Targets { accepted, duplicates });
        }
        Response::Added(summary)
    }

    /// Applies a change that is possible until a crawl is cancelled; `switch` returns whether it changed anything.
    fn change_crawl(
        &mut self,
        id: CrawlId,
        verb: &str,
        change: CrawlChange,
        switch: fn(&mut Crawl) -> bool,
    ) -> Response {
        let Some(crawl) = self.crawls.get_mut(id) else {
            return Response::Refused(Refusal::NoSuchCrawl(id));
        };
        if crawl.is_closed() {
            return wrong_phase(id, crawl.phase(), verb);
        }
        if crawl.phase() != CrawlPhase::Finished && switch(crawl) {
            self.emit_crawl(id, change);
        }
        self.finish_if_done(id);
        Response::Done
    }

    fn cancel_crawl(&mut self, id: CrawlId) -> Response {
        let Some(crawl) = self.crawls.get(id) else { return Response::Refused(Refusal::NoSuchCrawl(id)) };
        match crawl.phase() {
            CrawlPhase::Cancelled => return Response::Done,
            CrawlPhase::Finished => return wrong_phase(id, CrawlPhase::Finished, "be cancelled"),
            _ => {}
        }
        // A rename in progress cannot be stopped: its file stays this crawl's until the publication is confirmed.
        let (left, jobs): (Vec<JobId>, Vec<JobId>) =
            self.jobs.iter().filter(|(_, r)| r.crawl() == id).map(|(job, _)| job).partition(|&job| {
                !planted(Bug::CancelFreesFile) && self.jobs.get(job).is_some_and(JobRecord::is_publishing)
            });
        for job in jobs {
            self.unqueue(job);
            self.unlease(job);
            self.hosts.forget(job);
            self.jobs.remove(job);
        }
        self.unpark_all(id);
        let clock = self.head.clock;
        self.crawls.deactivate(id);
        let Some(crawl) = self.crawls.get_mut(id) else {
            self.lost_crawl(id);
            return Response::Done;
        };
        crawl.cancel(clock, left.len() as u64);
        self.spend.stop_crawl(id);
        self.emit_crawl(id, CrawlChange::Cancelled);
        Response::Done
    }

    /// A crawl with nothing queued, leased or delayed is finished.
    pub(super) fn finish_if_done(&mut self, id: CrawlId) {
        let clock = self.head.clock;
        let Some(crawl) = self.crawls.get_mut(id) else { return self.lost_crawl(id) };
        if crawl.finish_if_done(clock) {
            self.crawls.deactivate(id);
            self.emit_crawl(id, CrawlChange::Finished);
        }
    }

    /// Retries failed accounts: the operations that failed run again, and those that read what they write.
    fn retry_errors(&mut self, id: CrawlId, user: Option<UserId>, limit: u32) -> Response {
        let Some(crawl) = self.crawls.get(id) else { return Response::Refused(Refusal::NoSuchCrawl(id)) };
        if crawl.phase() == CrawlPhase::Cancelled {
            return wrong_phase(id, CrawlPhase::Cancelled, "retry errors");
        }
        let operations = crawl.spec().operations;
        let failed = match self.outcomes.take_errors(id, user.as_ref(), limit.min(MAX_RETRIED) as usize) {
            Ok(failed) => failed,
            Err(error) => {
                self.stop_for(error);
                return Response::Retried(0);
            }
        };
        if let (Some(user), true) = (user, failed.is_empty()) {
            return Response::Refused(Refusal::NotFailed { crawl: id, user });
        }
        for (user, error) in &failed {
            let Some(record) = JobRecord::retry(id, error, operations) else {
                self.broken("TWM-C1", format!("account {user} of crawl {id} failed at no operation"));
                continue;
            };
            self.head.last_job += 1;
            let job = JobId(self.head.last_job);
            self.jobs.insert(job, record);
            self.make_ready(job, true);
        }
        let count = failed.len() as u64;
        if let Some(crawl) = self.crawls.get_mut(id).filter(|_| count > 0) {
            if let Err(miscount) = crawl.reopen(count) {
                self.miscounted(id, miscount);
                return Response::Retried(0);
            }
            self.crawls.reactivate(id);
            self.emit_crawl(id, CrawlChange::Retried { accounts: count });
        }
        Response::Retried(failed.len() as u32)
    }

    fn drain(&mut self, node: NodeId, drained: bool) -> Response {
        if drained {
            if self.head.drained.len() >= MAX_DRAINED && !self.head.drained.contains(&node) {
                return Response::Refused(Refusal::TooManyDrained { node, most: MAX_DRAINED as u32 });
            }
            self.head.drained.insert(node);
        } else {
            self.head.drained.remove(&node);
        }
        Response::Done
    }
}

fn wrong_phase(crawl: CrawlId, phase: CrawlPhase, verb: &str) -> Response {
    Response::Refused(Refusal::WrongPhase { crawl, phase: phase.name().to_owned(), verb: verb.to_owned() })
}

/// Why a specification is invalid. The follow rule itself is compiled by the node that receives it.
fn refuse(spec: &CrawlSpec, version: u32) -> Option<Refusal> {
    let bad = |text: &str| Some(Refusal::BadSpec(text.to_owned()));
    let operations = spec.operations;
    // Answers to recorded commands do not change: before, they named options of `twm-ctl`.
    let of_6 = version >= 6;
    if operations.is_empty() {
        return bad(match of_6 {
            true => "a crawl needs at least one operation",
            false => "a crawl needs at least one operation: -T, -F, -A or -U",
        });
    }
    if operations.contains(Operation::Timeline) && operations.contains(Operation::Update) {
        return bad(match of_6 {
            true => {
                "a crawl downloads whole timelines or updates saved ones: choose one of the two operations"
            }
            false => "-T downloads whole timelines and -U only what is new: choose one of them",
        });
    }
    if !(1..=100).contains(&spec.priority) {
        return bad("the priority must be between 1 and 100");
    }
    if spec.name.len() > MAX_NAME {
        return bad("the name is longer than 256 bytes");
    }
    if spec.follow.as_ref().is_some_and(|rule| rule.len() > MAX_RULE) {
        return bad("the follow rule is longer than 4096 bytes");
    }
    None
}
