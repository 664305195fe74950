//! A simulated network of calls. Every message is delivered by the world's clock, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use serde::Serialize;
use storage::env::{Entropy, SeededEntropy};
use tarpc::client::RpcError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::model::NodeId;
use crate::server::{Bound, Host, Listen};
use crate::wire::{
    ApiError, ApiReply, ApiRequest, CallError, Called, Calls, ConnectError, Connection, Dial, Forwarded,
    Greeting, JoinAnswer, JoinRequest, Purpose, bounds,
};

use super::trace::Trace;

/// How long a node waits for an unreachable peer.
const CONNECT: Duration = Duration::from_secs(2);

/// Longest time until the sender of a lost message learns of it; by then every caller has given up.
const LOST: Duration = Duration::from_secs(30);

/// Longest replication message, bytes: the longest command here, or
/// [`MOST_REPLICATED`](super::disks::MOST_REPLICATED) of shorter ones.
const LONGEST_APPEND: usize = 12 << 10;

/// Faults of the network. A link has a direction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Weather {
    /// Links that drop everything.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Links with additional delay.
    pub(super) slow: BTreeMap<(NodeId, NodeId), Duration>,
    /// Lost messages per thousand.
    pub(super) lost: u64,
    /// Messages of Raft that arrive twice, per thousand.
    pub(super) doubled: u64,
    /// Whether messages may be reordered.
    pub(super) reordered: bool,
}

/// Delivers a message.
type Delivery = Box<dyn FnOnce() + Send>;

/// The listener of an address, its number, and its runtime.
#[derive(Clone)]
struct Listening {
    number: u64,
    host: Arc<dyn Host>,
    runtime: Handle,
}

/// The longest call that a node reads on a connection of this purpose, bytes: [`bounds::longest_frame`], but less for
/// replication, because logs are short here.
fn longest_call(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Replication => LONGEST_APPEND,
        other => bounds::longest_frame(other),
    }
}

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct SimNet(Arc<Inner>);

struct Inner {
    now: Mutex<Duration>,
    /// Messages in flight, by time of arrival.
    due: Mutex<BTreeMap<(Duration, u64), Delivery>>,
    sent: AtomicU64,
    /// Answers whose calls were dropped with a killed process. Those who wait for them are notified at the next tick,
    /// in the order of the calls: a runtime drops its tasks in an order that depends on what ran in the process
    /// before.
    given_up: Mutex<BTreeMap<u64, Delivery>>,
    hosts: Mutex<BTreeMap<String, Listening>>,
    listeners: AtomicU64,
    /// The called side of each connection, by listener.
    called: Mutex<BTreeMap<u64, Vec<Connection>>>,
    weather: Mutex<Weather>,
    /// The first call that is longer than its receiver reads.
    too_long: Mutex<Option<String>>,
    dice: SeededEntropy,
    trace: Trace,
    /// The path of the world's folder, which occurs in errors and differs between runs.
    folder: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The address of a node.
pub(super) fn address(node: NodeId) -> String {
    format!("node{node}:8000")
}

fn node_at(address: &str) -> Option<NodeId> {
    address.strip_prefix("node")?.split(':').next()?.parse().ok()
}

impl SimNet {
    pub(super) fn new(seed: u64, trace: Trace, folder: &Path) -> Self {
        Self(Arc::new(Inner {
            now: Mutex::default(),
            due: Mutex::default(),
            sent: AtomicU64::default(),
            given_up: Mutex::default(),
            hosts: Mutex::default(),
            listeners: AtomicU64::default(),
            called: Mutex::default(),
            weather: Mutex::default(),
            too_long: Mutex::default(),
            dice: SeededEntropy::new(seed),
            trace,
            folder: folder.as_os_str().as_encoded_bytes().to_owned(),
        }))
    }

    /// One node's view of the network; 0 is the operator.
    pub(super) fn of(&self, node: NodeId) -> Arc<SimPort> {
        Arc::new(SimPort { net: self.clone(), node })
    }

