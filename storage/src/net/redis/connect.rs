//! Connections.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use tokio::time::timeout as limited;

use super::url::{Address, Place};
use super::{RedisError, RedisUrl};

impl RedisUrl {
    /// Connects for commands. With sentinels, connects to the server that one of them names as master and that
    /// confirms it.
    ///
    /// Connecting takes at most `timeout` (through sentinels: three of them), and so does each later answer: a
    /// blocking command (`BLOCK`) must use a shorter time. The connection does not recover: after an unrecoverable
    /// error, reconnect, and through sentinels also after `READONLY`.
    ///
    /// # Errors
    /// No connection, a refused password, or no master.
    pub async fn connect(&self, timeout: Duration) -> Result<MultiplexedConnection, RedisError> {
        match &self.place {
            Place::Server { address, tls } => {
                self.connect_to(&self.client(address, *tls, self.login())?, timeout).await
            }
            Place::Sentinels { sentinels, master, tls } => {
                Ok(self.find_master(sentinels, master, *tls, timeout).await?.connection)
            }
        }
    }

    /// Connects for subscriptions, to the same server as [`connect`](Self::connect).
    ///
    /// The stream of messages ends with the connection. A server that became silent is noticed only by a `PING`
    /// without an answer.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn subscribe(&self, timeout: Duration) -> Result<PubSub, RedisError> {
        let client = match &self.place {
            Place::Server { address, tls } => self.client(address, *tls, self.login())?,
            Place::Sentinels { sentinels, master, tls } => {
                let master = self.find_master(sentinels, master, *tls, timeout).await?;
                self.client(&master.address, *tls, self.login())?
            }
        };
        match limited(timeout, client.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(|source| self.failed(source)),
            Err(_) => Err(RedisError::Silent { url: self.to_string(), timeout }),
        }
    }

    /// The credentials.
    pub(super) fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(self.db);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }

    pub(super) fn client(
        &self,
        address: &Address,
        tls: bool,
        login: RedisConnectionInfo,
    ) -> Result<Client, RedisError> {
        let (host, port) = (address.host.clone(), address.port);
        let address = match tls {
            false => ConnectionAddr::Tcp(host, port),
            true => {
                use_ring();
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
        };
        let info = address.into_connection_info().map(|info| info.set_redis_settings(login));
        info.and_then(Client::open).map_err(|source| self.failed(source))
    }

    pub(super) async fn connect_to(
        &self,
        client: &Client,
        timeout: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
        match limited(timeout, client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connected) => connected.map_err(|source| self.failed(source)),
            Err(_) => Err(RedisError::Silent { url: self.to_string(), timeout }),
        }
    }

    pub(super) fn failed(&self, source: redis::RedisError) -> RedisError {
        RedisError::Connect { url: self.to_string(), source }
    }
}

/// The driver uses the process's crypto provider and would panic if several are built in and none was chosen. An
/// earlier choice is fine.
fn use_ring() {
    let chosen_before = rustls::crypto::ring::default_provider().install_default().is_err();
    tracing::trace!(chosen_before, "cryptography of TLS connections to Redis");
}
