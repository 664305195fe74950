//! Replaced disks, and nodes that are added and removed.

use std::collections::BTreeMap;
use std::time::Duration;

use api::TrackerApi;
use api::model::{Answer, ClusterStatus, DiskId, Query};
use api::wire::MemberRequest;
use raft::server::{Ended, TrackerOptions, force_new_cluster};
use tokio::time::timeout;

use crate::world::*;

async fn status(cluster: &Cluster) -> ClusterStatus {
    match cluster.client().query(Query::Status).await.unwrap() {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// Waits until no membership change is pending.
async fn settled(cluster: &Cluster) -> ClusterStatus {
    eventually("all changes are made", async || {
        Some(status(cluster).await).filter(|status| status.changes.is_empty())
    })
    .await
}

fn joins(cluster: &Cluster, id: u64, address: &str) -> TrackerOptions {
    let mut options = cluster.options(id);
    options.peers.clear();
    options.join = cluster.peers.values().cloned().collect();
    options.listen = Some(address.to_owned());
    options
}

async fn members_without(cluster: &Cluster, request: MemberRequest) -> String {
    cluster.client().change_members(request).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_of_a_member_is_refused_until_an_operator_lets_one_in() {
    let mut cluster = Cluster::of(3, 5000).await;
    let crawl = submit(&cluster.client(), 1..3_001).await;
    let leader = cluster.leader().await;
    let lost = cluster.other_than(&[leader]);
    let answers = members_without(&cluster, MemberRequest::Replace { node: lost, address: None }).await;
    assert!(answers.contains("only a member that is silent can be replaced"), "{answers}");
    cluster.stop(lost).await;
    let old = cluster.disks.path().join(lost.to_string());
    let kept = cluster.disks.path().join("old");
    std::fs::rename(&old, &kept).unwrap();
    let refused = cluster.refused(cluster.options(lost), "may not be mounted").await.to_string();
    assert!(refused.contains(&format!("twm-ctl member replace {lost}")), "{refused}");
    assert!(!old.exists(), "nothing is made in an empty mount point");

    cluster.client().replace_disk(lost, None).await.unwrap();
    cluster.start(lost).await;
    let status = settled(&cluster).await;
    let of_node: Vec<_> = status.nodes.iter().filter(|member| member.id == lost).collect();
    assert!(of_node.len() == 1 && of_node[0].voter, "{status:?}");
    assert_eq!(of_node[0].disk, cluster.nodes[&lost].member().disk);

    // The new disk votes: with the old leader stopped, it and the third node are the majority.
    cluster.stop(leader).await;
    assert_eq!(completed(&cluster.client(), crawl).await, 0);
    cluster.start(leader).await;

    // The old disk comes back and must retire.
    cluster.stop(lost).await;
    eventually("the new disk is put aside", async || {
        std::fs::rename(&old, cluster.disks.path().join("new")).ok()
    })
    .await;
    std::fs::rename(&kept, &old).unwrap();
    let returned = cluster.started(cluster.options(lost)).await;
    let why = timeout(DEADLINE, returned.failed()).await.unwrap();
    let Ended::Retired(why) = why else { panic!("{why}") };
    assert!(why.contains("was replaced by disk") && why.contains("cannot come back"), "{why}");
    returned.stop().await;
}

/// Leader A is cut off; B and C elect B and acknowledge a submit; C's disk is lost, B loses power, and A comes back.
/// Without the fix, A and the empty C committed without the submit.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_completes_no_majority_of_a_leader_that_was_deposed() {
    let mut cluster = Cluster::of(3, 5000).await;
    let a = cluster.leader().await;
    cluster.stop(a).await;
    let (b, c) = (cluster.other_than(&[a]), cluster.other_than(&[a, cluster.other_than(&[a])]));
    let crawl = submit(&cluster.client(), 1..101).await;
    cluster.stop(c).await;
    cluster.stop(b).await;
    cluster.empty(c).await;
    cluster.start(a).await;
    let empty = cluster.options(c);
    // The empty disk cannot be admitted: A alone is not a majority of the old members.
    let alone = cluster.client_within(Duration::from_secs(2));
    // The call alone, without the query for the disk, which a leader without a majority does not answer
    // either.
    assert!(alone.change_members(MemberRequest::Replace { node: c, address: None }).await.is_err());
    let started = timeout(Duration::from_secs(3), raft::server::Tracker::start(empty.clone())).await;
    assert!(!matches!(started, Ok(Ok(_))), "an empty disk takes part in nothing");
    let read = cluster.client_within(Duration::from_secs(2)).query(Query::Crawls).await;
    assert!(read.is_err(), "nobody leads: {read:?}");

    cluster.start(b).await;
    cluster.client().replace_disk(c, None).await.unwrap();
    cluster.start(c).await;
    settled(&cluster).await;
    let view = cluster.client().query(Query::Crawl(crawl)).await.unwrap();
    assert!(matches!(view, Answer::Crawl(Some(view)) if view.counters.users.accepted == 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_disks_can_be_replaced_at_once_and_the_leaders_own_as_well() {
    let mut cluster = Cluster::of(5, 5000).await;
    let crawl = submit(&cluster.client(), 1..3_001).await;
    let leader = cluster.leader().await;
    let lost = [leader, cluster.other_than(&[leader])];
    for node in lost {
        cluster.stop(node).await;
        cluster.empty(node).await;
    }
    for node in lost {
        cluster.client().replace_disk(node, None).await.unwrap();
    }
    let (one, two) =
        tokio::join!(cluster.started(cluster.options(lost[0])), cluster.started(cluster.options(lost[1])));
    cluster.nodes.insert(lost[0], one);
    cluster.nodes.insert(lost[1], two);
    let status = settled(&cluster).await;
    assert_eq!(status.nodes.iter().filter(|member| member.voter).count(), 5, "{status:?}");
    let others: Vec<_> = cluster.peers.keys().copied().filter(|id| !lost.contains(id)).take(2).collect();
    for node in others {
        cluster.stop(node).await;
    }
    assert_eq!(completed(&cluster.client(), crawl).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_votes_moves_and_leaves_and_its_disk_never_returns() {
    let mut cluster = Cluster::of(3, 5000).await;
    let crawl = submit(&cluster.client(), 1..1_001).await;
    let address = format!("127.0.0.1:{}", free_port());
    let waiting =
        timeout(Duration::from_secs(2), raft::server::Tracker::start(joins(&cluster, 4, &address))).await;
    assert!(waiting.is_err(), "nobody has let it in");
    assert!(!cluster.disks.path().join("4").exists());

    let add = MemberRequest::Add { node: 4, address: address.clone() };
    cluster.client().change_members(add).await.unwrap();
    let four = cluster.started(joins(&cluster, 4, &address)).await;
    cluster.nodes.insert(4, four);
    let joined = settled(&cluster).await;
    let member = |status: &ClusterStatus| status.nodes.iter().find(|member| member.id == 4).cloned().unwrap();
    assert!(!member(&joined).voter, "it is a learner");
    eventually("the learner has the replica", async || {
        cluster.nodes[&4].crawls().iter().any(|view| view.id == crawl).then_some(())
    })
    .await;
    cluster.client().change_members(MemberRequest::Promote { node: 4 }).await.unwrap();
    assert!(member(&status(&cluster).await).voter);
    cluster.client().change_members(MemberRequest::Demote { node: 4 }).await.unwrap();
    assert!(!member(&status(&cluster).await).voter);

    // Node 4 moves to another port.
    cluster.stop(4).await;
    let moved = format!("127.0.0.1:{}", free_port());
    let four = cluster.started(joins(&cluster, 4, &moved)).await;
    cluster.nodes.insert(4, four);
    let set = MemberRequest::SetAddress { node: 4, address: moved.clone() };
    cluster.client().change_members(set).await.unwrap();
    assert_eq!(member(&status(&cluster).await).address, moved);
    let later = submit(&cluster.client(), 1..11).await;
    eventually("the leader reaches it at its new address", async || {
        cluster.nodes[&4].crawls().iter().any(|view| view.id == later).then_some(())
    })
    .await;

    cluster.client().change_members(MemberRequest::Remove { node: 4 }).await.unwrap();
    let left = settled(&cluster).await;
    assert!(left.nodes.iter().all(|member| member.id != 4), "{left:?}");
    let why = timeout(DEADLINE, cluster.nodes[&4].failed()).await.unwrap().to_string();
    assert!(why.contains("was removed from the cluster"), "{why}");
    cluster.stop(4).await;

    // The node may come back, with a new disk.
    cluster.client().change_members(MemberRequest::Add { node: 4, address: moved.clone() }).await.unwrap();
    let four = cluster.started(joins(&cluster, 4, &moved)).await;
    let why = timeout(DEADLINE, four.failed()).await.unwrap().to_string();
    assert!(why.contains("was removed from the cluster"), "its old disk is refused: {why}");
    four.stop().await;
    drop(four);
    cluster.empty(4).await;
    let four = cluster.started(joins(&cluster, 4, &moved)).await;
    cluster.nodes.insert(4, four);
    assert!(settled(&cluster).await.nodes.iter().any(|member| member.id == 4));
}

/// An operator repeats a call that was not answered. Meanwhile the new disk has joined and is silent for a moment;
/// without the fix it was removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_asked_for_again_throws_nobody_out() {
    let mut cluster = Cluster::of(3, 5000).await;
    let leader = cluster.leader().await;
    let lost = cluster.other_than(&[leader]);
    let disk = status(&cluster).await.disk_of(lost).unwrap();
    cluster.stop(lost).await;
    cluster.empty(lost).await;
    let replace = || MemberRequest::ReplaceDisk { node: lost, disk, address: None };
    cluster.client().change_members(replace()).await.unwrap();
    cluster.client().change_members(replace()).await.unwrap();
    cluster.start(lost).await;
    let new = settled(&cluster).await.disk_of(lost).unwrap();
    assert_ne!(new, disk);
    cluster.stop(lost).await;
    cluster.client().change_members(replace()).await.unwrap();
    assert_eq!(status(&cluster).await.changes, [], "it has been replaced");
    cluster.start(lost).await;
    assert_eq!(settled(&cluster).await.disk_of(lost), Some(new));

    let unknown = MemberRequest::ReplaceDisk { node: lost, disk: DiskId(5), address: None };
    let refused = members_without(&cluster, unknown).await;
    assert!(refused.contains("not with 0000000000000005"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_majority_cannot_be_removed() {
    let mut cluster = Cluster::of(3, 5000).await;
    let leader = cluster.leader().await;
    let down = cluster.other_than(&[leader]);
    cluster.stop(down).await;
    let other = cluster.other_than(&[leader, down]);
    for request in [MemberRequest::Remove { node: other }, MemberRequest::Demote { node: other }] {
        let refused = members_without(&cluster, request).await;
        assert!(refused.contains("no majority"), "{refused}");
    }
    // The stopped node can be removed; two members are left. A single member cannot be removed.
    cluster.client().change_members(MemberRequest::Remove { node: down }).await.unwrap();
    assert_eq!(settled(&cluster).await.nodes.len(), 2);
    let alone = Cluster::of(1, 5000).await;
    let refused = members_without(&alone, MemberRequest::Remove { node: 1 }).await;
    assert!(refused.contains("no majority") || refused.contains("the last"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_first_nodes_the_lowest_vote_and_the_others_learn() {
    let cluster = Cluster::of(4, 5000).await;
    let voters = eventually("three vote", async || {
        let status = status(&cluster).await;
        let voters: Vec<u64> =
            status.nodes.iter().filter(|member| member.voter).map(|member| member.id).collect();
        (voters.len() == 3).then_some(voters)
    })
    .await;
    let leader = cluster.leader().await;
    assert!(voters.contains(&leader), "{voters:?}");
    submit(&cluster.client(), 1..101).await;
    eventually("the learner has it", async || {
        cluster.nodes.values().all(|node| node.crawls().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_differ_from_the_members_are_told_and_the_members_count() {
    let mut cluster = Cluster::of(3, 5000).await;
    cluster.leader().await;
    cluster.stop(2).await;
    let mut options = cluster.options(2);
    options.peers.insert(4, "10.0.0.4:8000".to_owned());
    let two = cluster.started(options).await;
    let said = eventually("the difference is reported", async || two.peers_differ()).await;
    assert!(said.contains("4=10.0.0.4:8000") && said.contains("twm-ctl member"), "{said}");
    cluster.nodes.insert(2, two);
    assert_eq!(settled(&cluster).await.nodes.len(), 3);
}

/// Two of three disks are lost for good. The data of the third continues as a new cluster, far beyond all log indexes
/// that the lost disks can have assigned.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_member_has_goes_on_as_a_new_cluster_when_the_others_are_lost_for_good() {
    let mut cluster = Cluster::of(3, 5000).await;
    let crawl = submit(&cluster.client(), 1..3_001).await;
    let mut worker = Worker::open(cluster.client(), 1).await;
    while worker.turn(100).await > 0 && completed(&cluster.client(), crawl).await < 1_000 {}
    let done = completed(&cluster.client(), crawl).await;
    eventually("all have all of it", async || {
        let applied: Vec<u64> = cluster.nodes.values().map(|node| node.status().applied).collect();
        applied.iter().all(|index| *index == applied[0]).then_some(())
    })
    .await;
    let old = cluster.nodes[&1].cluster_id();
    for node in 1..=3 {
        cluster.stop(node).await;
    }
    // The peers of a node that is started without its old `--peers`.
    let mut options = cluster.options(1);
    options.peers = BTreeMap::from([(1, "127.0.0.1:8000".to_owned())]);
    let made = eventually("the data directory is free", async || {
        force_new_cluster(&options).await.inspect_err(|error| eprintln!("{error}")).ok()
    })
    .await;
    assert_eq!(made.old, old);
    assert!(made.goes_on_at > made.last_known + (1 << 31) && made.kept_log.exists(), "{made:?}");

    cluster.start(1).await;
    let client = cluster.client();
    assert_eq!(cluster.nodes[&1].cluster_id(), made.new);
    assert_eq!(completed(&client, crawl).await, done);
    let later = submit(&client, 1..11).await;
    assert!(cluster.nodes[&1].status().applied > made.goes_on_at);
    let status = status(&cluster).await;
    assert!(status.nodes.len() == 1 && status.nodes[0].voter, "{status:?}");
    assert_eq!(status.nodes[0].address, cluster.peers[&1], "it is where the old members reached it");

    // The disks of the other nodes still belong to the old cluster.
    cluster.start(2).await;
    cluster.start(3).await;
    assert_eq!(cluster.nodes[&2].cluster_id(), old);
    assert_eq!(completed(&cluster.client_of(1), crawl).await, done);
    for node in [2, 3] {
        cluster.stop(node).await;
        cluster.empty(node).await;
        let address = cluster.peers[&node].clone();
        cluster.client_of(1).change_members(MemberRequest::Add { node, address }).await.unwrap();
        cluster.start(node).await;
        eventually("it can vote", async || {
            cluster.client_of(1).change_members(MemberRequest::Promote { node }).await.ok()
        })
        .await;
    }
    cluster.stop(1).await;
    let view = cluster.client().query(Query::Crawl(later)).await.unwrap();
    assert!(matches!(view, Answer::Crawl(Some(view)) if view.counters.users.accepted == 10));
}