    /// Changes the faults of the network.
    pub(super) fn change_weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.0.weather));
    }

    /// What no network would carry.
    pub(super) fn wrong(&self) -> Option<String> {
        lock(&self.0.too_long).clone()
    }

    /// Advances the time; delivers what has arrived.
    pub(super) fn advance_to(&self, now: Duration) {
        *lock(&self.0.now) = now;
        let given_up = std::mem::take(&mut *lock(&self.0.given_up));
        given_up.into_values().for_each(drop);
        loop {
            let next = {
                let mut due = lock(&self.0.due);
                match due.first_key_value() {
                    Some(((at, _), _)) if *at <= now => due.pop_first(),
                    _ => None,
                }
            };
            let Some((_, deliver)) = next else { return };
            deliver();
        }
    }

    /// Drops all messages in flight, so that nothing of a dead world remains.
    pub(super) fn clear(&self) {
        let due = std::mem::take(&mut *lock(&self.0.due));
        drop(due);
        let given_up = std::mem::take(&mut *lock(&self.0.given_up));
        drop(given_up);
        lock(&self.0.hosts).clear();
        let called = std::mem::take(&mut *lock(&self.0.called));
        drop(called);
    }

    fn now(&self) -> Duration {
        *lock(&self.0.now)
    }

    fn post(&self, at: Duration, deliver: Delivery) {
        let number = self.0.sent.fetch_add(1, Ordering::Relaxed);
        lock(&self.0.due).insert((at, number), deliver);
    }

    fn one_in_thousand(&self, chance: u64) -> bool {
        chance > 0 && self.0.dice.next_u64() % 1_000 < chance
    }

    fn latency(&self, from: NodeId, to: NodeId) -> Duration {
        let slow = lock(&self.0.weather).slow.get(&(from, to)).copied().unwrap_or_default();
        slow + Duration::from_micros(500 + self.0.dice.next_u64() % 2_000)
    }

    /// Size and checksum of a message.
    fn packed(&self, value: &(impl Serialize + ?Sized)) -> (usize, u32) {
        let mut bytes = postcard::to_stdvec(value).unwrap_or_default();
        let size = bytes.len();
        let folder = &self.0.folder;
        let begins = |at: &usize| folder.first() == bytes.get(*at) && bytes[*at..].starts_with(folder);
        if let Some(at) = (0..bytes.len()).find(begins).filter(|_| !folder.is_empty()) {
            bytes.drain(at..at + folder.len());
        }
        (size, crc32fast::hash(&bytes))
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        lock(&self.0.weather).cut.contains(&(from, to))
    }
}

/// A node's port to the network.
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

/// A host serves the address while this exists.
struct Open<'a>(&'a SimBound, u64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let inner = &self.0.net.0;
        let mut hosts = lock(&inner.hosts);
        let left = hosts.get(&self.0.address).is_some_and(|listening| listening.number == self.1);
        let left = left.then(|| hosts.remove(&self.0.address));
        drop(hosts);
        let ended = lock(&inner.called).remove(&self.1);
        drop((left, ended));
    }
}

impl Bound for SimBound {
    fn serve(&self, host: Arc<dyn Host>) -> BoxFuture<'_, ()> {
        async move {
            let number = self.net.0.listeners.fetch_add(1, Ordering::Relaxed);
            let listening = Listening { number, host, runtime: Handle::current() };
            lock(&self.net.0.hosts).insert(self.address.clone(), listening);
            let _open = Open(self, number);
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
            let to = node_at(address).ok_or_else(|| unreachable("there is no such address"))?;
            let line = Line { net: self.net.clone(), from: self.node, to, address: address.to_owned() };
            let (answer, answered) = oneshot::channel();
            let longest = longest_call(greeting.purpose);
            let (there, greeting) = (line.clone(), greeting.clone());
            line.send(0, "connect", (0, 0), None, move || {
                let greeted = there.greet(&greeting);
                there.send(1, "connect", (0, 0), None, move || drop(answer.send(greeted)));
            });
            match timeout(CONNECT, answered).await {
                Ok(Ok(Some(Ok(number)))) => {
                    Ok(Connection::over(Arc::new(SimCalls { line, number, last: Arc::default(), longest })))
                }
                Ok(Ok(Some(Err(refused)))) => {
                    Err(ConnectError::Refused { address: address.to_owned(), refused })
                }
                Ok(Ok(None) | Err(_)) => Err(unreachable("nobody listens")),
                Err(_) => Err(unreachable("no answer")),
            }
        }
        .boxed()
    }
}

/// The link from one node to another and back.
#[derive(Clone)]
struct Line {
    net: SimNet,
    from: NodeId,
    to: NodeId,
    address: String,
}

/// Arrival of the last message, in both directions.
type Last = Arc<Mutex<[Duration; 2]>>;

impl Line {
    /// Sends a message there (0) or back (1). The sender of a lost one stays in doubt.
    fn send(
        &self,
        way: usize,
        what: &'static str,
        (bytes, digest): (usize, u32),
        last: Option<&Last>,
        deliver: impl FnOnce() + Send + 'static,
    ) {
        let (from, to) = if way == 0 { (self.from, self.to) } else { (self.to, self.from) };
        let net = self.net.clone();
        let mut arrives = net.now() + net.latency(from, to);
        let reordered = lock(&net.0.weather).reordered;
        if let Some(last) = last {
            let mut last = lock(last);
            if !reordered {
                arrives = arrives.max(last[way]);
            }
            last[way] = last[way].max(arrives);
        }
        let lost = net.one_in_thousand(lock(&net.0.weather).lost);
        let inner = Arc::downgrade(&net.0);
        net.post(
            arrives,
            Box::new(move || {
                let Some(inner) = inner.upgrade() else { return };
                let net = SimNet(inner);
                if lost || net.is_cut(from, to) {
                    let doubt = net.now() + LOST;
                    return net.post(doubt, Box::new(move || drop(deliver)));
                }
                net.0.trace.note(format_args!("{from} {to} {what} {bytes} {digest:08x}"));
                deliver();
            }),
        );
    }

