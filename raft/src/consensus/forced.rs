//! Forms a new cluster from one member when the majority of the old one is lost for good.
//!
//! Log indexes name leases, sessions, drafts and events. The lost members may have issued more of them than this one
//! knows, and their workers may still hold some. Therefore the new cluster continues at an index far beyond any that
//! can have been used.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::{RaftLogReader, RaftLogStorage};
use storage::env::Work;
use storage::state::StateStore;

use crate::model::{CLUSTER_VERSION, ClusterId, MemberId};

use super::log_store::LogStore;
use super::machine::Replica;
use super::types::{LogId, Member, StoredMembership, Vote};

/// Distance between the last known log index and the first one of the new cluster. At a million entries a second, the
/// lost members would have needed more than an hour without this one to use it up.
const GAP: u64 = 1 << 32;

/// Entries read from the log at a time.
const READ: u64 = 1_000;

/// Where the new cluster starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    /// The last entry that this member has, committed or not.
    pub(crate) last_known: u64,
    /// Log index at which the new cluster continues.
    pub(crate) goes_on_at: u64,
}

/// The only member of a new cluster.
#[derive(Debug, Clone)]
pub(crate) struct Founder {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    /// Its member id in the old cluster.
    pub(crate) was: MemberId,
    /// Its new address; absent: unchanged.
    pub(crate) address: Option<String>,
}

/// Where the log of the old cluster is moved.
pub(crate) fn kept_log(log: &Path, old: ClusterId) -> PathBuf {
    log.with_extension(format!("of-{old}"))
}

/// Applies the whole log, and writes the state as that of a new cluster with one member.
pub(crate) async fn found_anew(
    store: Arc<dyn StateStore>,
    snapshots: PathBuf,
    log: &mut LogStore,
    old: ClusterId,
    founder: Founder,
) -> io::Result<Forced> {
    let replica = Replica::open(Arc::clone(&store), snapshots, old, CLUSTER_VERSION, Work::default())
        .map_err(io::Error::other)?;
    let mut last = replica.last_applied();
    let logged = log.get_log_state().await?;
    let mut next = last.map_or(0, |id| id.index + 1);
    if logged.last_purged_log_id.is_some_and(|purged| purged.index >= next) {
        return Err(io::Error::other(
            "the log begins behind the state: a part of the data directory is missing",
        ));
    }
    while logged.last_log_id.is_some_and(|end| next <= end.index) {
        let end = logged.last_log_id.map_or(next, |end| end.index + 1).min(next + READ);
        let entries = log.try_get_log_entries(next..end).await?;
        if entries.is_empty() {
            return Err(io::Error::other(format!("the log lacks entry {next}")));
        }
        for entry in entries {
            (last, next) = (Some(entry.log_id), entry.log_id.index + 1);
            replica.apply_one(entry.log_id, entry.payload)?;
        }
    }
    let vote = log.read_vote().await?;
    let term = vote.map_or(0, |vote| vote.leader_id.term).max(last.map_or(0, |id| id.leader_id.term)) + 1;
    let last_known = last.map_or(0, |id| id.index);
    let Founder { cluster, member: own, was, address } = founder;
    let known = replica.membership().get_node(&was).map(|member| member.address.clone());
    let address = address.or(known).ok_or_else(|| {
        io::Error::other("it is not known where this node is reached; give --listen HOST:PORT as well")
    })?;
    let at = LogId { leader_id: Vote::new(term, own).leader_id, index: last_known + GAP };
    let members = BTreeMap::from([(own, Member { address, cluster })]);
    let membership = openraft::Membership::new(vec![std::collections::BTreeSet::from([own])], members);
    let membership = membership.map_err(|error| io::Error::other(error.to_string()))?;
    replica.write_as(at, StoredMembership::new(Some(at), membership))?;
    Ok(Forced { last_known, goes_on_at: at.index })
}

/// Creates the log that matches such a state: empty, with a vote that is higher than all votes of the old cluster.
pub(crate) async fn log_for(
    store: Arc<dyn StateStore>,
    snapshots: PathBuf,
    log: &Path,
    owner: &str,
    (cluster, own): (ClusterId, MemberId),
) -> io::Result<()> {
    let replica = Replica::open(store, snapshots, cluster, CLUSTER_VERSION, Work::default())
        .map_err(io::Error::other)?;
    let term = replica.last_applied().map_or(0, |id| id.leader_id.term);
    let mut log = LogStore::create(log, owner)?;
    log.save_vote(&Vote::new(term, own)).await
}

/// The cluster and the only member of a state that was already written for a new cluster.
pub(crate) fn founded(store: &dyn StateStore, old: ClusterId) -> io::Result<Option<(ClusterId, MemberId)>> {
    let membership = Replica::membership_in(store).map_err(io::Error::other)?;
    let found = membership.and_then(|membership| {
        let mut nodes = membership.nodes().map(|(id, member)| (member.cluster, *id));
        nodes.next().filter(|(cluster, _)| *cluster != old)
    });
    Ok(found)
}
