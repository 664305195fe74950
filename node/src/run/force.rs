//! `--force-new-cluster`.

use anyhow::Context;
use raft::server::{NewCluster, force_new_cluster};
use storage::dataset::{Marker, OutputState};

use super::assembly::{World, tracker_options};
use super::output;
use crate::settings::Settings;

/// Forms a new cluster from this node's data, and reports what may be lost.
pub(super) async fn new_cluster(settings: &Settings) -> anyhow::Result<()> {
    let world = World::of_this_machine();
    // First: the cluster can be forced only once, and the output has to follow it.
    let (copy, own) = (settings.clone(), world.clone());
    let looked = output::blocking(move || {
        let place = output::place(&copy, &own)?;
        let found = place.look()?;
        Ok((place, found))
    });
    let (place, found) = looked.await.context("the dataset (--output)")?;
    let made = force_new_cluster(&tracker_options(settings, &world, None, None)).await?;
    let NewCluster { old, new, last_known, goes_on_at, kept_log } = made;
    // Its drafts and their leases belong to the new cluster as well.
    if let OutputState::Marked(marker) = found
        && marker.cluster == old.0
    {
        let passed = output::blocking(move || Ok(place.pass_on(Marker { cluster: new.0, ..marker })?));
        passed.await.context("the dataset (--output)")?;
    }
    tracing::warn!(
        "cluster {old} is given up; node {} is the only member of the new cluster {new}, which continues at log entry \
         {goes_on_at}. What it does not have is lost: whatever the lost members acknowledged behind entry {last_known}, its \
         last. The data directories of the other members are refused from now on; this node's old log is kept in {}",
        settings.id,
        kept_log.display()
    );
    tracing::warn!(
        "start this node again without --force-new-cluster; let the others in with `twm-ctl member add`, each with an empty \
         --data-dir and once with --adopt-output, and make voters of two of them with `twm-ctl member promote`"
    );
    Ok(())
}