    /// The current listener accepts the connection or not; `None` if there is none.
    fn greet(&self, greeting: &Greeting) -> Option<Result<(u64, usize), crate::wire::Refused>> {
        let listening = lock(&self.net.0.hosts).get(&self.address).cloned()?;
        let _inside = listening.runtime.enter();
        let calls = match listening.host.direct(greeting) {
            Ok(calls) => calls,
            Err(refused) => return Some(Err(refused)),
        };
        let mut called = lock(&self.net.0.called);
        let connections = called.entry(listening.number).or_default();
        connections.push(calls);
        Some(Ok((listening.number, connections.len() - 1)))
    }

    /// The called side of a connection and its runtime, as long as it listens.
    fn called(&self, (listener, number): (u64, usize)) -> Option<(Connection, Handle)> {
        let hosts = lock(&self.net.0.hosts);
        let listening = hosts.get(&self.address).filter(|listening| listening.number == listener)?;
        let called = lock(&self.net.0.called);
        let connection = called.get(&listener)?.get(number)?;
        Some((connection.clone(), listening.runtime.clone()))
    }
}

/// The answer to a call in flight.
struct Answer<A: Send + 'static> {
    net: SimNet,
    number: u64,
    to: Option<oneshot::Sender<Result<A, CallError>>>,
}

impl<A: Send + 'static> Answer<A> {
    fn send(mut self, result: Result<A, CallError>) {
        // The caller may have given up.
        let _ = self.to.take().map(|to| to.send(result));
    }
}

impl<A: Send + 'static> Drop for Answer<A> {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            lock(&self.net.0.given_up).insert(self.number, Box::new(move || drop(to)));
        }
    }
}

/// A connection.
struct SimCalls {
    line: Line,
    number: (u64, usize),
    last: Last,
    /// The longest call that the other side reads, bytes.
    longest: usize,
}

impl SimCalls {
    fn exchange<A: Serialize + Send + 'static>(
        &self,
        patience: Duration,
        what: &'static str,
        asked: &(impl Serialize + ?Sized),
        call: impl Fn(Connection) -> BoxFuture<'static, Result<A, CallError>> + Send + 'static,
    ) -> Called<'static, A> {
        let size = self.line.net.packed(asked);
        if size.0 > self.longest {
            let (from, to, bytes, longest) = (self.line.from, self.line.to, size.0, self.longest);
            let what = format!("node {from} sends {bytes} bytes to node {to}, which reads {longest} at most");
            lock(&self.line.net.0.too_long).get_or_insert(what);
        }
        let (to, answered) = oneshot::channel();
        let net = self.line.net.clone();
        let number = net.0.sent.fetch_add(1, Ordering::Relaxed);
        let answer = Answer { net, number, to: Some(to) };
        let (line, number, last) = (self.line.clone(), self.number, Arc::clone(&self.last));
        let doubled = what == "raft" && line.net.one_in_thousand(lock(&line.net.0.weather).doubled);
        self.line.send(0, what, size, Some(&self.last), move || {
            // Without a listener the answer is dropped, and the connection ends.
            let Some((connection, runtime)) = line.called(number) else { return };
            if doubled {
                runtime.spawn(call(connection.clone()));
            }
            let called = call(connection);
            runtime.spawn(async move {
                let result = called.await;
                let size = result.as_ref().map_or((0, 0), |answer| line.net.packed(answer));
                line.send(1, what, size, Some(&last), move || answer.send(result));
            });
        });
        async move {
            match timeout(patience, answered).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(CallError::Rpc(RpcError::Shutdown)),
                Err(_) => Err(CallError::Rpc(RpcError::DeadlineExceeded)),
            }
        }
        .boxed()
    }
}

impl Calls for SimCalls {
    fn api(&self, patience: Duration, request: ApiRequest) -> Called<'_, Result<ApiReply, ApiError>> {
        self.exchange(patience, "api", &request.clone(), move |called| {
            let request = request.clone();
            async move { called.api(patience, request).await }.boxed()
        })
    }

    fn forwarded(&self, patience: Duration, call: Forwarded) -> Called<'_, Result<ApiReply, ApiError>> {
        self.exchange(patience, "forwarded", &call.clone(), move |called| {
            let call = call.clone();
            async move { called.forwarded(patience, call).await }.boxed()
        })
    }

    fn raft(&self, patience: Duration, message: Bytes) -> Called<'_, Result<Bytes, String>> {
        self.exchange(patience, "raft", &message.clone(), move |called| {
            let message = message.clone();
            async move { called.raft(patience, message).await }.boxed()
        })
    }

    fn join(&self, patience: Duration, request: JoinRequest) -> Called<'_, JoinAnswer> {
        self.exchange(patience, "join", &request.clone(), move |called| {
            let request = request.clone();
            async move { called.join(patience, request).await }.boxed()
        })
    }

    fn has_ended(&self) -> bool {
        self.line.called(self.number).is_none()
    }
}
