//! A hostile host. It speaks the protocol by hand, since the client would not send such data.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use api::model::{
    ClusterId, DiskId, Finding, JobId, LeaseId, MemberId, Query, Report, RequestId, SessionId, Wants, Write,
};
use api::wire::{ApiRequest, Greeting, NodeRequest, Purpose, Welcome, greet};
use serde::Serialize;
use storage::net::trust::Trust;
use tarpc::trace;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::world::timelines;

/// The attacker's own host on the loopback network.
const HOST: Ipv4Addr = Ipv4Addr::new(127, 66, 66, 66);

/// Connections per attack to each node. One host may have 256 for a purpose.
const CONNECTIONS: usize = 300;
/// The same for attacks that keep the processor busy: this test is about memory.
const BUSY_CONNECTIONS: usize = 24;

/// Calls sent on a connection before an answer is read.
const CALLS: usize = 64;

/// Pause of a connection between two attacks.
const PAUSE: Duration = Duration::from_millis(500);

/// Duration of a turn.
const TURN: Duration = Duration::from_secs(5);
const TURNS: usize = 3;

/// Time in which every attack is tried.
pub(super) const ROUND: Duration = Duration::from_secs(TURNS as u64 * TURN.as_secs());

/// Timeout of an answer.
const LISTEN: Duration = Duration::from_secs(2);

/// Kinds of attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attack {
    /// Connections that never send a greeting.
    Silence,
    /// Connections that claim to be a Raft peer, a node that forwards calls, or a joining node, and send nothing
    /// more.
    Impostors,
    /// Frames of the maximum length of which only half is sent.
    HalfFrames,
    /// Reports with the maximum number of findings, a few bytes each.
    DenseReports,
    /// Commands just under the maximum frame length.
    LongCommands,
    /// Drains of nodes that do not exist.
    MadeUpDrains,
    /// Queries whose answers are not read.
    UntakenAnswers,
    /// Calls with a timeout of a day.
    LongWaits,
}

impl Attack {
    pub(super) const ALL: [Self; 8] = [
        Self::Silence,
        Self::Impostors,
        Self::HalfFrames,
        Self::DenseReports,
        Self::LongCommands,
        Self::MadeUpDrains,
        Self::UntakenAnswers,
        Self::LongWaits,
    ];

    /// Attacks that permanently occupy a host's connections or memory keep its other attacks out, so they take turns.
    /// `None` for attacks that need neither.
    fn turn(self) -> Option<usize> {
        match self {
            Self::Silence | Self::Impostors => None,
            Self::DenseReports | Self::LongCommands | Self::MadeUpDrains => Some(0),
            Self::HalfFrames => Some(1),
            Self::UntakenAnswers | Self::LongWaits => Some(2),
        }
    }

    fn connections(self) -> usize {
        match self {
            Self::Silence | Self::Impostors | Self::HalfFrames => CONNECTIONS,
            Self::UntakenAnswers | Self::LongWaits => 4 * BUSY_CONNECTIONS,
            Self::DenseReports | Self::LongCommands | Self::MadeUpDrains => BUSY_CONNECTIONS,
        }
    }
}

/// Counters of an attack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) tried: u64,
    pub(super) welcomed: u64,
    pub(super) refused: u64,
    /// Connections on which an answer was received.
    pub(super) answered: u64,
}

/// The hostile host. It attacks until it is dropped.
pub(super) struct Attacker {
    tasks: JoinSet<()>,
    done: Arc<Mutex<BTreeMap<Attack, Done>>>,
}

/// A connection, with or without TLS.
trait Connected: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connected for S {}
type Stream = Box<dyn Connected>;

/// The part of one connection in an attack.
#[derive(Clone)]
struct Part {
    attack: Attack,
    /// Number of the connection.
    number: usize,
    node: u64,
    address: SocketAddr,
    trust: Option<Trust>,
    cluster: ClusterId,
    done: Arc<Mutex<BTreeMap<Attack, Done>>>,
}

/// A call in the protocol's encoding.
#[derive(Serialize)]
enum Message {
    Request { may_take: Duration, trace: trace::Context, id: u64, call: Call },
}

#[derive(Serialize)]
enum Call {
    Api { request: ApiRequest },
}

impl Attacker {
    /// Starts every attack on every node.
    pub(super) async fn begin(
        nodes: Vec<(u64, SocketAddr)>,
        trust: Option<Trust>,
        cluster: ClusterId,
    ) -> anyhow::Result<Self> {
        let done = Arc::new(Mutex::new(Attack::ALL.map(|attack| (attack, Done::default())).into()));
        let mut tasks = JoinSet::new();
        let (turns, turn) = watch::channel(0);
        tasks.spawn(async move {
            loop {
                sleep(TURN).await;
                turns.send_modify(|turn| *turn = (*turn + 1) % TURNS);
            }
        });
        for (node, address) in nodes {
            for attack in Attack::ALL {
                for number in 0..attack.connections() {
                    let (trust, done) = (trust.clone(), Arc::clone(&done));
                    let part = Part { attack, number, node, address, trust, cluster, done };
                    tasks.spawn(part.attack(turn.clone()));
                }
            }
        }
        Ok(Self { tasks, done })
    }

