//! The port and its pages.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Observation, metrics};
use crate::monitor;

/// Connections at most. One more ends the oldest: pages are small, so that is one that does nothing or too little.
const MOST_CONNECTIONS: usize = 128;
/// How long a request's head may take to come, or the next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last at all; whoever still needs it connects anew.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

    /// Answers requests until `stop` is cancelled, and those that came before it. `monitor` is what there is beside
    /// health, metrics and the index.
    pub async fn serve(self, observe: Observe, monitor: Router, stop: CancellationToken) -> io::Result<()> {
        let pages = Router::new()
            .route("/", get(index).layer(from_fn(monitor::harden)))
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics_page))
            .with_state(observe)
            .merge(monitor);
        let mut connections = Connections::default();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => connections.begin(stream, &pages, &stop),
                Err(error) => {
                    // Out of file descriptors, most likely: others must close theirs first.
                    tracing::warn!(%error, "cannot accept a connection at the HTTP port");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        while connections.tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn begin(&mut self, stream: TcpStream, pages: &Router, stop: &CancellationToken) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|connection| !connection.is_finished());
        if self.oldest_first.len() >= MOST_CONNECTIONS {
            if let Some(oldest) = self.oldest_first.pop_front() {
                oldest.abort();
            }
        }
        let (pages, stop) = (pages.clone(), stop.clone());
        self.oldest_first.push_back(self.tasks.spawn(answer(stream, pages, stop)));
    }
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, pages: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    let mut connection = std::pin::pin!(connection);
    let served = timeout(LONGEST_CONNECTION, async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection of the HTTP port broke: {error}"),
        Err(_) => tracing::debug!("a connection of the HTTP port lasted too long"),
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

/// For browsers the monitor; for others what they can read.
async fn index(State(observe): State<Observe>, headers: HeaderMap) -> Response {
    if monitor::wants_html(&headers) {
        return monitor::page(headers).await;
    }
    ([(header::VARY, "Accept")], text_index(&observe)).into_response()
}

fn text_index(observe: &Observe) -> String {
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
         /metrics  counters, in Prometheus' text format\n\
         /api/v1/cluster, described in /api/openapi.json: the cluster as JSON\n\n\
         A browser shows the monitor here. twm-ctl status shows the whole cluster.\n",
        node.id,
        node.version,
        node.role.name(),
        node.term,
        node.applied,
        node.last_log,
    )
}
