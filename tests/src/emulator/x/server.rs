//! Accepts connections and serves them.

use std::sync::Arc;

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
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&api)));
                }
                // Most likely out of file descriptors: an immediate retry would spin.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, api: Arc<Api>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    let reset = ResetSwitch::default();
    let of_connection = reset.clone();
    let service = service_fn(move |request| {
        let (api, reset) = (Arc::clone(&api), reset.clone());
        async move { api.answer(&reset, request).await }
    });
    let io = TokioIo::new(Connection::new(stream, of_connection));
    // A client that left and an injected fault both end here.
    if let Err(error) = http1::Builder::new().serve_connection(io, service).await {
        tracing::debug!(%error, "a connection broke");
    }
}
