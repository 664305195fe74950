use std::collections::BTreeMap;
use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use storage::datadir::DataDir;
use storage::env::{SystemClock, SystemEntropy};
use tokio::time::timeout;

use super::place::become_member;
use super::*;
use crate::model::NodeId;
use crate::server::{Ended, Tracker};
use crate::state::RosterEntry;
use crate::wire::{Candidate, Dial, Greeting, JoinAnswer, JoinRequest, MemberRequest, Tcp};

const DEADLINE: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn options(folder: &std::path::Path, id: NodeId, address: &str) -> TrackerOptions {
    let peers = BTreeMap::from([(id, address.to_owned())]);
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
    TrackerOptions::new(id, "test".into(), peers, folder.join(id.to_string()), clock, entropy)
}

/// A disk asks to be admitted, and is.
async fn join(address: &str, own: MemberId) {
    let connection = Tcp.dial(address, &Greeting::of_candidate(own, Some(1))).await.unwrap();
    let candidate = Candidate { name: "test".to_owned(), member: own, bind: true };
    let answer = connection.join(DEADLINE, JoinRequest::Join(candidate)).await.unwrap();
    assert!(matches!(answer, JoinAnswer::Admitted(_)), "{answer:?}");
}

/// An operator repeats a call that was not answered. This used to remove the disk that had come meanwhile, as long as
/// Raft's membership did not include it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_added_again_while_it_joins_stays() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let one = Tracker::start(options(folder.path(), 1, &address)).await.unwrap();
    let client = Client::new(vec![address.clone()], DEADLINE, &SystemEntropy::new());
    let add = |at: &str| MemberRequest::Add { node: 2, address: at.to_owned() };
    client.change_members(add("host:1")).await.unwrap();
    // Keeps the leader from changing Raft's membership.
    let held = one.inner.membership.change().await;
    let own = MemberId { node: 2, disk: DiskId(77) };
    join(&address, own).await;
    client.change_members(add("host:1")).await.unwrap();
    let elsewhere = client.change_members(add("host:2")).await.unwrap_err().to_string();
    assert!(elsewhere.contains("let in at host:1"), "{elsewhere}");
    {
        let state = one.inner.replica.state();
        let bound = state.roster().entry(2).cloned();
        assert!(matches!(bound, Some(RosterEntry::Joins { disk: Some(DiskId(77)), .. })), "{bound:?}");
        assert_eq!(state.roster().departed(own.disk), None);
    }
    drop(held);
    one.stop().await;
}

/// A disk was admitted, and removed again before the leader had told it of the members: nobody calls it, and it knows
/// nobody. It used to wait forever.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_thrown_out_before_it_heard_of_the_members_learns_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let one = Tracker::start(options(folder.path(), 1, &addresses[0])).await.unwrap();
    let client = Client::new(vec![addresses[0].clone()], DEADLINE, &SystemEntropy::new());
    client.change_members(MemberRequest::Add { node: 2, address: addresses[1].clone() }).await.unwrap();

    let joining =
        TrackerOptions { join: vec![addresses[0].clone()], ..options(folder.path(), 2, &addresses[1]) };
    let Found::Vacant(vacant) = DataDir::look(&joining.data_dir, &joining.cluster, 2).unwrap() else {
        panic!("the folder is empty");
    };
    let own = MemberId { node: 2, disk: DiskId(77) };
    let Place::Promised(mut data) =
        Place::Vacant(vacant).promise(one.cluster_id(), &joining.cluster, own).unwrap()
    else {
        panic!("it was promised");
    };
    join(&addresses[0], own).await;
    client.change_members(MemberRequest::Remove { node: 2 }).await.unwrap();
    become_member(&mut data, &joining.disks).unwrap();
    drop(data);

    let two = Tracker::start(TrackerOptions {
        peers: BTreeMap::new(),
        listen: Some(addresses[1].clone()),
        ..joining
    })
    .await
    .unwrap();
    let why = timeout(DEADLINE, two.failed()).await.unwrap();
    assert!(matches!(&why, Ended::Retired(why) if why.contains("was removed from the cluster")), "{why}");
    two.stop().await;
    one.stop().await;
}
