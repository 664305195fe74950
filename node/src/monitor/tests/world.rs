//! A fake cluster and a client.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::dataset::SourceName;

use api::client::{ApiError, ClientError};
use api::model::*;
use api::wire::{ApiReply, ApiRequest};
use api::{Called, TrackerApi};
use futures::FutureExt;
use raft::state::{Delays, WaitSummary};
use serde_json::Value;
use storage::env::{ManualClock, SeededEntropy};
use storage::net::http_port::Gate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::inspecting::{INSPECTION, indexer_that_answers};
use crate::http::{HttpPort, Observe};
use crate::logs::LogLine;
use crate::monitor::{Graphite, Indexer, Monitor, MonitorParts, MonitorSettings, Watched};
use crate::session::ShownJob;
use crate::settings::GraphiteUrl;

pub(super) const TOKEN: &str = "correct horse";

/// A cluster of two nodes with one crawl.
pub(super) struct Fake {
    pub(super) leaderless: AtomicBool,
    pub(super) asked: AtomicU32,
    pub(super) phase: Mutex<CrawlPhase>,
    pub(super) mutations: Mutex<Vec<Write>>,
    pub(super) sessions: AtomicBool,
    pub(super) looked_at: AtomicBool,
    /// Number of events so far.
    pub(super) events: AtomicU64,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            leaderless: AtomicBool::default(),
            asked: AtomicU32::default(),
            phase: Mutex::new(CrawlPhase::Running),
            mutations: Mutex::default(),
            sessions: AtomicBool::new(true),
            looked_at: AtomicBool::default(),
            events: AtomicU64::default(),
        }
    }
}

impl Fake {
    pub(super) fn crawl(&self) -> CrawlView {
        let users = UserCounters {
            accepted: 100,
            waiting: 30,
            active: 20,
            completed: 48,
            failed: 2,
            ..UserCounters::default()
        };
        let mut counters = CrawlCounters { users, ..CrawlCounters::default() };
        counters.of(Operation::Timeline).items = 9_600;
        CrawlView {
            id: CrawlId(7),
            spec: CrawlSpec {
                name: "<b>friends</b>".to_owned(),
                operations: Operations::only(Operation::Timeline),
                traversal: Traversal::Default,
                depth: None,
                follow: None,
                priority: 1,
                fingerprint: None,
                source: SourceName::default(),
                spend_limit: None,
            },
            phase: *self.phase.lock().unwrap(),
            counters,
            queued: 30,
            ready: 0,
            leased: 5,
            delayed: 15,
            submitted_at: 1_000,
            ended_at: None,
            chunks: [1, 0],
            now: 101_000,
        }
    }

    pub(super) fn status(&self) -> ClusterStatus {
        let member = |id, node| MemberStatus {
            id,
            disk: DiskId(16 + id),
            address: format!("10.0.0.{id}:8000"),
            voter: true,
            drained: false,
            cut_off: None,
            node,
        };
        let session = SessionStatus {
            id: SessionId(3),
            node: 1,
            storage: StorageId(u64::MAX),
            workers: 8,
            leased: 5,
            completed: 48,
            silent_ms: 20,
        };
        ClusterStatus {
            cluster: "twm".to_owned(),
            id: ClusterId(7),
            changes: Vec::new(),
            leader: 1,
            term: 4,
            now: 101_000,
            nodes: vec![member(1, Some(self.own())), member(2, None)],
            sessions: self.sessions.load(Ordering::Relaxed).then_some(session).into_iter().collect(),
            crawls: vec![self.crawl()],
        }
    }
}

