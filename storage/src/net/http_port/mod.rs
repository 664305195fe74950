//! A bounded HTTP port, for programs that answer small requests.
//!
//! The number and duration of connections are bounded, and so are request heads: idle or slow clients cannot lock
//! others out. Handlers bound the bodies themselves.

mod gate;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::net::trust::Trust;

pub use gate::{Access, Denied, Gate, HttpCaller, PublicUrl};

/// Most connections. One more closes the oldest: pages are small, so that one is idle or very slow.
const MOST_CONNECTIONS: usize = 128;
/// Timeout of a request's head, and of an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest duration of a connection; a client that still needs it reconnects.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether `HOST:PORT` can be reached only from this machine.
pub fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpPortError {
    /// The address is in use.
    #[error(
        "the HTTP port {address} is in use, perhaps by another of its kind on this host; give this one a port of its own with {flag} HOST:PORT, or a free one with {flag} 127.0.0.1:0"
    )]
    InUse {
        /// The address.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// Listening on the address failed.
    #[error("cannot listen on the HTTP port {address}: {source}; check {flag}")]
    Bind {
        /// The address.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

/// An open port that is not served yet.
#[derive(Debug)]
pub struct HttpPort {
    listener: TcpListener,
    address: SocketAddr,
    trust: Option<Trust>,
}

impl HttpPort {
    /// Opens the port at `HOST:PORT`; port 0 takes a free one. `flag` is the user's setting for it.
    ///
    /// # Errors
    /// It is in use, or listening failed.
    pub async fn open(address: &str, flag: &'static str) -> Result<Self, HttpPortError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => HttpPortError::InUse { address: address.to_owned(), flag },
            _ => HttpPortError::Bind { address: address.to_owned(), flag, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, trust: None })
    }

    /// Enables TLS if there are certificates. Callers may show one of the same authority, or none.
    pub fn trusting(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves requests until `stop` is cancelled, and finishes those in flight. Each has an [`HttpCaller`] among its
    /// extensions.
    pub async fn serve(&self, pages: Router, stop: CancellationToken) {
        let mut connections = Connections::default();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => connections.begin(stream, self.trust.clone(), &pages, &stop),
                Err(error) => {
                    // Probably out of file descriptors: other connections must close first.
                    tracing::warn!(%error, "cannot accept a connection at the HTTP port");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        while connections.tasks.join_next().await.is_some() {}
    }
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn begin(&mut self, stream: TcpStream, trust: Option<Trust>, pages: &Router, stop: &CancellationToken) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|connection| !connection.is_finished());
        if self.oldest_first.len() >= MOST_CONNECTIONS {
            if let Some(oldest) = self.oldest_first.pop_front() {
                oldest.abort();
            }
        }
        let (pages, stop) = (pages.clone(), stop.clone());
        self.oldest_first.push_back(self.tasks.spawn(greet(stream, trust, pages, stop)));
    }
}

/// Identifies the caller.
async fn greet(stream: TcpStream, trust: Option<Trust>, pages: Router, stop: CancellationToken) {
    let Some(trust) = trust else {
        return answer(stream, pages.layer(Extension(HttpCaller::Plain)), stop).await;
    };
    match trust.accept_anybody(stream).await {
        Ok((stream, named)) => {
            let own = trust.own().identity.cluster;
            let identity = named.map(|named| named.identity).filter(|identity| identity.cluster == own);
            let caller = HttpCaller::Tls(identity.map(Arc::new));
            answer(stream, pages.layer(Extension(caller)), stop).await;
        }
        Err(error) => tracing::debug!("a connection of the HTTP port was refused: {error}"),
    }
}

/// Serves the requests of one connection.
async fn answer<S>(stream: S, pages: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
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
