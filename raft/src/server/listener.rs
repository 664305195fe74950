//! The port for peers and clients.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use rustix::net::sockopt;
use tarpc::context;
use tarpc::server::Channel;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::consensus::RaftMessage;
use crate::model::MemberId;
use crate::wire::{
    ApiError, ApiReply, ApiRequest, Charging, Connection, Forwarded, Greeting, JoinAnswer, JoinRequest,
    Listener, Needs, Peer, Purpose, Refused, Welcome, calls_on, receive_greeting, send_welcome,
};

use super::admission::{Admission, Origin};
use super::caller::Caller;
use super::listening::{Bound, Host, called_directly};
use super::tracker::Tracker;

/// Most calls in flight on one connection, of a client and of a node. Further ones are not read until then.
const MAX_CALLS: (usize, usize) = (256, 4096);

/// How long a connection may be idle before it is closed; its owner opens a new one when needed.
const IDLE: Duration = Duration::from_secs(60);

/// The same for Raft's connections; also the timeout for their first message.
const RAFT_IDLE: Duration = Duration::from_secs(30);
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// Idle seconds before TCP keep-alive probes, and between them. A peer that vanished does not answer them.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(10);

/// Serves connections until the tracker stops; then it closes them all.
pub(super) async fn run(tracker: Tracker, bound: Box<dyn Bound>) {
    let host = Arc::new(MemberHost { tracker: tracker.clone(), admission: Arc::default() });
    tokio::select! {
        biased;
        () = tracker.stopped() => {}
        () = bound.serve(host) => {}
    }
}

/// Serves the connections of a member.
struct MemberHost {
    tracker: Tracker,
    admission: Arc<Admission>,
}

impl Host for MemberHost {
    fn tcp(&self, stream: TcpStream, from: SocketAddr) -> BoxFuture<'static, io::Result<()>> {
        let (tracker, admission) = (self.tracker.clone(), Arc::clone(&self.admission));
        let waiting = admission.pending.enter(Origin::of(from));
        async move { serve(tracker, stream, from, &admission, waiting).await }.boxed()
    }

    fn direct(&self, greeting: &Greeting) -> Result<Connection, Refused> {
        let caller = Caller::Anybody;
        match self.tracker.welcome(greeting, &caller) {
            Welcome::Refused(refused) => Err(refused),
            Welcome::Welcome { .. } => {
                Ok(Connection::over(Arc::new(PeerServer::of(self.tracker.clone(), caller, greeting))))
            }
        }
    }
}

async fn serve(
    tracker: Tracker,
    stream: TcpStream,
    from: SocketAddr,
    admission: &Admission,
    waiting: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    let _left = waiting.clone().drop_guard();
    let arrive = async {
        let (caller, stream) = Caller::of(stream, &tracker.inner.options).await?;
        let (stream, greeting) = receive_greeting(stream).await?;
        Ok::<_, io::Error>((caller, stream, greeting))
    };
    let (caller, stream, greeting) = tokio::select! {
        biased;
        arrived = arrive => arrived.inspect_err(|error| admission.tell_refused(from, error))?,
        () = waiting.cancelled() => return Err(io::Error::other("it did not greet, and others came")),
    };
    waiting.cancel();
    let (welcome, admitted) = match tracker.welcome(&greeting, &caller) {
        welcome @ Welcome::Welcome { .. } => match admission.enter(greeting.purpose, Origin::of(from)) {
            Ok(admitted) => (welcome, Some(admitted)),
            Err(full) => (Welcome::Refused(Refused::Now(full)), None),
        },
        refused @ Welcome::Refused(_) => (refused, None),
    };
    let stream = send_welcome(stream, &welcome).await?;
    let Some(admitted) = admitted else {
        if let Welcome::Refused(reason) = &welcome {
            admission.tell_refused(from, reason);
        }
        return Ok(());
    };
    let purpose = greeting.purpose;
    let server = PeerServer::of(tracker, caller, &greeting);
    let strange = server.strange.clone();
    let mut calls = JoinSet::new();
    let mut requests =
        Box::pin(calls_on(stream, purpose, admitted.budget.clone()).execute(Charging(server.serve())));
    let (first, idle, most) = match purpose {
        Purpose::Api | Purpose::Joining => (IDLE, IDLE, MAX_CALLS.0),
        Purpose::Forward => (IDLE, IDLE, MAX_CALLS.1),
        Purpose::Replication | Purpose::Control | Purpose::Snapshot => {
            (FIRST_MESSAGE, RAFT_IDLE, MAX_CALLS.1)
        }
    };
    let mut patience = first;
    loop {
        let call = tokio::select! {
            biased;
            () = strange.cancelled() => return Err(io::Error::other("what came is no message of Raft")),
            call = timeout(patience, requests.next()) => call,
        };
        while calls.try_join_next().is_some() {}
        match call {
            Ok(Some(call)) => {
                patience = idle;
                let mut call = Box::pin(call);
                // Appends are ordered: each has to reach Raft before the next one, which it has once its call first
                // waits.
                let ended = purpose == Purpose::Replication
                    && unconstrained(poll_fn(|cx| Poll::Ready(call.poll_unpin(cx).is_ready()))).await;
                if !ended {
                    calls.spawn(call);
                }
            }
            Ok(None) => return Ok(()),
            // A long call, such as a wait for work or the end of a snapshot, is not idleness.
            Err(_) if !calls.is_empty() => {}
            Err(_) => return Err(io::Error::other(format!("no call came within {patience:?}"))),
        }
        if calls.len() >= most {
            calls.join_next().await;
        }
    }
}

