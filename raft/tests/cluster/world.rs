//! A cluster of trackers in the test process, and helpers of its tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::dataset::SourceName;

use api::TrackerApi;
use api::client::Client;
use api::model::{
    Answer, CrawlId, CrawlSpec, Finding, JobId, LeaseId, NodeId, OpenSession, Operation, Operations, Query,
    Report, Response, SessionId, StorageId, Traversal, Wants, Write,
};
use raft::server::{StartError, Tracker, TrackerOptions};
use storage::env::{SystemClock, SystemEntropy};
use storage::ids::UserId;
use tempfile::TempDir;

pub const DEADLINE: Duration = Duration::from_secs(30);

/// Trackers by node, and their disks.
pub struct Cluster {
    pub peers: BTreeMap<NodeId, String>,
    pub disks: TempDir,
    pub nodes: BTreeMap<NodeId, Tracker>,
    /// Log entries kept. With a small number, a node that was away receives a snapshot.
    pub log_kept: u64,
    pub keep_ended: Option<Duration>,
}

impl Cluster {
    pub async fn of(size: u64, log_kept: u64) -> Self {
        let mut cluster = Self::unborn(size, log_kept);
        cluster.start_all().await;
        cluster
    }

    /// A cluster whose nodes are not started.
    pub fn unborn(size: u64, log_kept: u64) -> Self {
        let peers = (1..=size).map(|id| (id, format!("127.0.0.1:{}", free_port()))).collect();
        let disks = tempfile::tempdir().unwrap();
        Self { peers, disks, nodes: BTreeMap::new(), log_kept, keep_ended: None }
    }

    /// A node that is not in `not`.
    pub fn other_than(&self, not: &[NodeId]) -> NodeId {
        self.peers.keys().copied().find(|id| !not.contains(id)).unwrap()
    }

    /// A client of one node.
    pub fn client_of(&self, id: NodeId) -> Client {
        Client::new(vec![self.peers[&id].clone()], DEADLINE, &SystemEntropy::new())
    }

    /// A client with this call timeout.
    pub fn client_within(&self, within: Duration) -> Client {
        Client::new(self.peers.values().cloned().collect(), within, &SystemEntropy::new())
    }

    /// Starts all nodes at once: at the first start they wait for each other.
    pub async fn start_all(&mut self) {
        let started: Vec<_> = self.peers.keys().map(|&id| self.started(self.options(id))).collect();
        for tracker in futures::future::join_all(started).await {
            self.nodes.insert(tracker.member().node, tracker);
        }
    }

    /// Starts a tracker with these options, and waits until it has started.
    pub async fn started(&self, options: TrackerOptions) -> Tracker {
        let id = options.id;
        // The tracker of an earlier start may still be closing its files.
        let started = eventually("the port and the data directory are free", async || {
            Tracker::start(options.clone()).await.inspect_err(|error| eprintln!("node {id}: {error}")).ok()
        });
        started.await
    }

    /// The error with which a node fails to start. The tracker of its earlier start may still be closing its
    /// files.
    pub async fn refused(&self, options: TrackerOptions, words: &str) -> StartError {
        eventually(&format!("it is refused with {words:?}"), async || {
            match Tracker::start(options.clone()).await {
                Ok(_) => panic!("node {} started", options.id),
                Err(error) => Some(error).filter(|error| error.to_string().contains(words)),
            }
        })
        .await
    }

    pub fn options(&self, id: NodeId) -> TrackerOptions {
        let data = self.disks.path().join(id.to_string());
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
        let mut options = TrackerOptions::new(id, "test".into(), self.peers.clone(), data, clock, entropy);
        options.log_kept = self.log_kept;
        options.keep_ended = self.keep_ended;
        options.check_invariants = true;
        options.checkpoint_interval = Duration::from_millis(100);
        options
    }

    pub async fn start(&mut self, id: NodeId) {
        let tracker = self.started(self.options(id)).await;
        self.nodes.insert(id, tracker);
    }

    /// Empties the data directory of a stopped node.
    pub async fn empty(&self, id: NodeId) {
        let disk = self.disks.path().join(id.to_string());
        eventually("its folder is gone", async || match std::fs::remove_dir_all(&disk) {
            Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some(()),
            Ok(()) => Some(()),
        })
        .await;
    }

    pub async fn stop(&mut self, id: NodeId) {
        self.nodes.remove(&id).unwrap().stop().await;
    }

    pub fn client(&self) -> Client {
        Client::new(self.peers.values().cloned().collect(), DEADLINE, &SystemEntropy::new())
    }

    pub async fn leader(&self) -> NodeId {
        eventually("a leader is known", async || {
            let known: Vec<_> = self.nodes.values().map(Tracker::leader).collect();
            let leader = known[0]?;
            let agreed = known.iter().all(|&l| l == Some(leader)) && self.nodes.contains_key(&leader);
            agreed.then_some(leader)
        })
        .await
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn spec() -> CrawlSpec {
    CrawlSpec {
        name: "test".into(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    }
}

pub async fn submit(client: &Client, users: std::ops::Range<u64>) -> CrawlId {
    let request = client.request_id();
    let Response::CrawlCreated(crawl) =
        client.write(Write::CreateCrawl { request, spec: spec() }).await.unwrap()
    else {
        panic!("no crawl was made")
    };
    let users: Vec<UserId> = users.map(UserId::Number).collect();
    for (chunk, users) in users.chunks(1000).enumerate() {
        let add = Write::AddTargets { crawl, chunk: chunk as u64, users: users.to_vec(), seeds: false };
        client.write(add).await.unwrap();
    }
    client.write(Write::SealCrawl { crawl }).await.unwrap();
    crawl
}

/// A node's worker side: takes jobs and completes them.
pub struct Worker {
    pub client: Client,
    pub node: NodeId,
    pub session: SessionId,
    pub sequence: u64,
    pub held: Vec<(JobId, LeaseId)>,
}

impl Worker {
    pub async fn open(client: Client, node: NodeId) -> Self {
        let open = OpenSession {
            node,
            incarnation: client.request_id().client,
            storage: StorageId(node),
            workers: 8,
            shared: false,
            adopt: false,
        };
        let opened = client.open_session(open).await.unwrap();
        Self { client, node, session: opened.session, sequence: 0, held: Vec::new() }
    }

    /// Completes the held jobs and takes up to `want` new ones. Returns how many it got.
    pub async fn turn(&mut self, want: u16) -> usize {
        self.sequence += 1;
        let done = |(job, lease)| (job, lease, Finding::Completed { file: false, items: 1 });
        let findings = self.held.drain(..).map(done).collect();
        let report =
            Report { session: self.session, sequence: self.sequence, findings, wants: Wants::any(want) };
        let answer = self.client.report(self.node, report, Vec::new()).await.unwrap();
        assert_eq!(answer.stale, vec![], "nobody took the worker's jobs");
        self.held = answer.granted.iter().map(|job| (job.id, job.lease)).collect();
        self.held.len()
    }
}

pub async fn completed(client: &Client, crawl: CrawlId) -> u64 {
    let Answer::Crawl(Some(view)) = client.query(Query::Crawl(crawl)).await.unwrap() else {
        panic!("no such crawl")
    };
    view.counters.users.completed
}
