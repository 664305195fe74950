//! The data directory of a node that is not a member yet.

use storage::datadir::{DataDir, DataDirError, Identity, Stage, Vacant};

use crate::model::{ClusterId, MemberId};
use crate::server::disks::Disks;
use crate::server::tracker::StartError;

/// The state of the data directory.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing is there.
    Vacant(Vacant),
    /// It is promised to a cluster.
    Promised(DataDir),
}

impl Place {
    /// The cluster that it is promised to.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        match self {
            Self::Vacant(_) => None,
            Self::Promised(data) => Some(ClusterId(data.identity().cluster)),
        }
    }

    /// Promises it, durably.
    pub(super) fn promise(self, cluster: ClusterId, name: &str, own: MemberId) -> Result<Self, DataDirError> {
        let identity = identity(cluster, name, own, Stage::Forming);
        match self {
            Self::Vacant(vacant) => vacant.claim(identity).map(Self::Promised),
            Self::Promised(data) if data.identity() == &identity => Ok(Self::Promised(data)),
            Self::Promised(mut data) => {
                data.set_identity(identity)?;
                Ok(Self::Promised(data))
            }
        }
    }
}

/// Turns a promised data directory into a member's. The log is created first, so that a member without a log is known
/// to have lost it.
pub(super) fn become_member(data: &mut DataDir, disks: &Disks) -> Result<(), StartError> {
    let log = data.log();
    let owner = super::super::tracker::log_owner(data.identity());
    disks.logs.create(&log, &owner).map_err(|source| StartError::Log { path: log, source })?;
    let identity = Identity { stage: Stage::Member, ..data.identity().clone() };
    Ok(data.set_identity(identity)?)
}

fn identity(cluster: ClusterId, name: &str, own: MemberId, stage: Stage) -> Identity {
    Identity { name: name.to_owned(), cluster: cluster.0, node: own.node, disk: own.disk.0, stage }
}
