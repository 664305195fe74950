//! Shared connections to the other members, one for each purpose.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::{ClusterId, MemberId};
use crate::wire::{ConnectError, Connection, Dial, Greeting, Purpose, Refused};

use super::acknowledged::{Acknowledged, LostEntries};

/// The connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterId,
    own: MemberId,
    dial: Arc<dyn Dial>,
    /// Addresses of the members. They are looked up at each connect, because replication streams outlive a change of
    /// address.
    addresses: Mutex<BTreeMap<MemberId, String>>,
    slots: Mutex<HashMap<(MemberId, Purpose), Slot>>,
    /// Members that could not be reached at the last attempt.
    out_of_reach: Mutex<HashSet<MemberId>>,
    acknowledged: Acknowledged,
    /// Why this member has to stop, once another member has said so.
    retired: watch::Sender<Option<String>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Open>>>;

struct Open {
    address: String,
    connection: Connection,
}

/// Why there is no connection to a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the address of member {0} is not known")]
    NoAddress(MemberId),
    #[error(transparent)]
    Lost(#[from] LostEntries),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peers {
    pub(crate) fn of(cluster: ClusterId, own: MemberId, dial: Arc<dyn Dial>) -> Self {
        let inner = Inner {
            cluster,
            own,
            dial,
            addresses: Mutex::default(),
            slots: Mutex::default(),
            out_of_reach: Mutex::default(),
            acknowledged: Acknowledged::default(),
            retired: watch::Sender::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// This member.
    pub(crate) fn own(&self) -> MemberId {
        self.inner.own
    }

    /// What the followers of this leader have acknowledged.
    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.inner.acknowledged
    }

    /// Notifies when another member has said that this one has to stop, and why.
    pub(crate) fn retired(&self) -> watch::Receiver<Option<String>> {
        self.inner.retired.subscribe()
    }

    /// Records the address of a member.
    pub(crate) fn learn_address(&self, member: MemberId, address: &str) {
        lock(&self.inner.addresses).insert(member, address.to_owned());
    }

    /// The address of a member.
    pub(crate) fn address_of(&self, member: MemberId) -> Option<String> {
        lock(&self.inner.addresses).get(&member).cloned()
    }

    /// The connection to a member for a purpose; a new one if none is usable.
    pub(crate) async fn get(&self, member: MemberId, purpose: Purpose) -> Result<Connection, PeerError> {
        if let Some(lost) = self.inner.acknowledged.lost(member) {
            return Err(lost.into());
        }
        let address = self.address_of(member).ok_or(PeerError::NoAddress(member))?;
        let slot = self.slot(member, purpose);
        let mut open = slot.lock().await;
        // A restarted node has closed the old connection; trying it first would report the node as
        // unreachable.
        let usable = |open: &&Open| open.address == address && !open.connection.has_ended();
        if let Some(open) = open.as_ref().filter(usable) {
            return Ok(open.connection.clone());
        }
        let greeting = Greeting::of_member(purpose, self.inner.cluster, self.inner.own, member);
        let connected = self.inner.dial.dial(&address, &greeting).await;
        self.note(member, &address, connected.as_ref().err());
        let connection = connected?;
        *open = Some(Open { address, connection: connection.clone() });
        Ok(connection)
    }

    /// Drops a connection that failed, so that the next call opens a new one.
    pub(crate) async fn forget(&self, member: MemberId, purpose: Purpose) {
        self.slot(member, purpose).lock().await.take();
    }

    /// Remembers a refusal which says that this disk is no longer a member's.
    pub(crate) fn note_refusal(&self, error: &ConnectError) {
        if let ConnectError::Refused { refused: Refused::Retired(why), .. } = error {
            self.inner.retired.send_replace(Some(why.clone()));
        }
    }

    /// Logs when a member becomes unreachable or reachable, not each attempt.
    fn note(&self, member: MemberId, address: &str, trouble: Option<&ConnectError>) {
        trouble.into_iter().for_each(|error| self.note_refusal(error));
        let mut out_of_reach = lock(&self.inner.out_of_reach);
        match trouble {
            Some(error) if out_of_reach.insert(member) => {
                tracing::warn!(peer = %member, address, %error, "cannot reach a peer");
            }
            None if out_of_reach.remove(&member) => {
                tracing::info!(peer = %member, address, "reached the peer again")
            }
            _ => {}
        }
    }

    fn slot(&self, member: MemberId, purpose: Purpose) -> Slot {
        Arc::clone(lock(&self.inner.slots).entry((member, purpose)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::{Duration, sleep, timeout};

    use super::*;
    use crate::wire::{Listener, Tcp, Welcome, receive_greeting, send_welcome};

    const CLUSTER: ClusterId = ClusterId(5);

    fn peers(own: u64) -> Peers {
        Peers::of(CLUSTER, MemberId::from(own), Arc::new(Tcp))
    }

    #[tokio::test]
    async fn a_connection_that_its_node_closed_is_replaced_and_one_that_holds_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peers, seven) = (peers(1), MemberId::from(7));
        peers.learn_address(seven, &listener.local_addr().unwrap().to_string());
        let get = async || peers.get(seven, Purpose::Api).await.unwrap();
        let welcome = async || {
            let (stream, greeting) = receive_greeting(listener.accept().await.unwrap().0).await.unwrap();
            let answer = greeting.answer(&Listener { cluster: Some(CLUSTER), member: seven });
            send_welcome(stream, &answer).await.unwrap()
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

    #[tokio::test]
    async fn a_member_that_is_told_that_it_was_replaced_knows_that_it_has_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peers, seven) = (peers(1), MemberId::from(7));
        peers.learn_address(seven, &listener.local_addr().unwrap().to_string());
        let refuse = async {
            let (stream, _) = receive_greeting(listener.accept().await.unwrap().0).await.unwrap();
            let refused = Welcome::Refused(Refused::Retired("it was replaced".to_owned()));
            send_welcome(stream, &refused).await.unwrap();
        };
        let (got, ()) = tokio::join!(peers.get(seven, Purpose::Control), refuse);
        assert!(got.is_err());
        assert_eq!(peers.retired().borrow().as_deref(), Some("it was replaced"));
    }
}
