//! `twm-node --force-new-cluster`: recovery when a majority of the voters is lost for good.

use std::path::PathBuf;
use std::sync::Arc;

use storage::datadir::{DataDir, Found, Identity, Stage};
use storage::state::{SledStore, StateStore};

use crate::consensus::LogStore;
use crate::consensus::forced::{self, Forced, Founder};
use crate::model::{ClusterId, DiskId, MemberId};

use super::opening::{self, cluster_of, member_of};
use super::options::TrackerOptions;
use super::tracker::{StartError, log_owner};

/// What was made.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// The old cluster.
    pub old: ClusterId,
    /// The new cluster.
    pub new: ClusterId,
    /// Log index of the last entry that this member has, committed or not.
    pub last_known: u64,
    /// Log index at which the new cluster continues.
    pub goes_on_at: u64,
    /// Where the old log is kept.
    pub kept_log: PathBuf,
}

/// Creates a new cluster with this node as its only member from its data directory. Idempotent, also if interrupted.
///
/// # Errors
/// The data directory is not a member's, is in use, or is damaged.
pub async fn force_new_cluster(options: &TrackerOptions) -> Result<NewCluster, StartError> {
    let refused = |what: String| StartError::Refused(what);
    let mut data = match opening::look(options).await? {
        Found::Ours(data) if data.identity().stage == Stage::Member => data,
        _ => {
            return Err(refused(format!(
                "{} is no member's data directory: there is nothing to make a new cluster of; its volume may not be mounted",
                options.data_dir.display()
            )));
        }
    };
    let (old, kept_log) = (cluster_of(&data), forced::kept_log(&data.log(), cluster_of(&data)));
    let failed = |source| StartError::Log { path: options.data_dir.clone(), source };
    let store = open_store(&data).await?;
    let entropy = &options.entropy;
    let founded = forced::founded(&*store, old).map_err(failed)?;
    let (cluster, own, forced) = match founded {
        // An earlier attempt was interrupted.
        Some((cluster, own)) => (cluster, own, None),
        None => {
            let cluster = ClusterId(u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64()));
            let was = member_of(&data);
            let own = MemberId { disk: DiskId(entropy.next_u64()), ..was };
            // Regardless of --peers: the old membership knows this member's address best.
            let founder = Founder { cluster, member: own, was, address: options.listen.clone() };
            let mut log = LogStore::open(&data.log(), &log_owner(data.identity()))
                .map_err(|source| StartError::Log { path: data.log(), source })?;
            let forced = forced::found_anew(Arc::clone(&store), data.snapshots(), &mut log, old, founder);
            (cluster, own, Some(forced.await.map_err(failed)?))
        }
    };
    if data.log().exists() && !kept_log.exists() {
        std::fs::rename(data.log(), &kept_log).map_err(failed)?;
    }
    let identity = Identity { cluster: cluster.0, disk: own.disk.0, ..data.identity().clone() };
    let owner = log_owner(&identity);
    forced::log_for(store, data.snapshots(), &data.log(), &owner, (cluster, own)).await.map_err(failed)?;
    data.set_identity(identity)?;
    let Forced { last_known, goes_on_at } = forced.unwrap_or(Forced { last_known: 0, goes_on_at: 0 });
    Ok(NewCluster { old, new: cluster, last_known, goes_on_at, kept_log })
}

async fn open_store(data: &DataDir) -> Result<Arc<dyn StateStore>, StartError> {
    let path = data.state();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path));
    Ok(Arc::new(opened.await.map_err(|e| StartError::Replica(e.to_string()))??))
}
