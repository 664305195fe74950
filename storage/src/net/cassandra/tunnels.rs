//! TLS for a driver that has none of its own without a second library of cryptography.
//!
//! For each server there is a *tunnel*: a port of 127.0.0.1 to which the driver connects without TLS, and whose bytes go on
//! to the server with TLS. Only connections of this process's user are taken.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use scylla::errors::TranslationError;
use scylla::policies::address_translator::{AddressTranslator, UntranslatedPeer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{certificate, line};
use super::{CassandraProblem, CassandraUrl};

/// Longest time to connect to a server and to agree on TLS.
const CONNECT: Duration = Duration::from_secs(5);

/// The tunnels of a client. Those of servers that the driver finds are opened when it asks for them.
#[derive(Clone)]
pub(super) struct Tunnels {
    inner: Arc<Inner>,
}

struct Inner {
    connector: TlsConnector,
    servers: Vec<(String, u16)>,
    /// The server of each tunnel, by the tunnel's address.
    open: Mutex<HashMap<SocketAddr, (String, u16)>>,
    /// Why TLS failed last.
    trouble: Mutex<Option<String>>,
}

impl Tunnels {
    pub(super) fn new(url: &CassandraUrl, config: Arc<ClientConfig>) -> Self {
        let (servers, connector) = (url.servers().to_vec(), TlsConnector::from(config));
        let inner = Inner { connector, servers, open: Mutex::default(), trouble: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a tunnel to each server of the URL.
    pub(super) async fn to_all(&self) -> io::Result<Vec<SocketAddr>> {
        let mut tunnels = Vec::new();
        for (host, port) in self.inner.servers.clone() {
            tunnels.push(self.to(host, port).await?);
        }
        Ok(tunnels)
    }

    /// The server behind a tunnel, for messages.
    pub(super) fn server(&self, tunnel: SocketAddr) -> Option<String> {
        lock(&self.inner.open).get(&tunnel).map(|(host, port)| format!("{host}:{port}"))
    }

    /// Why a connection failed, if that is the certificate.
    pub(super) fn problem(&self) -> Option<CassandraProblem> {
        lock(&self.inner.trouble).clone().map(CassandraProblem::Certificate)
    }

    async fn to(&self, host: String, port: u16) -> io::Result<SocketAddr> {
        let server = (host, port);
        let there = |open: &HashMap<_, _>| open.iter().find(|(_, to)| **to == server).map(|(at, _)| *at);
        if let Some(tunnel) = there(&lock(&self.inner.open)) {
            return Ok(tunnel);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let tunnel = listener.local_addr()?;
        {
            let mut open = lock(&self.inner.open);
            if let Some(other) = there(&open) {
                return Ok(other);
            }
            open.insert(tunnel, server.clone());
        }
        let inner = self.inner.clone();
        tokio::spawn(async move { inner.accept(listener, server).await });
        Ok(tunnel)
    }
}

impl Inner {
    async fn accept(self: Arc<Self>, listener: TcpListener, server: (String, u16)) {
        loop {
            let Ok((client, from)) = listener.accept().await else {
                // No file descriptor is left, for example.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (inner, server) = (self.clone(), server.clone());
            tokio::spawn(async move {
                if !is_ours(from).unwrap_or(false) {
                    tracing::warn!(%from, "a connection of another user to a tunnel to Cassandra was refused");
                    return;
                }
                // The driver sees its connection end, and connects again.
                if let Err(error) = inner.carry(client, &server).await {
                    *lock(&inner.trouble) = certificate(&error);
                    tracing::debug!(server = server.0, "a connection to Cassandra failed: {}", line(&error));
                }
            });
        }
    }

    async fn carry(&self, mut client: TcpStream, (host, port): &(String, u16)) -> io::Result<()> {
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let connected = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            self.connector.connect(name, stream).await
        };
        let mut server = timeout(CONNECT, connected).await??;
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    }
}

#[async_trait::async_trait]
impl AddressTranslator for Tunnels {
    /// The driver gives a server's own address, with the port of the tunnel through which it heard of it: all servers of a
    /// cluster have one port.
    async fn translate_address(&self, peer: &UntranslatedPeer) -> Result<SocketAddr, TranslationError> {
        let ip = peer.untranslated_address().ip();
        let servers = &self.inner.servers;
        let same = servers.iter().find(|(host, _)| host.parse::<IpAddr>().is_ok_and(|named| named == ip));
        let port = same.or(servers.first()).map_or(super::DEFAULT_PORT, |(_, port)| *port);
        self.to(ip.to_string(), port).await.map_err(|error| TranslationError::IoError(Arc::new(error)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a connection from an address of this machine is one of this process's user.
fn is_ours(from: SocketAddr) -> io::Result<bool> {
    Ok(owner(&fs::read_to_string("/proc/net/tcp")?, from) == Some(rustix::process::geteuid().as_raw()))
}

/// The user of a connection in Linux's table of them: the second column is its own address, the eighth the user.
fn owner(table: &str, from: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = from.ip() else { return None };
    let address = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), from.port());
    let mut connections = table.lines().map(|line| line.split_ascii_whitespace());
    connections.find_map(|mut columns| (columns.nth(1)? == address).then(|| columns.nth(5)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_user_of_a_connection_is_known() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_server, from) = listener.accept().await.unwrap();
        assert_eq!(client.local_addr().unwrap(), from);
        assert!(is_ours(from).unwrap());
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:0019 0100007F:2352 01 00000000:00000000 00:00000000 00000000   107        0 12345 1\n";
        assert_eq!(owner(table, "127.0.0.1:25".parse().unwrap()), Some(107));
        assert_eq!(owner(table, "127.0.0.1:26".parse().unwrap()), None);
    }
}
