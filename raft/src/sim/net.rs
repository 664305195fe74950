//! A network: messages in their order take some milliseconds, and can be cut off. It writes all of them down.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use serde::Serialize;
use storage::env::{Entropy, SeededEntropy};
use tarpc::client::RpcError;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::model::NodeId;
use crate::server::{Bound, Host, Listen};
use crate::wire::{
    ApiError, ApiReply, ApiRequest, CallError, Called, Calls, ConnectError, Connection, Dial, Forwarded,
    Greeting, JoinAnswer, JoinRequest,
};

/// How long who connects waits for somebody out of reach.
const CONNECT: Duration = Duration::from_secs(2);

/// The number of a listener, and who answers there.
type Listening = (u64, Arc<dyn Host>);

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct SimNet(Arc<Inner>);

struct Inner {
    began: Instant,
    hosts: Mutex<BTreeMap<String, Listening>>,
    /// Counts the listeners, so that a connection ends with its own.
    listeners: Mutex<u64>,
    /// The called side of each connection, by listener.
    called: Mutex<BTreeMap<u64, Vec<Connection>>>,
    cut_off: Mutex<BTreeSet<NodeId>>,
    dice: SeededEntropy,
    trace: Mutex<Vec<String>>,
}

/// Where a node is.
pub(super) fn address(node: NodeId) -> String {
    format!("node{node}:8000")
}

fn node_at(address: &str) -> NodeId {
    address.trim_start_matches("node").split(':').next().and_then(|node| node.parse().ok()).unwrap()
}

impl SimNet {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            hosts: Mutex::default(),
            listeners: Mutex::default(),
            called: Mutex::default(),
            cut_off: Mutex::default(),
            dice: SeededEntropy::new(seed),
            trace: Mutex::default(),
        }))
    }

    /// What one node sees of it.
    pub(super) fn of(&self, node: NodeId) -> Arc<SimPort> {
        Arc::new(SimPort { net: self.clone(), node })
    }

    /// Nothing comes from these nodes any more, and nothing gets there.
    pub(super) fn cut_off(&self, nodes: impl IntoIterator<Item = NodeId>) {
        *self.0.cut_off.lock().unwrap() = nodes.into_iter().collect();
    }

    /// Writes something down.
    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let at = self.0.began.elapsed().as_micros();
        self.0.trace.lock().unwrap().push(format!("{at} {what}"));
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.0.trace.lock().unwrap().clone()
    }

    fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        let cut_off = self.0.cut_off.lock().unwrap();
        !cut_off.contains(&from) && !cut_off.contains(&to)
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(500 + self.0.dice.next_u64() % 2_000)
    }
}

/// A node's part of the network.
pub(super) struct SimPort {
    net: SimNet,
    node: NodeId,
}

impl Listen for SimPort {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Bound>>> {
        let bound = SimBound { net: self.net.clone(), address: address.to_owned() };
        async move { Ok(Box::new(bound) as Box<dyn Bound>) }.boxed()
    }
}

struct SimBound {
    net: SimNet,
    address: String,
}

/// Somebody answers at the address while this lives.
struct Open<'a>(&'a SimBound, u64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut hosts = self.0.net.0.hosts.lock().unwrap();
        if hosts.get(&self.0.address).is_some_and(|(listener, _)| *listener == self.1) {
            hosts.remove(&self.0.address);
        }
        drop(hosts);
        let ended = self.0.net.0.called.lock().unwrap().remove(&self.1);
        drop(ended);
    }
}

impl Bound for SimBound {
    fn serve(&self, host: Arc<dyn Host>) -> BoxFuture<'_, ()> {
        async move {
            let listener = {
                let mut listeners = self.net.0.listeners.lock().unwrap();
                *listeners += 1;
                *listeners
            };
            self.net.0.hosts.lock().unwrap().insert(self.address.clone(), (listener, host));
            let _open = Open(self, listener);
            pending().await
        }
        .boxed()
    }
}