impl Fake {
    fn answer(&self, query: Query) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let failure = |user: u64| FailedUser {
            user: user.into(),
            depth: 0,
            why: vec![Failure {
                operation: Operation::Timeline,
                reason: "<script>alert(1)</script>".into(),
                attempts: 5,
            }],
        };
        match query {
            Query::Status => Answer::Status(Box::new(self.status())),
            Query::Crawl(CrawlId(7)) => Answer::Crawl(Some(Box::new(self.crawl()))),
            Query::Crawl(_) => Answer::Crawl(None),
            Query::Errors { after: None, limit, .. } => {
                Answer::Errors([5, u64::MAX].into_iter().take(limit as usize).map(failure).collect())
            }
            Query::Errors { .. } => Answer::Errors(vec![failure(u64::MAX)]),
            Query::Gone { .. } => {
                let why = vec![Gone { operation: Operation::Timeline, reason: GoneReason::Protected }];
                Answer::Gone(vec![FailedUser { user: 9.into(), depth: 1, why }])
            }
            other => panic!("nobody asks {other:?}"),
        }
    }

    fn change(&self, write: Write) -> Result<Response, ClientError> {
        let refused = |refusal| Err(ClientError::Api(ApiError::Refused(refusal)));
        let answer = match &write {
            Write::PauseCrawl { crawl: CrawlId(7) } => {
                *self.phase.lock().unwrap() = CrawlPhase::Paused;
                Ok(Response::Done)
            }
            Write::ResumeCrawl { crawl: CrawlId(7) } => refused(Refusal::WrongPhase {
                crawl: CrawlId(7),
                phase: "running".to_owned(),
                verb: "be resumed".to_owned(),
            }),
            Write::RetryErrors { user: Some(_), .. } => Ok(Response::Retried(1)),
            Write::RetryErrors { limit, .. } => Ok(Response::Retried(*limit)),
            Write::PauseCrawl { crawl } => refused(Refusal::NoSuchCrawl(*crawl)),
            _ => Ok(Response::Done),
        };
        self.mutations.lock().unwrap().push(write);
        answer
    }
}

impl TrackerApi for Fake {
    fn request_id(&self) -> RequestId {
        RequestId { client: 1, sequence: 1 }
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        let reply = match request {
            ApiRequest::Query(query) => Ok(ApiReply::Answer(Box::new(self.answer(query)))),
            ApiRequest::Write(write) | ApiRequest::Once { write, .. } => {
                self.change(write).map(ApiReply::Mutated)
            }
            other => panic!("nobody asks {other:?}"),
        };
        async { reply }.boxed()
    }
}

impl Watched for Fake {
    fn own(&self) -> NodeStatus {
        let budget = BudgetStatus {
            endpoint: "http://host/1/users/lookup".to_owned(),
            limit: Some(180),
            remaining: Some(0),
            reset_in_ms: Some(1_500),
            in_flight: 2,
        };
        NodeStatus {
            id: 1,
            cluster: ClusterId(7),
            disk: DiskId(17),
            version: "1.2.3".to_owned(),
            cluster_version: 2,
            role: NodeRole::Leader,
            term: 4,
            leader: (!self.leaderless.load(Ordering::Relaxed)).then_some(1),
            last_log: 20,
            applied: 19,
            checkpoint: 10,
            uptime_ms: 1_500,
            workers: Some(WorkerStatus {
                total: 8,
                busy: 5,
                addresses: vec![AddressStatus { address: "127.0.0.5".to_owned(), budgets: vec![budget] }],
                ..WorkerStatus::default()
            }),
        }
    }

    fn crawls(&self) -> Vec<CrawlView> {
        vec![self.crawl()]
    }

    fn waits(&self, _: CrawlId) -> WaitSummary {
        let limited = Delays { jobs: 15, first_at: 103_000, last_at: 161_000 };
        WaitSummary { limited, ..WaitSummary::default() }
    }

    fn money(&self) -> SpendStatus {
        SpendStatus::default()
    }

    fn troubles(&self) -> Vec<String> {
        vec!["the dataset cannot be written".to_owned()]
    }

