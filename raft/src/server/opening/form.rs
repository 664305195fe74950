//! Forming a cluster: the part of the node with the lowest id.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use storage::planted::{Bug, planted};
use tokio::time::sleep;

use crate::model::{ClusterId, NodeId};
use crate::server::tracker::{StartError, Tracker};
use crate::wire::{Formation, Greeting, JoinAnswer, JoinRequest};

use super::candidate::Candidacy;
use super::{ASK_TIMEOUT, Opened};

/// Pause between two attempts to tell a node that its cluster exists.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(200);

impl Candidacy {
    /// Collects the promises of all nodes. The inner error says what this node is waiting for.
    pub(super) async fn form(&self) -> Result<Result<Opened, String>, StartError> {
        if let Some(owner) = &self.options.output_owner {
            return Err(StartError::WouldForm { owner: owner.clone() });
        }
        let cluster = match self.promised_to().await {
            // An earlier attempt was interrupted.
            Some(cluster) => cluster,
            None => {
                let entropy = &self.options.entropy;
                ClusterId(u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64()))
            }
        };
        self.promise(cluster).await?;
        let own = self.own;
        let mut disks = BTreeMap::from([(own.node, own.disk)]);
        let others = || self.options.peers.iter().filter(|(id, _)| **id != own.node);
        let others =
            || others().filter(|(id, _)| !planted(Bug::MajorityForms) || self.disk_of(**id).is_some());
        for (&node, _) in others() {
            let Some(disk) = self.disk_of(node) else { return Ok(Err(format!("for node {node}"))) };
            disks.insert(node, disk);
        }
        let formation = Formation { cluster, name: self.options.cluster.clone(), disks };
        let asked = others().map(async |(&node, address)| {
            let answer = self.ask(address, Some(node), JoinRequest::Prepare(formation.clone())).await;
            let trouble = match answer {
                Ok(JoinAnswer::Done) => return None,
                Ok(JoinAnswer::NotNow(why) | JoinAnswer::Never(why)) | Err(why) => why,
                Ok(_) => "it answered something else".to_owned(),
            };
            Some(format!("node {node} ({trouble})"))
        });
        let missing: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        if !missing.is_empty() {
            return Ok(Err(format!("for the promise of {}", missing.join(", "))));
        }
        tracing::info!(%cluster, nodes = formation.disks.len(), "all nodes are there and empty: forming a cluster");
        let data = self.take_promised().await?;
        Ok(Ok(Opened { data, formation: Some(formation) }))
    }
}

/// Tells each of the others that the cluster exists, until it knows.
pub(in crate::server) async fn announce(tracker: Tracker, formation: Formation) {
    let own = tracker.member();
    let others = formation.disks.keys().copied().filter(|&node| node != own.node);
    let told = others.map(|node| announce_to(&tracker, node, formation.cluster));
    tokio::select! {
        biased;
        _ = join_all(told) => {}
        () = tracker.stopped() => {}
    }
}

async fn announce_to(tracker: &Tracker, node: NodeId, cluster: ClusterId) {
    let options = &tracker.inner.options;
    let Some(address) = options.peers.get(&node) else { return };
    let greeting = Greeting::of_candidate(tracker.member(), Some(node));
    loop {
        let told = async {
            let connection = options.dial.dial(address, &greeting).await.ok()?;
            connection.join(ASK_TIMEOUT, JoinRequest::Begin(cluster)).await.ok()
        };
        match told.await {
            Some(JoinAnswer::Done) => return,
            // It was replaced or emptied meanwhile; it will ask by itself.
            Some(JoinAnswer::Never(why) | JoinAnswer::NotNow(why)) => {
                tracing::warn!(node, "cannot be told that the cluster exists: {why}");
                return;
            }
            _ => sleep(ANNOUNCE_PAUSE).await,
        }
    }
}
