//! Removes drafts that nobody needs any more.

use std::sync::Arc;

use api::model::LeaseId;
use storage::dataset::{Dataset, FileKey};
use storage::env::Work;

use super::JobTracker;

/// Leases in one query to the cluster.
const QUESTION: usize = 10_000;

/// Removes the drafts in the temporary folder that no job refers to: those of dead and stopped workers, and those
/// that another lease has copied.
///
/// The drafts are listed before the cluster is asked: a draft begun in between is not on the list, and one on the
/// list is in use as long as a lease, a save point or an unpublished completion names it.
pub(super) async fn remove_leftovers(tracker: Arc<dyn JobTracker>, dataset: Arc<dyn Dataset>, work: Work) {
    match find_leftovers(&*tracker, dataset.clone(), &work).await {
        Ok(leftovers) if leftovers.is_empty() => {}
        Ok(leftovers) => {
            let count = leftovers.len();
            match work.run(move || discard(&*dataset, &leftovers)).await {
                Ok(()) => tracing::info!(count, "removed drafts that no job needs"),
                Err(error) => tracing::error!("removing leftover drafts failed: {error}"),
            }
        }
        // The next cleanup tries again.
        Err(what) => tracing::warn!("cannot look for leftover drafts: {what}"),
    }
}

async fn find_leftovers(
    tracker: &dyn JobTracker,
    dataset: Arc<dyn Dataset>,
    work: &Work,
) -> Result<Vec<(FileKey, u64)>, String> {
    let listed = work.run(move || dataset.drafts()).await.map_err(|e| e.to_string())?;
    let mut drafts = listed.map_err(|e| e.to_string())?;
    let mut leases: Vec<_> = drafts.iter().map(|(_, lease)| LeaseId(*lease)).collect();
    leases.sort_unstable();
    leases.dedup();
    let mut used = Vec::new();
    for part in leases.chunks(QUESTION) {
        used.extend(tracker.drafts_in_use(part.to_vec()).await.map_err(|e| e.to_string())?);
    }
    used.sort_unstable();
    drafts.retain(|(_, lease)| used.binary_search(&LeaseId(*lease)).is_err());
    Ok(drafts)
}

fn discard(dataset: &dyn Dataset, leftovers: &[(FileKey, u64)]) {
    for (key, lease) in leftovers {
        if let Err(error) = dataset.discard(key, *lease) {
            tracing::warn!(%key, lease, "cannot remove a leftover draft: {error}");
        }
    }
}
