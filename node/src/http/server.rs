//! The server of the HTTP port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
pub use storage::net::http_port::HttpPortError;
use storage::net::http_port::{self, Access, Gate, HttpCaller};
use storage::net::trust::Trust;
use tokio_util::sync::CancellationToken;

use super::{Observation, exposition, metrics};
use crate::monitor;

/// Takes a snapshot of the node for a page.
pub type Observe = Arc<dyn Fn() -> Observation + Send + Sync>;

/// An open port that is not served yet.
#[derive(Debug)]
pub struct HttpPort(http_port::HttpPort);

impl HttpPort {
    /// Opens the port at `HOST:PORT`; port 0 takes a free one.
    pub async fn open(address: &str) -> Result<Self, HttpPortError> {
        http_port::HttpPort::open(address, "--http").await.map(Self)
    }

    /// Enables TLS if there are certificates.
    pub fn trusting(self, trust: Option<Trust>) -> Self {
        Self(self.0.trusting(trust))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Serves health checks of a node that is not in a cluster yet, until the future is dropped.
    pub async fn serve_waiting(&self) {
        let why = "not ready: the node is in no cluster yet; its log and `twm-ctl status` say which nodes it waits for\n";
        let waiting = async move || (StatusCode::SERVICE_UNAVAILABLE, why);
        let pages = Router::new().route("/livez", get(async || "alive\n")).fallback(waiting);
        self.0.serve(pages, CancellationToken::new()).await;
    }

    /// Serves requests until `stop` is cancelled, and finishes those in flight. `monitor` has the routes beside
    /// health, metrics and the index.
    pub async fn serve(
        self,
        observe: Observe,
        monitor: Router,
        gate: Arc<Gate>,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let pages = Router::new()
            .route("/metrics", get(metrics_page).layer(from_fn_with_state(gate, caller_may_look)))
            .route("/", get(index).layer(from_fn(monitor::harden)))
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readiness))
            .with_state(observe)
            .merge(monitor);
        self.0.serve(pages, stop).await;
        Ok(())
    }
}

async fn readiness(State(observe): State<Observe>) -> Response {
    let Observation { not_ready, node, certificate_ends_in, .. } = observe();
    if not_ready.is_empty() {
        let but = node.workers.and_then(|workers| workers.api_trouble).into_iter();
        let but: String =
            but.chain(certificate_ends_in.and_then(ends_soon)).map(|but| format!("{but}\n")).collect();
        return format!("ready\n{but}").into_response();
    }
    let reasons: String = not_ready.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, reasons).into_response()
}

/// Warns of a certificate that expires soon, in time to renew it.
fn ends_soon(seconds: i64) -> Option<String> {
    let days = seconds.div_euclid(24 * 3600);
    match days {
        ..0 => Some("this node's certificate has expired; `twm-ctl certs renew` makes a new one".to_owned()),
        0..30 => Some(format!(
            "this node's certificate ends in {days} days; `twm-ctl certs renew` makes a new one"
        )),
        _ => None,
    }
}

/// Metrics reveal what is crawled, as the monitor does. Scrapers may use any name for a node.
async fn caller_may_look(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.check_caller(&HttpCaller::of(request.extensions()), request.headers(), Access::Read) {
        Ok(()) => next.run(request).await,
        Err(denied) => (denied.status, format!("{}\n", denied.why)).into_response(),
    }
}

async fn metrics_page(State(observe): State<Observe>) -> Response {
    let format = [(header::CONTENT_TYPE, exposition::MEDIA_TYPE)];
    (format, metrics::render(&observe())).into_response()
}

/// The monitor for browsers; plain text for others.
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

#[cfg(test)]
mod tests {
    use super::ends_soon;

    #[test]
    fn a_certificate_that_ends_soon_is_told_with_what_to_do() {
        const DAY: i64 = 24 * 3600;
        assert_eq!(ends_soon(30 * DAY), None);
        for (seconds, told) in [(30 * DAY - 1, "ends in 29 days"), (5, "ends in 0 days"), (-1, "has expired")]
        {
            let said = ends_soon(seconds).unwrap_or_default();
            assert!(said.contains(told) && said.contains("twm-ctl certs renew"), "{said}");
        }
    }
}
