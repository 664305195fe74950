//! The port and its pages.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Observation, metrics};

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpPortError {
    /// Someone listens there already.
    #[error(
        "the HTTP port {address} is in use, perhaps by another node on this host; give this node one of its own with --http HOST:PORT, or a free one with --http 127.0.0.1:0"
    )]
    InUse {
        /// The address.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on the HTTP port {address}: {source}; check --http")]
    Bind {
        /// The address.
        address: String,
        /// What went wrong.
        source: io::Error,
    },
}

/// What looks at the node for a page.
pub type Observe = Arc<dyn Fn() -> Observation + Send + Sync>;

/// An open port that is not served yet.
#[derive(Debug)]
pub struct HttpPort {
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpPort {
    /// Opens the port at `HOST:PORT`; port 0 takes a free one.
    pub async fn open(address: &str) -> Result<Self, HttpPortError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => HttpPortError::InUse { address: address.to_owned() },
            _ => HttpPortError::Bind { address: address.to_owned(), source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` is cancelled.
    pub async fn serve(self, observe: Observe, stop: CancellationToken) -> io::Result<()> {
        let pages = Router::new()
            .route("/", get(index))
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics_page))
            .with_state(observe);
        axum::serve(self.listener, pages).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

async fn readiness(State(observe): State<Observe>) -> Response {
    let not_ready = observe().not_ready;
    if not_ready.is_empty() {
        return "ready\n".into_response();
    }
    let reasons: String = not_ready.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, reasons).into_response()
}

async fn metrics_page(State(observe): State<Observe>) -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, metrics::render(&observe())).into_response()
}

async fn index(State(observe): State<Observe>) -> String {
    let Observation { cluster, node, not_ready, .. } = observe();
    let leader =
        node.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader is node {leader}"));
    let ready = if not_ready.is_empty() {
        "ready".to_owned()
    } else {
        format!("not ready: {}", not_ready.join("; "))
    };
    format!(
        "twm-node {} of cluster {cluster}, version {}\n{}, {leader}, term {}, applied {} of {}\n{ready}\n\n\
         /livez    whether the process runs\n\
         /readyz   whether the node takes part and its workers run\n\
         /metrics  counters, in Prometheus' text format\n\n\
         twm-ctl status shows the whole cluster.\n",
        node.id,
        node.version,
        node.role.name(),
        node.term,
        node.applied,
        node.last_log,
    )
}