    /// Stops and returns the counters.
    pub(super) async fn end(mut self) -> BTreeMap<Attack, Done> {
        self.tasks.shutdown().await;
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Part {
    /// Attacks repeatedly, in its turns.
    async fn attack(self, mut turn: watch::Receiver<usize>) {
        let own = self.attack.turn();
        loop {
            let is_own = |turn: &usize| own.is_none_or(|own| own == *turn);
            // The sender lives as long as this task.
            drop(turn.wait_for(is_own).await);
            let mut over = turn.clone();
            tokio::select! {
                // The node is expected to end the connection.
                _ended = self.once() => {}
                _over = over.wait_for(|turn| !is_own(turn)) => {}
            }
            sleep(PAUSE).await;
        }
    }

    fn note(&self, what: impl FnOnce(&mut Done)) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        what(done.entry(self.attack).or_default());
    }

    async fn connect(&self) -> anyhow::Result<Stream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((HOST, 0).into())?;
        let stream = socket.connect(self.address).await?;
        self.note(|done| done.tried += 1);
        Ok(match &self.trust {
            Some(trust) => Box::new(trust.connect(stream).await?.0),
            None => Box::new(stream),
        })
    }

    async fn greeted(&self, greeting: &Greeting) -> anyhow::Result<Stream> {
        let (stream, welcome) = greet(self.connect().await?, greeting).await?;
        match welcome {
            Welcome::Welcome { .. } => {
                self.note(|done| done.welcomed += 1);
                Ok(stream)
            }
            Welcome::Refused(refused) => {
                self.note(|done| done.refused += 1);
                Err(refused.into())
            }
        }
    }

    /// Attacks on one connection, until it ends or the attack is complete.
    async fn once(&self) -> anyhow::Result<()> {
        match self.attack {
            Attack::Silence => hold(self.connect().await?).await,
            Attack::Impostors => hold(self.greeted(&self.impostor()).await?).await,
            Attack::HalfFrames => {
                let mut stream = self.greeted(&Greeting::of_client()).await?;
                let length = 2u32 << 20;
                stream.write_all(&length.to_be_bytes()).await?;
                stream.write_all(&vec![0; length as usize / 2]).await?;
                stream.flush().await?;
                hold(stream).await
            }
            Attack::DenseReports => self.send(CALLS, &dense_report(), true).await,
            Attack::LongCommands => self.send(4, &long_command(), true).await,
            Attack::MadeUpDrains => {
                let first = drains_from();
                for node in first..first + CALLS as u64 {
                    let drain = ApiRequest::Write(Write::Drain { node, drained: true });
                    self.send(1, &drain, true).await?;
                }
                Ok(())
            }
            Attack::UntakenAnswers => {
                let status = ApiRequest::Query(Query::Status);
                self.send(100 * CALLS, &status, false).await
            }
            Attack::LongWaits => {
                let (session, wants, timeout_ms) = (SessionId(1), Wants::NONE, u32::MAX);
                let request = NodeRequest::WaitForWork { session, wants, timeout_ms };
                self.send(10 * CALLS, &ApiRequest::Node { node: self.node, request }, false).await
            }
        }
    }

    /// Sends a call many times, then waits for one answer or reads nothing.
    async fn send(&self, times: usize, request: &ApiRequest, listens: bool) -> anyhow::Result<()> {
        let mut stream = self.greeted(&Greeting::of_client()).await?;
        for id in 0..times as u64 {
            let may_take = Duration::from_secs(24 * 3600);
            let (trace, call) = (trace::Context::default(), Call::Api { request: request.clone() });
            let message = postcard::to_stdvec(&Message::Request { may_take, trace, id, call })?;
            stream.write_all(&u32::try_from(message.len())?.to_be_bytes()).await?;
            stream.write_all(&message).await?;
        }
        stream.flush().await?;
        if !listens {
            return hold_untaken(stream).await;
        }
        let mut length = [0; 4];
        timeout(LISTEN, stream.read_exact(&mut length)).await.context("no answer")??;
        self.note(|done| done.answered += 1);
        Ok(())
    }

    fn impostor(&self) -> Greeting {
        let to = MemberId { node: self.node, disk: DiskId(0) };
        let from = MemberId { node: 1 + self.number as u64 % 3, disk: DiskId(self.number as u64) };
        let purpose =
            [Purpose::Replication, Purpose::Control, Purpose::Snapshot, Purpose::Forward, Purpose::Joining]
                [self.number % 5];
        let mut greeting = Greeting::of_member(purpose, self.cluster, from, to);
        // Any host can find out which disk answers.
        greeting.to = None;
        greeting
    }
}

/// Reads until the node ends the connection.
async fn hold(mut stream: Stream) -> anyhow::Result<()> {
    let mut piece = [0; 1024];
    while stream.read(&mut piece).await? > 0 {}
    Ok(())
}

/// Reads nothing until the node ends the connection, which the write of a further byte detects.
async fn hold_untaken(mut stream: Stream) -> anyhow::Result<()> {
    loop {
        sleep(PAUSE).await;
        timeout(10 * LISTEN, stream.write_all(&[0])).await??;
        stream.flush().await?;
    }
}

/// Returns a new range of made-up nodes for each call.
fn drains_from() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    NEXT.fetch_add(CALLS as u64, Ordering::Relaxed)
}

fn dense_report() -> ApiRequest {
    let findings = vec![(JobId(1), LeaseId(1), Finding::Published); 4_096];
    let report = Report { session: SessionId(1), sequence: 1, findings, wants: Wants::NONE };
    ApiRequest::Node { node: 1, request: NodeRequest::Report(report) }
}

fn long_command() -> ApiRequest {
    let spec = timelines(&"n".repeat((2 << 20) - 1024));
    ApiRequest::Write(Write::CreateCrawl { request: RequestId { client: 66, sequence: 1 }, spec })
}
