//! The state machine's tests, one topic per file. Names of tests carry the invariant's id where there is one.

mod bounds;
mod broken;
mod chain;
mod checkpoints;
mod digests;
mod golden;
mod hostile;
mod hosts;
mod model;
mod money;
mod money_world;
mod operators;
mod outbox;
mod phases;
mod profiles;
mod reading;
mod replica;
mod replicas;
mod reports;
mod retention;
mod sessions;
mod shares;
mod sharing;
mod sources;
mod storages;
mod submission;
mod traversal;
mod verdict;
mod waiting;
mod waits;
mod world;

use std::sync::Arc;
use storage::dataset::SourceName;

use storage::ids::UserId;
use storage::state::MemoryStore;

use crate::model::*;

use super::{State, write_checkpoint};

/// A state machine that applies one command after the other, and restarts from a checkpoint after each, so
/// that every scenario also holds across restarts.
struct Tracker {
    state: State,
    store: Arc<MemoryStore>,
    restarts: bool,
    index: u64,
    now: u64,
    limits: Limits,
}

/// A node's side of a session.
struct Node {
    session: SessionId,
    sequence: u64,
}

impl Tracker {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let state = State::load(store.clone()).unwrap();
        let limits = Limits { max_attempts: 3, ..Limits::default() };
        Self { state, store, restarts: true, index: 0, now: 1_000, limits }
    }

    /// For tests with so much state that restarting after each command takes too long.
    fn without_restarts() -> Self {
        Self { restarts: false, ..Self::new() }
    }

    fn apply(&mut self, mutation: Mutation) -> Response {
        self.index += 1;
        let command = Command { now: self.now, limits: self.limits, mutation };
        let response = self.state.apply(self.index, command);
        assert!(self.state.failure().is_none(), "{:?}", self.state.failure());
        if self.restarts {
            self.restart();
        }
        response
    }

    fn restart(&mut self) {
        let frozen = self.state.freeze().unwrap();
        write_checkpoint(&*self.store, frozen, Vec::new()).unwrap();
        self.state = State::load(self.store.clone()).unwrap();
        self.state.check_invariants().unwrap();
    }

    /// Time passes.
    fn wait(&mut self, ms: u64) {
        self.now += ms;
        assert_eq!(self.apply(Mutation::Tick), Response::Done);
    }

    fn create(&mut self, spec: CrawlSpec) -> CrawlId {
        let request = RequestId { client: 1, sequence: self.index };
        match self.apply(Mutation::CreateCrawl { request, spec }) {
            Response::CrawlCreated(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, crawl: CrawlId, chunk: u64, users: impl IntoIterator<Item = u64>) -> SubmitSummary {
        match self.apply(Mutation::AddTargets { crawl, chunk, users: ids(users), seeds: false }) {
            Response::Added(summary) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// A sealed crawl of these targets.
    fn submit(&mut self, spec: CrawlSpec, users: impl IntoIterator<Item = u64>) -> CrawlId {
        let crawl = self.create(spec);
        self.add(crawl, 0, users);
        self.seal(crawl);
        crawl
    }

    fn seal(&mut self, crawl: CrawlId) {
        assert_eq!(self.apply(Mutation::SealCrawl { crawl }), Response::Done);
    }

    /// A session of a node whose storage has the same number.
    fn open(&mut self, node: NodeId) -> Node {
        self.open_on(node, node)
    }

    fn open_on(&mut self, node: NodeId, storage: u64) -> Node {
        let open = OpenSession {
            node,
            incarnation: self.index,
            storage: StorageId(storage),
            workers: 4,
            shared: true,
            adopt: true,
        };
        match self.apply(Mutation::OpenSession(open)) {
            Response::SessionOpened(opened) => Node { session: opened.session, sequence: 0 },
            other => panic!("{other:?}"),
        }
    }

    /// A session falls silent.
    fn lose(&mut self, node: &Node) {
        let ended = Mutation::EndSession { session: node.session, graceful: false };
        assert_eq!(self.apply(ended), Response::Done);
    }

    /// A node closes its session.
    fn close(&mut self, node: &Node) {
        let ended = Mutation::EndSession { session: node.session, graceful: true };
        assert_eq!(self.apply(ended), Response::Done);
    }

    fn report(
        &mut self,
        node: &mut Node,
        findings: Vec<(JobId, LeaseId, Finding)>,
        wants: Wants,
    ) -> ReportAnswer {
        node.sequence += 1;
        let report = Report { session: node.session, sequence: node.sequence, findings, wants };
        match self.apply(Mutation::Report(report)) {
            Response::Report(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for jobs.
    fn take(&mut self, node: &mut Node, jobs: u16) -> Vec<Job> {
        self.report(node, Vec::new(), Wants::any(jobs)).granted
    }

    /// Requests the only available job.
    fn take_one(&mut self, node: &mut Node) -> Job {
        self.take(node, 1).pop().expect("a job can run")
    }

    /// Reports one finding that must not be stale.
    fn tell(&mut self, node: &mut Node, job: &Job, finding: Finding) -> ReportAnswer {
        let answer = self.report(node, vec![(job.id, job.lease, finding)], Wants::NONE);
        assert_eq!(answer.stale, [], "{job:?}");
        answer
    }

    /// Does a job as a node does: an analysis writes no file, all others publish theirs.
    fn finish(&mut self, node: &mut Node, job: &Job) {
        let file = job.operation != Operation::Analysis;
        let answer = self.tell(node, job, Finding::Completed { file, items: 10 });
        assert_eq!(answer.publish.iter().any(|p| p.job == job.id), file);
        if file {
            self.tell(node, job, Finding::Published);
        }
    }

    /// Does everything there is to do; returns the order of the accounts and operations.
    fn finish_all(&mut self, node: &mut Node) -> Vec<(UserId, Operation)> {
        let mut done = Vec::new();
        while let Some(job) = self.take(node, 1).pop() {
            self.finish(node, &job);
            done.push((job.user, job.operation));
        }
        done
    }

    fn view(&self, crawl: CrawlId) -> CrawlView {
        self.state.crawl(crawl).unwrap()
    }

    fn users(&self, crawl: CrawlId) -> UserCounters {
        self.view(crawl).counters.users
    }

    fn phase(&self, crawl: CrawlId) -> CrawlPhase {
        self.view(crawl).phase
    }

    fn errors(&self, crawl: CrawlId) -> Vec<FailedUser<Failure>> {
        self.state.errors(crawl, None, 1000).unwrap()
    }

    /// Everything that a checkpoint writes; equal records mean that nothing has changed.
    fn records(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        use storage::state::StateStore;
        self.restart();
        self.store.scan(&[], None).map(|entry| entry.unwrap()).collect()
    }
}

/// A crawl that does these operations.
fn spec(operations: &str) -> CrawlSpec {
    CrawlSpec {
        name: operations.to_owned(),
        operations: operations.parse().unwrap(),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 1,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    }
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<UserId> {
    numbers.into_iter().map(UserId::Number).collect()
}

fn operations(jobs: &[(UserId, Operation)]) -> String {
    jobs.iter().map(|(_, operation)| operation.letter()).collect()
}

/// Progress of a job that writes a draft on a storage.
fn draft(job: &Job, storage: u64, bytes: u64) -> Progress {
    let draft = DraftProgress {
        lease: job.lease,
        storage: StorageId(storage),
        token: bytes,
        items: bytes / 10,
        based_on: 0,
    };
    Progress { cursor: format!("after {bytes}"), draft: Some(draft) }
}

/// Progress of an analysis.
fn cursor(text: &str) -> Progress {
    Progress { cursor: text.to_owned(), draft: None }
}

fn failed(reason: &str, retry: bool) -> Finding {
    Finding::Failed { progress: None, reason: reason.to_owned(), after_ms: 100, retry }
}