/// Lets the system detect a peer that has vanished.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
    Ok(sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_AGAIN)?)
}

impl Tracker {
    /// Answers a greeting. A disk that was replaced or removed has to stop.
    fn welcome(&self, greeting: &Greeting, caller: &Caller) -> Welcome {
        if let Some(Err(why)) = greeting.from.map(|from| caller.is(from.node)) {
            return Welcome::Refused(Refused::Now(why));
        }
        let from = greeting.from.and_then(|from| self.inner.replica.state().roster().departed(from.disk));
        if let Some(departed) = from {
            return Welcome::Refused(Refused::Retired(departed.to_string()));
        }
        let listener = Listener { cluster: Some(self.cluster_id()), member: self.member() };
        match greeting.answer(&listener) {
            Welcome::Welcome { .. } if greeting.cluster.is_none() && greeting.purpose.is_of_members() => {
                Welcome::Refused(Refused::Now("a member has to say of which cluster it is".to_owned()))
            }
            welcome => welcome,
        }
    }
}

#[derive(Clone)]
struct PeerServer {
    tracker: Tracker,
    caller: Caller,
    purpose: Purpose,
    /// The member that the peer claims to be; absent for clients.
    from: Option<MemberId>,
    /// Whether it named the cluster, as members do.
    of_member: bool,
    /// Ends the connection.
    strange: CancellationToken,
}

impl PeerServer {
    fn of(tracker: Tracker, caller: Caller, greeting: &Greeting) -> Self {
        Self {
            tracker,
            caller,
            purpose: greeting.purpose,
            from: greeting.from,
            of_member: greeting.cluster.is_some(),
            strange: CancellationToken::new(),
        }
    }

    /// Checks the caller's role. A removed node still has its certificate, but no rights.
    fn allow(&self, request: &ApiRequest) -> Result<(), ApiError> {
        self.caller.may(request.needs())?;
        match (request.needs(), &self.caller) {
            (Needs::Node(node), Caller::Known(_)) if self.tracker.member_of(node).is_none() => {
                Err(ApiError::Forbidden(format!("node {node} is no member of the cluster")))
            }
            _ => Ok(()),
        }
    }
}

called_directly!(PeerServer);

impl Peer for PeerServer {
    async fn api(self, _: context::Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
        if self.purpose != Purpose::Api {
            return Err(ApiError::BadRequest("this connection is not for calls of clients".to_owned()));
        }
        self.allow(&request)?;
        self.tracker.serve(request, 0).await
    }

    async fn forwarded(self, _: context::Context, call: Forwarded) -> Result<ApiReply, ApiError> {
        if self.purpose != Purpose::Forward {
            return Err(ApiError::BadRequest(
                "only nodes pass calls on, on connections of their own".to_owned(),
            ));
        }
        self.caller.may(call.needs())?;
        self.tracker.serve(call.request, call.hops).await
    }

    async fn raft(self, _: context::Context, message: Bytes) -> Result<Bytes, String> {
        let from = match self.purpose {
            Purpose::Replication | Purpose::Control | Purpose::Snapshot => self.from,
            Purpose::Api | Purpose::Forward | Purpose::Joining => None,
        };
        let from = from.ok_or("this connection is not for messages of Raft")?;
        let message = RaftMessage::decode(&message).inspect_err(|_| self.strange.cancel())?;
        if let Some(spoken_for) = message.sender().filter(|sender| *sender != from) {
            self.strange.cancel();
            return Err(format!("member {from} speaks for {spoken_for}; each member speaks for itself"));
        }
        self.tracker.inner.contact.note(message.is_of_leader(), self.tracker.monotonic());
        message.handle(&self.tracker.inner.raft, &self.tracker.inner.inbox).await
    }

    async fn join(self, _: context::Context, request: JoinRequest) -> JoinAnswer {
        match self.purpose {
            Purpose::Joining => match (&request, self.from) {
                (JoinRequest::Join(candidate), from) if !self.of_member && from != Some(candidate.member) => {
                    JoinAnswer::Never("each node asks for itself".to_owned())
                }
                _ => self.tracker.answer_join(request, self.of_member).await,
            },
            _ => JoinAnswer::NotNow("this connection is not for nodes that join".to_owned()),
        }
    }
}
