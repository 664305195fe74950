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

    /// The connection to a node for a purpose, made when there is none that holds.
    pub(crate) async fn get(
        &self,
        node: NodeId,
        address: &str,
        purpose: Purpose,
    ) -> Result<Connection, ConnectError> {
        let slot = self.slot(node, purpose);
        let mut open = slot.lock().await;
        // A node that was restarted has closed the old one: to try it first would tell that the node is away.
        let usable = |open: &&Open| open.address == address && !open.connection.has_ended();
        if let Some(open) = open.as_ref().filter(usable) {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::{Duration, sleep, timeout};

    use super::*;
    use crate::wire::{Welcome, receive_greeting, send_welcome};

    #[tokio::test]
    async fn a_connection_that_its_node_closed_is_made_anew_and_one_that_holds_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let peers = Peers::of_cluster("test".to_owned());
        let get = async || peers.get(7, &address, Purpose::Api).await.unwrap();
        let welcome = async || {
            let (stream, _) = receive_greeting(listener.accept().await.unwrap().0).await.unwrap();
            send_welcome(stream, &Welcome::Welcome).await.unwrap()
        };
        let (first, held) = tokio::join!(get(), welcome());
        assert!(!get().await.has_ended(), "nobody accepts a second one");
        drop(held);
        let ended = async {
            while !first.has_ended() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), ended).await.unwrap();
        let (second, _held) = tokio::join!(get(), welcome());
        assert!(!second.has_ended());
    }
}
