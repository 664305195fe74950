//! Connections to the other nodes, one for each purpose, shared by all who talk to them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::model::NodeId;
use crate::wire::{ConnectError, Connection, Greeting, Purpose, connect};

/// The connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    cluster: String,
    slots: Arc<Mutex<HashMap<(NodeId, Purpose), Slot>>>,
    /// Nodes that could not be reached when it was last tried.
    out_of_reach: Arc<Mutex<HashSet<NodeId>>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Open>>>;

struct Open {
    address: String,
    connection: Connection,
}

impl Peers {
    pub(crate) fn of_cluster(cluster: String) -> Self {
        Self { cluster, slots: Arc::default(), out_of_reach: Arc::default() }
    }

    /// The connection to a node for a purpose, made when there is none.
    pub(crate) async fn get(
        &self,
        node: NodeId,
        address: &str,
        purpose: Purpose,
    ) -> Result<Connection, ConnectError> {
        let slot = self.slot(node, purpose);
        let mut open = slot.lock().await;
        if let Some(open) = open.as_ref().filter(|o| o.address == address) {
            return Ok(open.connection.clone());
        }
        let greeting = Greeting::new(purpose, Some(self.cluster.clone()), Some(node));
        let connected = connect(address, &greeting).await;
        self.note(node, address, connected.as_ref().err());
        let connection = connected?;
        *open = Some(Open { address: address.to_owned(), connection: connection.clone() });
        Ok(connection)
    }

    /// Forgets a connection that failed, so that the next call makes a new one.
    pub(crate) async fn forget(&self, node: NodeId, purpose: Purpose) {
        self.slot(node, purpose).lock().await.take();
    }

    /// Logs when a node gets out of reach or comes back, not each try.
    fn note(&self, node: NodeId, address: &str, trouble: Option<&ConnectError>) {
        let mut out_of_reach = self.out_of_reach.lock().unwrap_or_else(|e| e.into_inner());
        match trouble {
            Some(error) if out_of_reach.insert(node) => {
                tracing::warn!(peer = node, address, %error, "cannot reach a peer");
            }
            None if out_of_reach.remove(&node) => {
                tracing::info!(peer = node, address, "reached the peer again")
            }
            _ => {}
        }
    }

    fn slot(&self, node: NodeId, purpose: Purpose) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(|e| e.into_inner());
        Arc::clone(slots.entry((node, purpose)).or_default())
    }
}