    fn jobs(&self, _: usize) -> (Vec<ShownJob>, usize) {
        let job = ShownJob {
            lease: LeaseId(u64::MAX),
            crawl: CrawlId(7),
            user: 12.into(),
            operation: Operation::Followers,
            attempt: 2,
            running: Duration::from_millis(1_200),
            pages: 3,
            items: 60,
        };
        (vec![job], 1)
    }

    fn look_at_events(&self, looked_at: bool) {
        self.looked_at.store(looked_at, Ordering::Relaxed);
    }

    fn events(&self, after: u64, most: usize) -> (Vec<(u64, Event)>, u64) {
        let failed = |number| {
            let change = JobChange::Failed { reason: "<b>7</b>".into(), cursor: None };
            let (crawl, operation) = (CrawlId(7), Operation::Timeline);
            let kind = EventKind::Job { crawl, job: JobId(number), user: u64::MAX.into(), operation, change };
            (number, Event { id: EventId { index: number, place: 1 }, number: 0, at: 100_000, kind })
        };
        let mut events: Vec<_> = (after + 1..=self.events.load(Ordering::Relaxed)).map(failed).collect();
        events.drain(..events.len().saturating_sub(most));
        (events, 101_000)
    }

    fn log(&self, after: u64, _: usize) -> Vec<LogLine> {
        let line = |sequence| LogLine {
            sequence,
            at_ms: 5,
            level: Level::WARN,
            target: "node::crawl",
            text: "the disk is full".to_owned(),
        };
        (1..=3).filter(|&sequence| sequence > after).map(line).collect()
    }
}

/// A port with a monitor of such a cluster.
pub(super) struct Port {
    pub(super) address: String,
    pub(super) fake: Arc<Fake>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<std::io::Result<()>>,
}

impl Port {
    pub(super) async fn open(token: Option<&str>) -> Self {
        Self::with(token, None, Some(indexer_that_answers(200, INSPECTION).await)).await
    }

    /// One that knows a Graphite or an indexer.
    pub(super) async fn with(token: Option<&str>, graphite: Option<&str>, indexer: Option<Indexer>) -> Self {
        let (fake, clock) = (Arc::new(Fake::default()), Arc::new(ManualClock::default()));
        let graphite = graphite.map(|url| GraphiteUrl::parse(url).unwrap());
        let graphite = graphite.map(|url| Graphite::new(url, clock.clone()).unwrap());
        let monitor = Monitor::new(MonitorParts {
            settings: MonitorSettings {
                gate: Arc::new(
                    Gate::new(["node1".to_owned()], Some("https://crawl.example.org".parse().unwrap()))
                        .token(token.map(str::to_owned), "--monitor-token"),
                ),
                indexer,
            },
            cluster: "twm".to_owned(),
            watched: fake.clone(),
            graphite,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
        });
        let port = HttpPort::open("127.0.0.1:0").await.unwrap();
        let (address, stop) = (port.address().to_string(), CancellationToken::new());
        let observe: Observe = Arc::new(|| panic!("the API does not look at health"));
        let serving = tokio::spawn({
            let (routes, gate, stop) = (monitor.routes(), monitor.gate(), stop.clone());
            async move { port.serve(observe, routes, gate, stop).await }
        });
        tokio::spawn({
            let stop = stop.clone();
            async move { monitor.run(stop).await }
        });
        Self { address, fake, clock, stop, serving }
    }

    /// Sends a request with these lines of headers.
    pub(super) async fn send(&self, method: &str, path: &str, headers: &[&str]) -> Answered {
        let mut stream = self.connect(method, path, headers).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answered { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(super) async fn connect(&self, method: &str, path: &str, headers: &[&str]) -> TcpStream {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.address);
        }
        headers.iter().for_each(|header| request += &format!("{header}\r\n"));
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
        stream
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    pub(super) async fn post(&self, path: &str) -> Answered {
        self.send("POST", path, &[&format!("Authorization: Bearer {TOKEN}")]).await
    }
}

pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(super) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_owned()
    }
}