impl Dial for SimPort {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        greeting: &'a Greeting,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        async move {
            let unreachable = |what: &str| ConnectError::Unreachable {
                address: address.to_owned(),
                source: io::Error::other(what.to_owned()),
            };
            let to = node_at(address);
            sleep(self.net.latency() * 2).await;
            if !self.net.reaches(self.node, to) {
                sleep(CONNECT).await;
                return Err(unreachable("no answer"));
            }
            let host = self.net.0.hosts.lock().unwrap().get(address).cloned();
            let (listener, host) = host.ok_or_else(|| unreachable("nobody listens"))?;
            let calls = host
                .direct(greeting)
                .map_err(|refused| ConnectError::Refused { address: address.to_owned(), refused })?;
            self.net.note(format!("{} connects to {to} for {:?}", self.node, greeting.purpose));
            let number = {
                let mut called = self.net.0.called.lock().unwrap();
                let connections = called.entry(listener).or_default();
                connections.push(calls);
                connections.len() - 1
            };
            let (net, ways) = (self.net.clone(), Default::default());
            let calls =
                SimCalls { net, from: self.node, to, address: address.to_owned(), listener, number, ways };
            Ok(Connection::over(Arc::new(calls)))
        }
        .boxed()
    }
}

/// A connection.
struct SimCalls {
    net: SimNet,
    from: NodeId,
    to: NodeId,
    address: String,
    listener: u64,
    number: usize,
    /// When the last message arrives, there and back: none overtakes another.
    ways: Mutex<[Option<Instant>; 2]>,
}

impl SimCalls {
    /// The called side, as long as it listens.
    fn called(&self) -> Result<Connection, CallError> {
        let called = self.net.0.called.lock().unwrap();
        let connection = called.get(&self.listener).and_then(|connections| connections.get(self.number));
        connection.cloned().ok_or(CallError::Rpc(RpcError::Shutdown))
    }

    /// Carries a message one way, in the order of the messages.
    async fn carry(&self, way: usize, what: &str, bytes: usize, digest: u32) {
        let (from, to) = if way == 0 { (self.from, self.to) } else { (self.to, self.from) };
        let arrives = {
            let mut ways = self.ways.lock().unwrap();
            let arrives = (Instant::now() + self.net.latency()).max(ways[way].unwrap_or(self.net.0.began));
            ways[way] = Some(arrives);
            arrives
        };
        sleep_until(arrives).await;
        if !self.net.reaches(from, to) || self.has_ended() {
            pending::<()>().await;
        }
        self.net.note(format!("{from} {to} {what} {bytes} {digest:08x}"));
    }

    async fn exchange<Q: Serialize, A: Serialize>(
        &self,
        patience: Duration,
        what: &str,
        asked: &Q,
        call: Called<'_, A>,
    ) -> Result<A, CallError> {
        let exchanged = async {
            let (bytes, digest) = packed(asked);
            self.carry(0, what, bytes, digest).await;
            let answer = call.await?;
            let (bytes, digest) = packed(&answer);
            self.carry(1, what, bytes, digest).await;
            Ok(answer)
        };
        timeout(patience, exchanged).await.unwrap_or(Err(CallError::Rpc(RpcError::DeadlineExceeded)))
    }
}

fn packed(value: &impl Serialize) -> (usize, u32) {
    let bytes = postcard::to_stdvec(value).unwrap();
    (bytes.len(), crc32fast::hash(&bytes))
}

impl Calls for SimCalls {
    fn api(&self, patience: Duration, request: ApiRequest) -> Called<'_, Result<ApiReply, ApiError>> {
        async move {
            let called = self.called()?;
            let call = called.api(patience, request.clone());
            self.exchange(patience, "api", &request, call).await
        }
        .boxed()
    }

    fn forwarded(&self, patience: Duration, call: Forwarded) -> Called<'_, Result<ApiReply, ApiError>> {
        async move {
            let called = self.called()?;
            let served = called.forwarded(patience, call.clone());
            self.exchange(patience, "forwarded", &call, served).await
        }
        .boxed()
    }

    fn raft(&self, patience: Duration, message: Bytes) -> Called<'_, Result<Bytes, String>> {
        async move {
            let called = self.called()?;
            let call = called.raft(patience, message.clone());
            self.exchange(patience, "raft", &message, call).await
        }
        .boxed()
    }

    fn join(&self, patience: Duration, request: JoinRequest) -> Called<'_, JoinAnswer> {
        async move {
            let called = self.called()?;
            let call = called.join(patience, request.clone());
            self.exchange(patience, "join", &request, call).await
        }
        .boxed()
    }

    fn has_ended(&self) -> bool {
        let hosts = self.net.0.hosts.lock().unwrap();
        hosts.get(&self.address).is_none_or(|(listener, _)| *listener != self.listener)
    }
}
