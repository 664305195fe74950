//! Whole trackers in one process, over real sockets and disks.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene cannot be set")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use api::model::{
    Answer, CrawlId, CrawlSpec, Finding, JobId, LeaseId, NodeId, OpenSession, Operation, Operations, Query,
    Report, Response, SessionId, StorageId, Traversal, Wants, Write,
};
use api::wire::{ApiRequest, Forwarded, Greeting, Purpose, connect};
use raft::server::{Tracker, TrackerOptions};
use storage::env::{SystemClock, SystemEntropy};
use storage::ids::UserId;
use tarpc::context;
use tempfile::TempDir;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

/// Trackers by node, with their disks.
struct Cluster {
    peers: BTreeMap<NodeId, String>,
    disks: TempDir,
    nodes: BTreeMap<NodeId, Tracker>,
    /// Fewer than the log holds in a moment, so that a node that was away gets a snapshot.
    log_kept: u64,
    keep_ended: Option<Duration>,
}

impl Cluster {
    async fn of(size: u64, log_kept: u64) -> Self {
        let peers = (1..=size).map(|id| (id, format!("127.0.0.1:{}", free_port()))).collect();
        let mut cluster = Self {
            peers,
            disks: tempfile::tempdir().unwrap(),
            nodes: BTreeMap::new(),
            log_kept,
            keep_ended: None,
        };
        for id in 1..=size {
            cluster.start(id).await;
        }
        cluster
    }

    fn options(&self, id: NodeId) -> TrackerOptions {
        let data = self.disks.path().join(id.to_string());
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
        let mut options = TrackerOptions::new(id, "test".into(), self.peers.clone(), data, clock, entropy);
        options.log_kept = self.log_kept;
        options.keep_ended = self.keep_ended;
        options.check_invariants = true;
        options.checkpoint_interval = Duration::from_millis(100);
        options
    }

    async fn start(&mut self, id: NodeId) {
        let options = self.options(id);
        // The tracker of an earlier start may still be closing its files.
        let started = eventually("the port and the data directory are free", async || {
            Tracker::start(options.clone()).await.inspect_err(|error| eprintln!("node {id}: {error}")).ok()
        });
        self.nodes.insert(id, started.await);
    }

    async fn stop(&mut self, id: NodeId) {
        self.nodes.remove(&id).unwrap().stop().await;
    }

    fn client(&self) -> Client {
        Client::new(self.peers.values().cloned().collect(), DEADLINE, &SystemEntropy::new())
    }

    async fn leader(&self) -> NodeId {
        eventually("a leader is known", async || {
            let known: Vec<_> = self.nodes.values().map(Tracker::leader).collect();
            let leader = known[0]?;
            let agreed = known.iter().all(|&l| l == Some(leader)) && self.nodes.contains_key(&leader);
            agreed.then_some(leader)
        })
        .await
    }
}

