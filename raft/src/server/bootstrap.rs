//! A node's first steps in a cluster.
//!
//! Every node gets the same `--peers`. A node with an empty disk initializes Raft once a majority of
//! the nodes says that it is new as well. Where an elected leader exists already, the empty disk is
//! a replaced one: the node may have given votes and acknowledged entries that it forgot, so it
//! neither votes nor stands for election before it holds everything that the leader has.
//!
//! The mark of a node that may not vote is on disk before Raft starts, and is taken away before the
//! node's first vote. So whatever a restart finds: a leader was elected only by nodes without it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};
use storage::datadir::DataDir;
use tokio::time::sleep;

use crate::consensus::{LogStore, Member, Replica};
use crate::model::{NodeId, NodeStatus};

use super::tracker::{StartError, Tracker};

/// Pause between two looks at the other nodes.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Pause between two tries to change the disk.
const UNMARK_PAUSE: Duration = Duration::from_secs(1);

/// How long another node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Whether the disk holds nothing of a cluster yet.
pub(super) async fn is_fresh(log: &LogStore, replica: &Replica) -> io::Result<bool> {
    let mut log = log.clone();
    let LogState { last_log_id, last_purged_log_id } = log.get_log_state().await?;
    let vote = log.read_vote().await?;
    let empty = last_log_id.is_none() && last_purged_log_id.is_none() && vote.is_none();
    Ok(empty && replica.checkpoint_index() == 0)
}

/// Whether an earlier start found the disk replaced and has not caught up.
pub(super) fn rejoins(data: &DataDir) -> bool {
    marker(data).exists()
}

fn marker(data: &DataDir) -> PathBuf {
    data.root().join("REJOINING")
}

/// Marks the disk as new, until it is known whether to a cluster or with it.
pub(super) fn mark_rejoining(data: &DataDir) -> Result<(), StartError> {
    let path = marker(data);
    let written = File::create(&path).and_then(|file| file.sync_all()).and_then(|()| sync_folder(data));
    written.map_err(|source| StartError::Mark { path, source })
}

fn unmark(data: &DataDir) -> io::Result<()> {
    match std::fs::remove_file(marker(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(data),
    }
}

fn sync_folder(data: &DataDir) -> io::Result<()> {
    File::open(data.root())?.sync_all()
}

/// What the other nodes say.
enum Surroundings {
    /// A leader was elected some time.
    Cluster,
    /// A majority is as new as this node.
    AllNew,
    /// Too few answer to tell.
    Unknown,
}

/// Forms a cluster, or finds this node's place in one.
pub(super) async fn run(tracker: Tracker) {
    let work = async {
        if rejoins(&tracker.inner.data) && !form(&tracker).await {
            tracing::warn!("the disk is new to this cluster; this node votes once it has caught up");
            catch_up(&tracker).await;
            take_mark_away(&tracker).await;
        }
        let inner = &tracker.inner;
        inner.may_vote.store(true, Ordering::Release);
        inner.raft.runtime_config().elect(true);
    };
    tokio::select! {
        () = work => {}
        () = tracker.stopped() => {}
    }
}

/// Takes the mark away. As long as the disk does not let it, this node does not vote.
async fn take_mark_away(tracker: &Tracker) {
    let mut told = false;
    while let Err(error) = unmark(&tracker.inner.data) {
        if !told {
            let path = marker(&tracker.inner.data);
            tracing::error!(%error, path = %path.display(), "cannot be removed; until it is, this node does not vote");
        }
        told = true;
        sleep(UNMARK_PAUSE).await;
    }
}

/// Initializes a new cluster. False when there is one already.
async fn form(tracker: &Tracker) -> bool {
    let peers = &tracker.inner.options.peers;
    loop {
        match look_around(tracker).await {
            Surroundings::Cluster => return false,
            Surroundings::AllNew => break,
            Surroundings::Unknown => sleep(LOOK_PAUSE).await,
        }
    }
    take_mark_away(tracker).await;
    let members: BTreeMap<NodeId, Member> =
        peers.iter().map(|(&id, address)| (id, Member { address: address.clone() })).collect();
    // Refused when another node's first entries are here already: then there is nothing to do.
    if let Err(error) = tracker.inner.raft.initialize(members).await {
        tracing::debug!(%error, "the cluster was initialized by another node");
    }
    true
}

async fn look_around(tracker: &Tracker) -> Surroundings {
    let own = tracker.inner.options.id;
    let others = tracker.inner.options.peers.keys().copied().filter(|&id| id != own);
    let asked = others.map(|id| tracker.status_of(id, STATUS_TIMEOUT));
    let answers: Vec<NodeStatus> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    // Entry 0 is the membership that initialization writes; a leader, once elected, writes entry 1.
    let own_entries = tracker.status().last_log > 0;
    if own_entries || answers.iter().any(|status| status.last_log > 0) {
        return Surroundings::Cluster;
    }
    let new = answers.len() + 1;
    if new > tracker.inner.options.peers.len() / 2 { Surroundings::AllNew } else { Surroundings::Unknown }
}

/// Waits until this node has applied everything that the leader had.
async fn catch_up(tracker: &Tracker) {
    let goal = loop {
        let leader = tracker.leader();
        let status = match leader {
            Some(leader) => tracker.status_of(leader, STATUS_TIMEOUT).await,
            None => None,
        };
        match status {
            Some(status) if Some(status.id) == status.leader => break status.last_log,
            _ => sleep(LOOK_PAUSE).await,
        }
    };
    let mut changes = tracker.inner.replica.changes();
    while tracker.inner.replica.applied_index() < goal {
        if changes.changed().await.is_err() {
            return;
        }
    }
    tracing::info!(applied = goal, "caught up; this node votes");
}
