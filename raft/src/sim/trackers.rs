//! Three trackers for a minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use storage::env::{Entropy, Inline, SeededEntropy, Work};
use storage::ids::UserId;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::SimClock;
use super::disks::SimDisks;
use super::net::{SimNet, address};
use crate::consensus::seed_this_thread;
use crate::model::{
    CrawlId, CrawlSpec, NodeId, Operation, Operations, RequestId, Response, Traversal, Write,
};
use crate::server::{Tracker, TrackerOptions};

const NODES: [NodeId; 3] = [1, 2, 3];

/// How long is simulated.
const MINUTE: Duration = Duration::from_secs(60);

/// A cluster and its surroundings.
struct World {
    net: SimNet,
    disks: SimDisks,
    clock: Arc<SimClock>,
    dice: SeededEntropy,
    folder: TempDir,
    nodes: &'static [NodeId],
    trackers: BTreeMap<NodeId, Tracker>,
}

impl World {
    async fn born(seed: u64, nodes: &'static [NodeId]) -> Self {
        seed_this_thread(Some(seed));
        let mut world = Self {
            net: SimNet::new(seed),
            disks: SimDisks::default(),
            clock: SimClock::new(),
            dice: SeededEntropy::new(seed ^ 0xd1ce),
            folder: tempfile::tempdir().unwrap(),
            nodes,
            trackers: BTreeMap::new(),
        };
        let starting = nodes.iter().map(|node| Tracker::start(world.options(*node)));
        for (node, tracker) in nodes.iter().zip(futures::future::join_all(starting).await) {
            world.trackers.insert(*node, tracker.unwrap());
        }
        world
    }

    fn options(&self, node: NodeId) -> TrackerOptions {
        let peers = self.nodes.iter().map(|node| (*node, address(*node))).collect();
        let data = self.folder.path().join(node.to_string());
        let entropy = Arc::new(SeededEntropy::new(self.dice.next_u64()));
        let port = self.net.of(node);
        TrackerOptions {
            dial: port.clone(),
            ports: port,
            work: Work::over(Inline),
            disks: self.disks.disks(),
            check_invariants: true,
            ..TrackerOptions::new(node, "sim".to_owned(), peers, data, self.clock.clone(), entropy)
        }
    }

