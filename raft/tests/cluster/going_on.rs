//! Nodes that stop, lag and restart.

use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use api::model::{
    Answer, CrawlChange, CrawlId, EventId, EventKind, FIRST_CLUSTER_VERSION, Query, Response, Wants, Write,
};
use futures::future::join_all;
use raft::server::{Tracker, TrackerOptions};
use storage::env::SystemEntropy;
use storage::ids::UserId;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::world::*;

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
async fn events_are_kept_from_the_first_write_of_a_leader_that_is_set_to_keep_them() {
    let mut cluster = Cluster::of(1, 5000).await;
    cluster.stop(1).await;
    for round in 0..10 {
        let events_kept = if round % 2 == 0 { 1 << 20 } else { 0 };
        let tracker = cluster.started(TrackerOptions { events_kept, ..cluster.options(1) }).await;
        let client = &tracker;
        // The first write has to come at once: the leader opens its term within milliseconds.
        let led = timeout(DEADLINE, async {
            while !tracker.is_leader() {
                yield_now().await;
            }
        });
        led.await.unwrap();
        let writes = (0..8).map(async |_| {
            let created =
                client.write(Write::CreateCrawl { request: client.request_id(), spec: spec() }).await;
            let Ok(Response::CrawlCreated(crawl)) = created else { panic!("no crawl was made: {created:?}") };
            crawl
        });
        let mut created = join_all(writes).await;
        created.sort();
        let kept = tracker.events_after(EventId::default(), usize::MAX).read();
        let mut told: Vec<CrawlId> = kept
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Crawl { crawl, change: CrawlChange::Submitted { .. } } => Some(*crawl),
                _ => None,
            })
            .collect();
        told.sort();
        assert_eq!(told, if events_kept > 0 { created } else { Vec::new() }, "round {round}");
        tracker.stop().await;
    }
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
async fn a_node_without_a_majority_knows_no_leader_and_is_not_ready() {
    let mut cluster = Cluster::of(3, 5000).await;
    // The remaining node is a follower in the first round and the leader in the second.
    for leads in [false, true] {
        let leader = cluster.leader().await;
        let left = if leads { leader } else { cluster.other_than(&[leader]) };
        let gone: Vec<u64> = cluster.peers.keys().copied().filter(|id| *id != left).collect();
        let stopped: Vec<_> = gone.iter().filter_map(|id| cluster.nodes.remove(id)).collect();
        futures::future::join_all(stopped.iter().map(Tracker::stop)).await;
        drop(stopped);
        eventually("the node that is left is not ready", async || {
            let tracker = &cluster.nodes[&left];
            (tracker.leader().is_none() && !tracker.is_ready()).then_some(())
        })
        .await;
        for id in gone {
            cluster.start(id).await;
        }
        eventually("it is ready again", async || cluster.nodes[&left].is_ready().then_some(())).await;
    }
    for (_, tracker) in std::mem::take(&mut cluster.nodes) {
        tracker.stop().await;
    }
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
async fn a_silent_sessions_jobs_go_to_another_node() {
    let cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let mut lost = Worker::open(cluster.client(), 1).await;
    assert_eq!(lost.turn(10).await, 10);
    let mut other = Worker::open(cluster.client(), 2).await;
    assert_eq!(other.turn(10).await, 0);
    let found = eventually("the session ends and its jobs are there", async || {
        let work = client
            .wait_for_work(2, other.session, Wants::any(10), Vec::new(), Duration::from_millis(500))
            .await
            .unwrap();
        work.then_some(())
    });
    found.await;
    assert_eq!(other.turn(10).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_connections_and_answers_nothing_holds_no_client_up() {
    let cluster = Cluster::of(1, 5000).await;
    // A frozen node as seen from outside: the system accepts connections, and nothing is read.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = vec![frozen.local_addr().unwrap().to_string(), cluster.peers[&1].clone()];
    let client = Client::new(endpoints, DEADLINE, &SystemEntropy::new());
    submit(&client, 1..11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_member_does_not_know_stays_out_of_the_log() {
    let mut cluster = Cluster::unborn(3, 5000);
    let old = TrackerOptions { cluster_version: FIRST_CLUSTER_VERSION, ..cluster.options(3) };
    let options = [cluster.options(1), cluster.options(2), old];
    for tracker in join_all(options.map(|options| cluster.started(options))).await {
        cluster.nodes.insert(tracker.member().node, tracker);
    }
    let client = cluster.client();
    let crawl = submit(&client, 1..2).await;
    client.write(Write::CancelCrawl { crawl }).await.unwrap();
    let refused = client.write(Write::DeleteCrawl { crawl }).await.unwrap_err();
    assert!(refused.to_string().contains("version"), "{refused}");
    let next = submit(&client, 1..2).await;
    eventually("every node has the next crawl", async || {
        let has = |tracker: &Tracker| tracker.crawls().iter().any(|view| view.id == next);
        cluster.nodes.values().all(has).then_some(())
    })
    .await;
    assert_eq!(cluster.nodes[&3].cluster_version(), FIRST_CLUSTER_VERSION);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_crawl_is_deleted_on_every_node_by_an_operator_or_when_it_was_kept_long_enough() {
    let mut cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let (by_hand, running) = (submit(&client, 1..2_501).await, submit(&client, 1..501).await);
    // The leader raises the cluster's version once all members have reported that they support it.
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
