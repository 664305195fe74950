//! Formation of a cluster, and nodes that must not form one.

use std::collections::BTreeMap;
use std::time::Duration;

use api::TrackerApi;
use api::model::{Answer, Query};
use raft::server::Tracker;
use tokio::time::timeout;

use crate::world::*;

/// Long enough for nodes to form a cluster many times over.
const MANY_LOOKS: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_forms_when_all_nodes_are_there_and_not_before() {
    let mut cluster = Cluster::unborn(3, 5000);
    let early = tokio::spawn({
        let (one, two) = (cluster.options(1), cluster.options(2));
        async move { tokio::join!(Tracker::start(one), Tracker::start(two)) }
    });
    let waiting = eventually("node 1 says which nodes it waits for", async || {
        let error = cluster.client_within(Duration::from_millis(300)).query(Query::Status).await.unwrap_err();
        Some(error.to_string()).filter(|said| said.contains("node 3"))
    })
    .await;
    assert!(waiting.contains("in no cluster yet and waits for"), "{waiting}");
    for id in [1, 2] {
        assert!(
            !cluster.disks.path().join(id.to_string()).exists(),
            "nothing is written before all are there"
        );
    }
    let last = cluster.started(cluster.options(3)).await;
    let (one, two) = timeout(DEADLINE, early).await.unwrap().unwrap();
    for (id, tracker) in [(1, one.unwrap()), (2, two.unwrap()), (3, last)] {
        cluster.nodes.insert(id, tracker);
    }
    cluster.leader().await;
    let ids: Vec<_> = cluster.nodes.values().map(Tracker::cluster_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    submit(&cluster.client(), 1..11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_empty_disks_form_no_second_cluster() {
    let mut cluster = Cluster::of(3, 5000).await;
    let crawl = submit(&cluster.client(), 1..101).await;
    let id = cluster.nodes[&1].cluster_id();
    for node in 1..=3 {
        cluster.stop(node).await;
    }
    // The state after a boot at which two volumes were not mounted.
    for node in [2, 3] {
        std::fs::rename(
            cluster.disks.path().join(node.to_string()),
            cluster.disks.path().join(format!("{node}-away")),
        )
        .unwrap();
    }
    cluster.start(1).await;
    let (two, three) = (cluster.options(2), cluster.options(3));
    let started =
        timeout(MANY_LOOKS, async { tokio::join!(Tracker::start(two), Tracker::start(three)) }).await;
    if let Ok((two, three)) = started {
        for refused in [two.err().unwrap(), three.err().unwrap()] {
            assert!(refused.to_string().contains("its volume may not be mounted"), "{refused}");
        }
    }
    for node in [2, 3] {
        assert!(
            !cluster.disks.path().join(node.to_string()).exists(),
            "nothing is made in an empty mount point"
        );
        std::fs::rename(
            cluster.disks.path().join(format!("{node}-away")),
            cluster.disks.path().join(node.to_string()),
        )
        .unwrap();
        cluster.start(node).await;
    }
    assert_eq!(cluster.nodes[&2].cluster_id(), id);
    let view = cluster.client().query(Query::Crawl(crawl)).await.unwrap();
    assert!(matches!(view, Answer::Crawl(Some(view)) if view.counters.users.accepted == 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_given_other_peers_joins_no_forming_cluster() {
    let cluster = Cluster::unborn(3, 5000);
    let mut other = cluster.options(3);
    other.peers = BTreeMap::from([(1, cluster.peers[&1].clone()), (3, cluster.peers[&3].clone())]);
    let starts = [cluster.options(1), cluster.options(2), other];
    let started = timeout(MANY_LOOKS, futures::future::join_all(starts.map(Tracker::start))).await;
    assert!(started.is_err(), "nobody forms a cluster");
    assert_eq!(std::fs::read_dir(cluster.disks.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_output_has_an_owner_forms_no_cluster() {
    let cluster = Cluster::unborn(1, 5000);
    let mut options = cluster.options(1);
    options.output_owner = Some("5b0e6a3f9d1c47e28a90b1c2d3e4f506".to_owned());
    let refused = Tracker::start(options).await.err().unwrap().to_string();
    assert!(
        refused.contains("5b0e6a3f9d1c47e28a90b1c2d3e4f506") && refused.contains("--adopt-output"),
        "{refused}"
    );
    assert_eq!(std::fs::read_dir(cluster.disks.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_log_does_not_start_and_votes_in_nothing() {
    let mut cluster = Cluster::of(3, 5000).await;
    cluster.leader().await;
    cluster.stop(3).await;
    let log = cluster.disks.path().join("3/log");
    eventually("the log is removed", async || std::fs::remove_dir_all(&log).ok()).await;
    let refused = cluster.refused(cluster.options(3), "member replace").await.to_string();
    assert!(refused.contains("is missing"), "{refused}");
    assert!(!log.exists(), "nothing is made in its place");
}