    /// The node that leads, as most see it.
    async fn leader(&self) -> NodeId {
        loop {
            if let Some(leader) = self.trackers.values().find_map(|t| t.is_ready().then(|| t.leader())?) {
                return leader;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks some node for a change, as long as that takes, and notes what came of it.
    async fn write(&self, write: Write) -> Option<Response> {
        let among: Vec<_> = self.trackers.values().collect();
        let tracker = among[self.dice.next_u64() as usize % among.len()];
        let answer = timeout(Duration::from_secs(5), tracker.write(write)).await;
        self.net.note(format!("{} answers {answer:?}", tracker.member().node));
        answer.ok()?.ok()
    }
}

/// Submits, pauses and cancels for a minute, while a leader is cut off and a node stops and comes back. Gives all that
/// happened.
async fn a_minute(seed: u64) -> Vec<String> {
    let mut world = World::born(seed, &NODES).await;
    let begun = Instant::now();
    let mut faults: Vec<(u64, &str)> = vec![(35, "start"), (30, "stop"), (22, "mend"), (15, "cut")];
    let mut stopped = None;
    let mut crawls = Vec::new();
    let mut sequence = 0;
    while begun.elapsed() < MINUTE {
        if let Some((_, fault)) = faults.pop_if(|(at, _)| begun.elapsed().as_secs() >= *at) {
            let leader = if fault == "start" { 0 } else { world.leader().await };
            world.net.note(format!("{fault} {leader}"));
            match fault {
                "cut" => world.net.cut_off([leader]),
                "mend" => world.net.cut_off([]),
                "stop" => {
                    world.trackers.remove(&leader).unwrap().stop().await;
                    stopped = Some(leader);
                }
                _ => {
                    let node = stopped.unwrap();
                    // What the stopped tracker had under way may still hold its data directory.
                    let tracker = loop {
                        match Tracker::start(world.options(node)).await {
                            Ok(tracker) => break tracker,
                            Err(error) => world.net.note(error),
                        }
                        assert!(begun.elapsed() < MINUTE, "it does not start again");
                        sleep(Duration::from_millis(100)).await;
                    };
                    world.trackers.insert(node, tracker);
                }
            }
        }
        sequence += 1;
        let (request, spec) = (RequestId { client: 7, sequence }, spec(sequence));
        if let Some(Response::CrawlCreated(crawl)) = world.write(Write::CreateCrawl { request, spec }).await {
            let users = (0..50).map(|n| UserId::Number(1_000 * sequence + n)).collect();
            world.write(Write::AddTargets { crawl, chunk: 0, users, seeds: false }).await;
            world.write(Write::SealCrawl { crawl }).await;
            crawls.push(crawl);
            if sequence % 3 == 0 {
                world.write(Write::CancelCrawl { crawl }).await;
            }
        }
        sleep(Duration::from_millis(200 + world.dice.next_u64() % 200)).await;
    }
    // All have everything that was acknowledged.
    let all: Vec<CrawlId> = loop {
        let seen: Vec<Vec<CrawlId>> = world.trackers.values().map(crawls_of).collect();
        if seen.len() == NODES.len() && seen.iter().all(|crawls| *crawls == seen[0]) {
            break seen[0].clone();
        }
        assert!(begun.elapsed() < 2 * MINUTE, "the replicas do not agree: {seen:?}");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(crawls.len() > 60 && crawls.iter().all(|crawl| all.contains(crawl)), "{crawls:?} of {all:?}");
    for tracker in world.trackers.values() {
        tracker.stop().await;
    }
    seed_this_thread(None);
    world.net.trace()
}

fn spec(number: u64) -> CrawlSpec {
    CrawlSpec {
        name: format!("crawl {number}"),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
    }
}

fn crawls_of(tracker: &Tracker) -> Vec<CrawlId> {
    tracker.crawls().iter().map(|crawl| crawl.id).collect()
}

fn simulated(seed: u64) -> Vec<String> {
    runtime(seed).block_on(a_minute(seed))
}

fn runtime(seed: u64) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()))
        .build();
    runtime.unwrap()
}

#[test]
fn a_node_alone_stays_ready_with_nothing_to_do() {
    runtime(3).block_on(async {
        let world = World::born(3, &NODES[..1]).await;
        assert_eq!(world.leader().await, 1);
        let began = Instant::now();
        while began.elapsed() < MINUTE {
            assert!(world.trackers[&1].is_ready(), "after {:?}", began.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        world.trackers[&1].stop().await;
        seed_this_thread(None);
    });
}

#[test]
fn a_learner_takes_fewer_checkpoints_than_a_voter() {
    runtime(5).block_on(async {
        let mut world = World::born(5, &[1, 2, 3, 4]).await;
        world.leader().await;
        let mut seen: BTreeMap<NodeId, Vec<u64>> = BTreeMap::new();
        let began = Instant::now();
        let mut sequence = 0;
        while began.elapsed() < MINUTE {
            sequence += 1;
            let request = RequestId { client: 7, sequence };
            world.write(Write::CreateCrawl { request, spec: spec(sequence) }).await;
            for (node, tracker) in &world.trackers {
                let at = tracker.node_status().await.unwrap().checkpoint;
                let seen = seen.entry(*node).or_default();
                if seen.last() != Some(&at) {
                    seen.push(at);
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
        // Three of four first nodes vote.
        let taken: Vec<usize> = seen.values().map(Vec::len).collect();
        assert!(taken[..3].iter().all(|taken| *taken > 40), "{taken:?}");
        assert!((8..20).contains(&taken[3]), "{taken:?}");
        while let Some((_, tracker)) = world.trackers.pop_last() {
            tracker.stop().await;
        }
        seed_this_thread(None);
    });
}

#[test]
fn three_trackers_do_the_same_in_the_same_minute_and_lose_nothing() {
    for seed in [1, 2] {
        let (once, again) = (simulated(seed), simulated(seed));
        assert!(once.len() > 5_000, "{} messages", once.len());
        let differs = once.iter().zip(&again).position(|(a, b)| a != b);
        let at = differs.unwrap_or(once.len().min(again.len()));
        let around = |trace: &[String]| trace[at.saturating_sub(3)..(at + 3).min(trace.len())].join("\n");
        assert!(
            once == again,
            "seed {seed}, message {at} of {}:\n{}\n\n{}",
            once.len(),
            around(&once),
            around(&again)
        );
    }
    assert_ne!(simulated(1), simulated(2));
}
