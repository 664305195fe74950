//! A process that is a tracker and nothing else, so that no crawl disturbs what is measured of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::model::NodeId;
use raft::server::{Tracker, TrackerOptions};
use storage::env::{SystemClock, SystemEntropy};
use tokio::signal::unix::{SignalKind, signal};

/// What a tracker process is told.
#[derive(Debug, clap::Args)]
pub struct TrackerArguments {
    /// Its node.
    #[arg(long)]
    id: NodeId,
    /// All nodes.
    #[arg(long, value_delimiter = ',', value_parser = peer)]
    peers: Vec<(NodeId, String)>,
    /// Its disk.
    #[arg(long)]
    data_dir: PathBuf,
}

fn peer(text: &str) -> anyhow::Result<(NodeId, String)> {
    let (id, address) = text.split_once('=').context("a peer is ID=HOST:PORT")?;
    Ok((id.parse()?, address.to_owned()))
}

/// Runs a tracker until it is told to stop.
///
/// # Errors
/// What kept it from starting or from going on.
pub async fn run_tracker(arguments: TrackerArguments) -> anyhow::Result<()> {
    let TrackerArguments { id, peers, data_dir } = arguments;
    let peers: BTreeMap<_, _> = peers.into_iter().collect();
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
    let options = TrackerOptions::new(id, "bench".to_owned(), peers, data_dir, clock, entropy);
    let tracker = Tracker::start(options).await?;
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = stop.recv() => tracker.stop().await,
        reason = tracker.failed() => bail!("the replica cannot go on: {reason}"),
    }
    Ok(())
}
