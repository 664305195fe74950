//! Connecting to a peer.

use std::io;
use std::time::Duration;

use tarpc::serde_transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::codec::{MAX_FRAME, Postcard, framed};
use super::greeting::{Greeting, Welcome, greet};
use super::service::PeerClient;

/// How long establishing a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that was greeted. Calls fail when it breaks; it does not reconnect by itself.
pub(crate) type Connection = PeerClient;

/// Why a peer cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No connection.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// The peer.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The peer does not want to talk.
    #[error("{address} refused: {reason}")]
    Refused {
        /// The peer.
        address: String,
        /// What it said.
        reason: String,
    },
}

/// Connects and greets.
pub(crate) async fn connect(address: &str, greeting: &Greeting) -> Result<Connection, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| unreachable(io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s")))?
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (stream, welcome) = greet(stream, greeting).await.map_err(unreachable)?;
    if let Welcome::Refused(reason) = welcome {
        return Err(ConnectError::Refused { address: address.to_owned(), reason });
    }
    Ok(connect_over(stream))
}

/// Calls over a stream that was greeted.
pub(crate) fn connect_over<S>(stream: S) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = serde_transport::new(framed(stream, MAX_FRAME), Postcard);
    let mut config = tarpc::client::Config::default();
    // Callers bound what they have under way; the channel must not add a queue of its own.
    config.pending_request_buffer = 4096;
    config.max_in_flight_requests = 4096;
    PeerClient::new(config, transport).spawn()
}
