//! The service of a node that is not a member yet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use storage::planted::{Bug, planted};
use tarpc::context;
use tarpc::server::Channel;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::model::MemberId;
use crate::server::caller::Caller;
use crate::server::listening::{Host, called_directly};
use crate::wire::{
    ApiError, ApiReply, ApiRequest, ByteBudget, Charging, Connection, Formation, Forwarded, Greeting,
    JoinAnswer, JoinRequest, Listener, Peer, Refused, Welcome, calls_on, receive_greeting, send_welcome,
};

use super::candidate::Candidacy;

/// Most connections; each is short.
const MAX_CONNECTIONS: usize = 256;

/// Memory for their calls, of one host and in total, bytes.
const ROOM: (usize, usize) = (1 << 20, 16 << 20);

/// Timeout of a connection.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Serves connections to a node that is not a member yet.
pub(super) fn host(candidacy: Arc<Candidacy>) -> Arc<dyn Host> {
    let (slots, bytes) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), ByteBudget::of_all(ROOM.1));
    Arc::new(CandidateHost { candidacy, slots, bytes })
}

struct CandidateHost {
    candidacy: Arc<Candidacy>,
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Host for CandidateHost {
    fn tcp(&self, stream: TcpStream, _: SocketAddr) -> BoxFuture<'static, io::Result<()>> {
        let candidacy = Arc::clone(&self.candidacy);
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let budget = ByteBudget::of_host(ROOM.0, Arc::clone(&self.bytes));
        async move {
            let _slot = slot.map_err(|_| io::Error::other("too many connections"))?;
            let late = |_| io::Error::other("it was served for long enough");
            timeout(CONNECTION_TIME, serve(candidacy, stream, budget)).await.map_err(late)?
        }
        .boxed()
    }

    fn direct(&self, greeting: &Greeting) -> Result<Connection, Refused> {
        match greeting.answer(&Listener { cluster: None, member: self.candidacy.own }) {
            Welcome::Refused(refused) => Err(refused),
            Welcome::Welcome { .. } => {
                let service = JoinService { candidacy: Arc::clone(&self.candidacy), from: greeting.from };
                Ok(Connection::over(Arc::new(service)))
            }
        }
    }
}

async fn serve(candidacy: Arc<Candidacy>, stream: TcpStream, budget: ByteBudget) -> io::Result<()> {
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
    let service = JoinService { candidacy, from: greeting.from };
    let mut requests =
        Box::pin(calls_on(stream, greeting.purpose, budget).execute(Charging(service.serve())));
    while let Some(call) = requests.next().await {
        call.await;
    }
    Ok(())
}

#[derive(Clone)]
struct JoinService {
    candidacy: Arc<Candidacy>,
    from: Option<MemberId>,
}

impl JoinService {
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
        if !formation.disks.keys().eq(options.peers.keys()) && !planted(Bug::MajorityForms) {
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

called_directly!(JoinService);

impl Peer for JoinService {
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
