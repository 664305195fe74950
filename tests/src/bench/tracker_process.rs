//! A process that runs only a tracker, so that no crawl disturbs the measurement.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::model::NodeId;
use api::wire::Tls;
use raft::server::{Tracker, TrackerOptions};
use storage::env::{SystemClock, SystemEntropy};
use storage::net::trust::Trust;
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::{CLUSTER, certificate, node_certificate};

/// Arguments of a tracker process.
#[derive(Debug, clap::Args)]
pub struct TrackerArguments {
    /// Its node.
    #[arg(long)]
    id: NodeId,
    /// All nodes; empty for a node that joins.
    #[arg(long, value_delimiter = ',', value_parser = peer)]
    peers: Vec<(NodeId, String)>,
    /// Members of the cluster to join.
    #[arg(long, value_delimiter = ',')]
    join: Vec<String>,
    /// Folder with the certificate; no TLS without it.
    #[arg(long)]
    certificates: Option<PathBuf>,
    /// Its disk.
    #[arg(long)]
    data_dir: PathBuf,
    /// Address to listen on, if different from the address that the other nodes use.
    #[arg(long)]
    listen: Option<String>,
    /// How many vote.
    #[arg(long)]
    voters: Option<usize>,
    /// Shortest election timeout, ms.
    #[arg(long)]
    election_timeout: Option<u64>,
}

fn peer(text: &str) -> anyhow::Result<(NodeId, String)> {
    let (id, address) = text.split_once('=').context("a peer is ID=HOST:PORT")?;
    Ok((id.parse()?, address.to_owned()))
}

/// Runs a tracker until SIGTERM.
///
/// # Errors
/// The tracker cannot start, or fails.
pub async fn run_tracker(arguments: TrackerArguments) -> anyhow::Result<()> {
    let TrackerArguments { id, peers, join, certificates, data_dir, listen, voters, election_timeout } =
        arguments;
    let peers: BTreeMap<_, _> = peers.into_iter().collect();
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()));
    let mut options = TrackerOptions::new(id, CLUSTER.to_owned(), peers, data_dir, clock, entropy);
    options.listen = listen;
    options.join = join;
    if let Some(folder) = certificates {
        let trust = Trust::load(certificate(&folder, &node_certificate(id)))?;
        options.dial = Arc::new(Tls(trust.clone()));
        options.trust = Some(trust);
    }
    options.voters = voters;
    if let Some(shortest) = election_timeout.map(Duration::from_millis) {
        options.election_timeout = (shortest, shortest * 3 / 2);
    }
    let tracker = Tracker::start(options).await?;
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = stop.recv() => tracker.stop().await,
        reason = tracker.failed() => bail!("the replica cannot continue: {reason}"),
    }
    Ok(())
}
