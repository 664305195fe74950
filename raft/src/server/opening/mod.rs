//! From an empty data directory to a member's.
//!
//! A node with data continues with it and asks nobody. A node without data first asks the others:
//!
//! - **A cluster exists.** The node asks its leader to be admitted. A node whose id is already a member's is told
//!   that its volume may not be mounted, unless an operator has admitted one new disk (`twm-ctl member replace`).
//! - **All of `--peers` are reachable and all are empty.** The node with the lowest id draws the cluster's id. Each
//!   node durably promises its data directory to that cluster; when all have, the lowest one initializes Raft and
//!   then tells the others that the cluster exists. A promise may be replaced as long as its node has no log, since
//!   nothing can be lost with it.
//! - **Anything else.** The node waits, and says which nodes it waits for. It writes nothing, because an empty folder
//!   may be a mount point.
//!
//! Only the lowest node forms a cluster, and only when all are there: two disjoint majorities of empty disks would
//! form two clusters, and a majority of empty disks is what a boot without mounted volumes looks like.

mod candidate;
mod form;
mod join_service;
mod place;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use storage::datadir::{DataDir, Found, Stage};

use crate::model::{ClusterId, DiskId, MemberId};
use crate::wire::Formation;

use super::listening::Bound;
use super::options::TrackerOptions;
use super::tracker::StartError;
use candidate::Candidacy;
use place::Place;

pub(super) use form::announce;

/// Pause between two polls of the other nodes.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Timeout of another node's answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// A data directory that is, or is about to be, a member's.
pub(super) struct Opened {
    pub(super) data: DataDir,
    /// The cluster that this node has to initialize.
    pub(super) formation: Option<Formation>,
}

/// Examines the data directory and locks it.
pub(super) async fn look(options: &TrackerOptions) -> Result<Found, StartError> {
    let (root, name, node) = (options.data_dir.clone(), options.cluster.clone(), options.id);
    Ok(options.work.run(move || DataDir::look(&root, &name, node)).await??)
}

/// Opens the data directory. Returns when the node is a member, or has to initialize the cluster; until then, it
/// answers requests at its port.
pub(super) async fn open(
    options: &TrackerOptions,
    found: Found,
    bound: &dyn Bound,
) -> Result<Opened, StartError> {
    let node = options.id;
    let place = match found {
        Found::Ours(data) if data.identity().stage == Stage::Member => {
            return Ok(Opened { data, formation: None });
        }
        Found::Ours(data) => Place::Promised(data),
        Found::Vacant(vacant) => Place::Vacant(vacant),
    };
    let own = match &place {
        Place::Promised(data) => member_of(data),
        Place::Vacant(_) => MemberId { node, disk: DiskId(options.entropy.next_u64()) },
    };
    let candidacy = Arc::new(Candidacy::new(options.clone(), own, place));
    let join_service = join_service::host(candidacy.clone());
    tokio::select! {
        biased;
        settled = candidacy.settle() => settled,
        () = bound.serve(join_service) => {
            Err(StartError::Replica("nobody answers at this node's port any more".to_owned()))
        }
    }
}

/// The member that owns a data directory.
pub(super) fn member_of(data: &DataDir) -> MemberId {
    MemberId { node: data.identity().node, disk: DiskId(data.identity().disk) }
}

/// The cluster that a data directory belongs to.
pub(super) fn cluster_of(data: &DataDir) -> ClusterId {
    ClusterId(data.identity().cluster)
}