/// Empties the disk of a stopped node, which may still be closing its files.
async fn replace(disk: &Path) {
    eventually("its folder is empty", async || {
        let gone = |folder| match std::fs::remove_dir_all(disk.join(folder)) {
            Err(error) => error.kind() == ErrorKind::NotFound,
            Ok(()) => true,
        };
        ["log", "state"].into_iter().all(gone).then_some(())
    })
    .await;
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spec() -> CrawlSpec {
    CrawlSpec {
        name: "test".into(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
    }
}

async fn submit(client: &Client, users: std::ops::Range<u64>) -> CrawlId {
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
struct Worker {
    client: Client,
    node: NodeId,
    session: SessionId,
    sequence: u64,
    held: Vec<(JobId, LeaseId)>,
}

impl Worker {
    async fn open(client: Client, node: NodeId) -> Self {
        let open = OpenSession { node, incarnation: node, storage: StorageId(node), workers: 8 };
        let opened = client.open_session(open).await.unwrap();
        Self { client, node, session: opened.session, sequence: 0, held: Vec::new() }
    }

    /// Completes what it holds and takes up to `want` jobs. Answers how many it got.
    async fn turn(&mut self, want: u16) -> usize {
        self.sequence += 1;
        let done = |(job, lease)| (job, lease, Finding::Completed { file: false, items: 1 });
        let findings = self.held.drain(..).map(done).collect();
        let report =
            Report { session: self.session, sequence: self.sequence, findings, wants: Wants::any(want) };
        let answer = self.client.report(self.node, report).await.unwrap();
        assert_eq!(answer.stale, vec![], "nobody took the worker's jobs");
        self.held = answer.granted.iter().map(|job| (job.id, job.lease)).collect();
        self.held.len()
    }
}

async fn completed(client: &Client, crawl: CrawlId) -> u64 {
    let Answer::Crawl(Some(view)) = client.query(Query::Crawl(crawl)).await.unwrap() else {
        panic!("no such crawl")
    };
    view.counters.users.completed
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_alone_is_a_cluster_of_one() {
    let mut cluster = Cluster::of(1, 5000).await;
    let client = cluster.client();
    let crawl = submit(&client, 1..2_501).await;
    let mut worker = Worker::open(cluster.client(), 1).await;
    while worker.turn(100).await > 0 {}
    assert_eq!(completed(&client, crawl).await, 2_500);
    cluster.stop(1).await;
    cluster.start(1).await;
    assert_eq!(completed(&cluster.client(), crawl).await, 2_500);
    cluster.stop(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_go_on_when_the_leader_stops_and_every_job_is_done_once() {
    let mut cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let crawl = submit(&client, 1..10_001).await;
    let mut worker = Worker::open(cluster.client(), 1).await;
    let mut turns = 0;
    while worker.turn(64).await > 0 {
        turns += 1;
        if turns % 50 == 25 {
            let leader = cluster.leader().await;
            cluster.stop(leader).await;
            cluster.start(leader).await;
        }
    }
    assert_eq!(completed(&client, crawl).await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_long_catches_up_by_snapshot() {
    let mut cluster = Cluster::of(3, 10).await;
    let client = cluster.client();
    let leader = cluster.leader().await;
    let away = cluster.peers.keys().copied().find(|&id| id != leader).unwrap();
    let early = submit(&client, 1..50).await;
    cluster.stop(away).await;
    for n in 0..20u64 {
        submit(&client, n * 2_000 + 1..n * 2_000 + 1_500).await;
    }
    let log_begins = async || (cluster.nodes[&leader].log_bytes() > 0).then_some(());
    eventually("the log exists", log_begins).await;
    let far = cluster.nodes[&leader].status().applied;
    eventually("the checkpoint has passed what the other node knows", async || {
        (cluster.nodes[&leader].status().checkpoint >= far).then_some(())
    })
    .await;
    cluster.start(away).await;
    eventually("it has caught up", async || (cluster.nodes[&away].status().applied >= far).then_some(()))
        .await;
    assert_eq!(cluster.nodes[&away].crawls().len(), 21);
    assert_eq!(
        cluster.nodes[&away].unseen(early, vec![UserId::Number(7), UserId::Number(70)]),
        vec![UserId::Number(70)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_leadership_is_no_error_to_anybody() {
    let cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let crawl = submit(&client, 1..20_001).await;
    let mut worker = Worker::open(cluster.client(), 2).await;
    let mut turns = 0;
    while worker.turn(64).await > 0 {
        turns += 1;
        if turns % 60 == 30 {
            let before = cluster.leader().await;
            let after = client.transfer_leader(None).await.unwrap();
            assert_ne!(before, after);
        }
    }
    assert_eq!(completed(&client, crawl).await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_replaced_disk_comes_back_and_votes_only_when_it_has_caught_up() {
    let mut cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let crawl = submit(&client, 1..3_001).await;
    let leader = cluster.leader().await;
    let replaced = cluster.peers.keys().copied().find(|&id| id != leader).unwrap();
    cluster.stop(replaced).await;
    std::fs::remove_dir_all(cluster.disks.path().join(replaced.to_string())).unwrap();
    cluster.start(replaced).await;
    let mark = cluster.disks.path().join(replaced.to_string()).join("REJOINING");
    eventually("it has caught up", async || {
        let node = &cluster.nodes[&replaced];
        (node.crawls().len() == 1 && !mark.exists()).then_some(())
    })
    .await;
    // It counts again: with the old leader gone, it and the third node are the majority.
    cluster.stop(leader).await;
    assert_eq!(completed(&cluster.client(), crawl).await, 0);
    let others = cluster.client().query(Query::Crawl(crawl)).await.unwrap();
    assert!(matches!(others, Answer::Crawl(Some(view)) if view.queued == 3_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_disk_that_cannot_be_marked_keeps_its_node_from_starting() {
    let mut cluster = Cluster::of(3, 5000).await;
    let leader = cluster.leader().await;
    let replaced = cluster.peers.keys().copied().find(|&id| id != leader).unwrap();
    let disk = cluster.disks.path().join(replaced.to_string());
    let mark = disk.join("REJOINING");
    eventually("its first start is over", async || (!mark.exists()).then_some(())).await;
    cluster.stop(replaced).await;
    replace(&disk).await;
    std::fs::create_dir(&mark).unwrap();
    let refused = eventually("it is the mark that it stumbles over", async || {
        let refused = Tracker::start(cluster.options(replaced)).await.err().unwrap();
        Some(refused.to_string()).filter(|said| said.contains("REJOINING"))
    })
    .await;
    assert!(refused.contains("cannot write"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_marked_in_a_cluster_that_never_had_a_leader_takes_part_in_the_first_election() {
    let mut cluster = Cluster::of(2, 5000).await;
    // As if every power supply had failed between the mark and the first election.
    for id in [1, 2] {
        cluster.stop(id).await;
        let disk = cluster.disks.path().join(id.to_string());
        replace(&disk).await;
        std::fs::write(disk.join("REJOINING"), "").unwrap();
    }
    cluster.start(1).await;
    cluster.start(2).await;
    cluster.leader().await;
    for id in [1, 2] {
        assert!(!cluster.disks.path().join(id.to_string()).join("REJOINING").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sessions_jobs_go_to_another_node() {
    let cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let mut lost = Worker::open(cluster.client(), 1).await;
    assert_eq!(lost.turn(10).await, 10);
    let mut other = Worker::open(cluster.client(), 2).await;
    assert_eq!(other.turn(10).await, 0);
    let found = eventually("the session ends and its jobs are there", async || {
        let work =
            client.wait_for_work(2, other.session, Wants::any(10), Duration::from_millis(500)).await.unwrap();
        work.then_some(())
    });
    found.await;
    assert_eq!(other.turn(10).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_connections_and_answers_nothing_holds_no_client_up() {
    let cluster = Cluster::of(1, 5000).await;
    // What a frozen node looks like from outside: the system accepts, nobody reads.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = vec![frozen.local_addr().unwrap().to_string(), cluster.peers[&1].clone()];
    let client = Client::new(endpoints, DEADLINE, &SystemEntropy::new());
    submit(&client, 1..11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_crawl_is_deleted_on_every_node_by_an_operator_or_when_it_was_kept_long_enough() {
    let mut cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let (by_hand, running) = (submit(&client, 1..2_501).await, submit(&client, 1..501).await);
    // The leader raises the cluster's version by itself once all members have said that they can.
    eventually("the cluster's version has risen", async || {
        let refused = client.write(Write::DeleteCrawl { crawl: by_hand }).await.unwrap_err().to_string();
        (!refused.contains("version")).then_some(())
    })
    .await;
    let refused = client.write(Write::DeleteCrawl { crawl: by_hand }).await.unwrap_err();
    assert!(refused.to_string().contains("crawl cancel"), "{refused}");
    client.write(Write::CancelCrawl { crawl: by_hand }).await.unwrap();
    client.write(Write::DeleteCrawl { crawl: by_hand }).await.unwrap();
    let gone = async |cluster: &Cluster, crawl| {
        eventually("no node has the crawl", async || {
            let has = |tracker: &Tracker| tracker.crawls().iter().any(|view| view.id == crawl);
            (!cluster.nodes.values().any(has)).then_some(())
        })
        .await;
    };
    gone(&cluster, by_hand).await;

    let kept = submit(&client, 1..101).await;
    client.write(Write::CancelCrawl { crawl: kept }).await.unwrap();
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    cluster.keep_ended = Some(Duration::from_millis(300));
    for id in 1..=3 {
        cluster.start(id).await;
    }
    gone(&cluster, kept).await;
    assert_eq!(submit(&cluster.client(), 1..2).await, CrawlId(kept.0 + 1), "ids are not used again");
    let view = client.query(Query::Crawl(running)).await.unwrap();
    assert!(matches!(view, Answer::Crawl(Some(_))), "what has not ended stays: {view:?}");
    for id in 1..=3 {
        cluster.stop(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_the_session_of_another_node() {
    let cluster = Cluster::of(1, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let mut owner = Worker::open(cluster.client(), 1).await;
    assert_eq!(owner.turn(5).await, 5);
    let session = owner.session;
    let report = Report { session, sequence: 2, findings: Vec::new(), wants: Wants::any(5) };
    let refusals = [
        client.report(2, report).await.map(drop),
        client.end_session(2, session).await,
        client.wait_for_work(2, session, Wants::any(5), Duration::from_millis(1)).await.map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err().to_string();
        assert!(error.contains("is node 1's, not node 2's"), "{error}");
    }
    assert_eq!(owner.turn(5).await, 5, "the session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_to_be_a_peer_and_says_nothing_or_nonsense_is_sent_away() {
    let cluster = Cluster::of(1, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let claim =
        async |purpose| connect(&cluster.peers[&1], &Greeting::new(purpose, None, None)).await.unwrap();
    let silent = claim(Purpose::Replication).await;
    let strange = claim(Purpose::Control).await;
    let answer = timeout(DEADLINE, strange.raft(context::current(), "nonsense".into())).await.unwrap();
    assert!(!matches!(answer, Ok(Ok(_))));
    eventually("both are sent away", async || (strange.has_ended() && silent.has_ended()).then_some(()))
        .await;
    let forwarded = Forwarded { by: 1, hops: 1, request: ApiRequest::NodeStatus };
    let answer = claim(Purpose::Api).await.forwarded(context::current(), forwarded).await.unwrap();
    assert!(answer.unwrap_err().to_string().contains("only nodes pass calls on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_too_long_for_the_log_is_refused_and_others_are_written() {
    let cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let request = client.request_id();
    let long = CrawlSpec { name: "n".repeat(257), ..spec() };
    let error = client.write(Write::CreateCrawl { request, spec: long }).await.unwrap_err().to_string();
    assert!(error.contains("257 bytes; at most 256"), "{error}");
    let crawl = submit(&client, 1..11).await;
    let id: UserId = "x".repeat(255).parse().unwrap();
    let users = vec![id; 5_000];
    let error = client.write(Write::AddTargets { crawl, chunk: 0, users, seeds: false }).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("at most 1048576 are allowed"), "{error}");
    submit(&client, 1..11).await;
}
