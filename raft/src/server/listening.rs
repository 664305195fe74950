//! Listening by trait: over TCP, or by direct calls in a simulation.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tarpc::client::RpcError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wire::{CallError, Called, Connection, Greeting, Refused};

/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens listeners: [`TcpPorts`] in a node, a model in simulations.
pub trait Listen: Send + Sync + 'static {
    /// Binds the address `HOST:PORT`.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Bound>>>;
}

/// A bound address, which is released on drop.
pub trait Bound: Send + Sync {
    /// Serves connections until the future is dropped, which closes them all.
    fn serve(&self, host: Arc<dyn Host>) -> BoxFuture<'_, ()>;
}

/// Serves the connections to an address.
pub trait Host: Send + Sync + 'static {
    /// Serves a TCP connection until it closes.
    fn tcp(&self, stream: TcpStream, from: SocketAddr) -> BoxFuture<'static, io::Result<()>>;

    /// Answers a greeting whose calls are made directly, from a caller without a certificate.
    ///
    /// # Errors
    /// The greeting is refused.
    fn direct(&self, greeting: &Greeting) -> Result<Connection, Refused>;
}

/// TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpPorts;

impl Listen for TcpPorts {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Bound>>> {
        async move { Ok(Box::new(TcpBound(TcpListener::bind(address).await?)) as Box<dyn Bound>) }.boxed()
    }
}

struct TcpBound(TcpListener);

impl Bound for TcpBound {
    fn serve(&self, host: Arc<dyn Host>) -> BoxFuture<'_, ()> {
        async move {
            let mut connections = JoinSet::new();
            loop {
                match self.0.accept().await {
                    Ok((stream, from)) => {
                        let served = host.tcp(stream, from);
                        connections.spawn(async move {
                            if let Err(error) = served.await {
                                tracing::debug!(%from, %error, "connection ended");
                            }
                        });
                    }
                    Err(error) => {
                        // Probably out of file descriptors: other connections must close first.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
                while connections.try_join_next().is_some() {}
            }
        }
        .boxed()
    }
}

/// Serves a call within its deadline.
pub(super) fn within<T>(
    patience: Duration,
    served: impl Future<Output = T> + Send + 'static,
) -> Called<'static, T>
where
    T: Send + 'static,
{
    async move { timeout(patience, served).await.map_err(|_| CallError::Rpc(RpcError::DeadlineExceeded)) }
        .boxed()
}

/// Makes a [`Peer`](crate::wire::Peer) callable directly by a given caller. Not generic, because only of concrete
/// types is it known that the futures of a `Peer` are `Send`.
macro_rules! called_directly {
    ($peer:ty) => {
        impl $crate::wire::Calls for $peer {
            fn api(
                &self,
                patience: std::time::Duration,
                request: $crate::wire::ApiRequest,
            ) -> $crate::wire::Called<'_, Result<$crate::wire::ApiReply, $crate::wire::ApiError>> {
                let served = $crate::wire::Peer::api(self.clone(), tarpc::context::current(), request);
                $crate::server::listening::within(patience, served)
            }

            fn forwarded(
                &self,
                patience: std::time::Duration,
                call: $crate::wire::Forwarded,
            ) -> $crate::wire::Called<'_, Result<$crate::wire::ApiReply, $crate::wire::ApiError>> {
                let served = $crate::wire::Peer::forwarded(self.clone(), tarpc::context::current(), call);
                $crate::server::listening::within(patience, served)
            }

            fn raft(
                &self,
                patience: std::time::Duration,
                message: bytes::Bytes,
            ) -> $crate::wire::Called<'_, Result<bytes::Bytes, String>> {
                let served = $crate::wire::Peer::raft(self.clone(), tarpc::context::current(), message);
                $crate::server::listening::within(patience, served)
            }

            fn join(
                &self,
                patience: std::time::Duration,
                request: $crate::wire::JoinRequest,
            ) -> $crate::wire::Called<'_, $crate::wire::JoinAnswer> {
                let served = $crate::wire::Peer::join(self.clone(), tarpc::context::current(), request);
                $crate::server::listening::within(patience, served)
            }

            fn has_ended(&self) -> bool {
                false
            }
        }
    };
}

pub(super) use called_directly;
