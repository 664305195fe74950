//! What a node answers before it is a member.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tarpc::context;
use tarpc::server::Channel;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::model::MemberId;
use crate::server::caller::Caller;
use crate::server::tracker::StartError;
use crate::wire::{
    ApiError, ApiReply, ApiRequest, ByteBudget, Charging, Formation, Forwarded, JoinAnswer, JoinRequest,
    Listener, Peer, Refused, Welcome, calls_on, receive_greeting, send_welcome,
};

use super::candidate::Candidacy;

/// Connections at most; each is short.
const MAX_CONNECTIONS: usize = 256;

/// Bytes that their calls take at most, each of those who ask and in all.
const ROOM: (usize, usize) = (1 << 20, 16 << 20);

/// How long a connection is served.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Answers until it is dropped, or the data directory cannot be written.
pub(super) async fn run(candidacy: Arc<Candidacy>, listener: &TcpListener) -> StartError {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let bytes = ByteBudget::of_all(ROOM.1);
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return StartError::Replica("the waiting node's slots were closed".to_owned());
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                let candidacy = Arc::clone(&candidacy);
                let budget = ByteBudget::of_host(ROOM.0, Arc::clone(&bytes));
                connections.spawn(async move {
                    if let Ok(Err(error)) = timeout(CONNECTION_TIME, serve(candidacy, stream, budget)).await {
                        tracing::debug!(%from, %error, "connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(candidacy: Arc<Candidacy>, stream: TcpStream, budget: ByteBudget) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (caller, stream) = Caller::of(stream, &candidacy.options).await?;
    let (stream, greeting) = receive_greeting(stream).await?;
    if let Some(Err(why)) = greeting.from.map(|from| caller.is(from.node)) {
        send_welcome(stream, &Welcome::Refused(Refused::Now(why))).await?;
        return Ok(());
    }
    let welcome = greeting.answer(&Listener { cluster: None, member: candidacy.own });
    let welcomed = matches!(welcome, Welcome::Welcome { .. });
    let stream = send_welcome(stream, &welcome).await?;
    if !welcomed {
        return Ok(());
    }
    let room = WaitingRoom { candidacy, from: greeting.from };
    let mut requests = Box::pin(calls_on(stream, greeting.purpose, budget).execute(Charging(room.serve())));
    while let Some(call) = requests.next().await {
        call.await;
    }
    Ok(())
}

#[derive(Clone)]
struct WaitingRoom {
    candidacy: Arc<Candidacy>,
    from: Option<MemberId>,
}

impl WaitingRoom {
    /// Promises the data directory to a cluster that the founder forms of exactly the disks that this node sees.
    async fn prepare(&self, formation: Formation) -> JoinAnswer {
        let candidacy = &self.candidacy;
        let options = &candidacy.options;
        if let Some(owner) = &options.output_owner {
            return JoinAnswer::NotNow(format!("its output belongs to cluster {owner}"));
        }
        if formation.name != options.cluster {
            return JoinAnswer::NotNow(format!("it is to be in cluster {:?}", options.cluster));
        }
        if !formation.disks.keys().eq(options.peers.keys()) {
            return JoinAnswer::NotNow("it was given other --peers".to_owned());
        }
        let founder = self.from.filter(|from| candidacy.founder() == Some(from.node));
        let known = |node, disk| match node == candidacy.own.node {
            true => candidacy.own.disk == disk,
            false => candidacy.disk_of(node) == Some(disk),
        };
        let all_known = formation.disks.iter().all(|(&node, &disk)| known(node, disk));
        if !all_known || founder.is_none_or(|from| formation.disks.get(&from.node) != Some(&from.disk)) {
            return JoinAnswer::NotNow("it does not see the same nodes yet".to_owned());
        }
        match candidacy.promise(formation.cluster).await {
            Ok(()) => JoinAnswer::Done,
            Err(error) => {
                tracing::error!(%error, "cannot promise the data directory to the cluster");
                JoinAnswer::NotNow(error.to_string())
            }
        }
    }
}

impl Peer for WaitingRoom {
    async fn api(self, _: context::Context, _: ApiRequest) -> Result<ApiReply, ApiError> {
        let (node, waits_for) = (self.candidacy.own.node, self.candidacy.waits_for());
        Err(ApiError::Unavailable(format!("node {node} is in no cluster yet and waits {waits_for}")))
    }

    async fn forwarded(self, context: context::Context, call: Forwarded) -> Result<ApiReply, ApiError> {
        self.api(context, call.request).await
    }

    async fn raft(self, _: context::Context, _: Bytes) -> Result<Bytes, String> {
        Err("this node is no member".to_owned())
    }

    async fn join(self, _: context::Context, request: JoinRequest) -> JoinAnswer {
        match request {
            JoinRequest::Probe => JoinAnswer::Probed(self.candidacy.probe().await),
            JoinRequest::Prepare(formation) => self.prepare(formation).await,
            JoinRequest::Begin(cluster) if self.candidacy.promised_to().await == Some(cluster) => {
                self.candidacy.begin();
                JoinAnswer::Done
            }
            JoinRequest::Begin(cluster) => {
                JoinAnswer::Never(format!("it is not promised to cluster {cluster}"))
            }
            JoinRequest::Join(_) => JoinAnswer::NotNow("it is in no cluster itself".to_owned()),
        }
    }
}
