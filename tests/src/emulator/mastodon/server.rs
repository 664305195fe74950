//! Accepts connections and serves them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::api::Api;
use crate::emulator::connection::{Connection, ResetSwitch};

/// Serves until dropped, which also ends every connection.
pub(super) async fn serve(listener: TcpListener, api: Arc<Api>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, Arc::clone(&api)));
                }
                // Most likely out of file descriptors: an immediate retry would spin.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, api: Arc<Api>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "answers may be delayed");
    }
    let reset = ResetSwitch::default();
    let switch = reset.clone();
    let service = service_fn(move |request| {
        let (api, switch) = (Arc::clone(&api), switch.clone());
        async move { api.answer(peer.ip(), &switch, &request).await }
    });
    // Both a client that disconnected and a host that is gone end here.
    let io = TokioIo::new(Connection::new(stream, reset));
    if let Err(error) = http1::Builder::new().serve_connection(io, service).await {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}
