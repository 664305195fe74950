//! Finds the master, by asking the sentinels and the server itself.
//!
//! <https://redis.io/docs/latest/develop/reference/sentinel-clients/>

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{RedisConnectionInfo, Value};

use super::url::Address;
use super::{RedisError, RedisUrl};

/// A server that reports to be the master.
pub(super) struct Master {
    pub(super) address: Address,
    pub(super) connection: MultiplexedConnection,
}

impl RedisUrl {
    /// Asks all sentinels at once, so that an unreachable one delays nothing. The first one whose master confirms its
    /// role decides: a sentinel that was cut off may still name the old one.
    pub(super) async fn find_master(
        &self,
        sentinels: &[Address],
        name: &str,
        tls: bool,
        timeout: Duration,
    ) -> Result<Master, RedisError> {
        let asked = sentinels.iter().map(|sentinel| {
            async move {
                let address = self.ask(sentinel, name, tls, timeout).await?;
                self.connect_to_master(address, tls, timeout).await
            }
            .boxed()
        });
        select_ok(asked).await.map(|(master, _)| master)
    }

    /// The master's address, from one sentinel. The URL's password is for the servers: a sentinel gets it only if it
    /// asks for one.
    async fn ask(
        &self,
        sentinel: &Address,
        name: &str,
        tls: bool,
        timeout: Duration,
    ) -> Result<Address, RedisError> {
        let anonymous = RedisConnectionInfo::default();
        let answer = match self.ask_as(anonymous, sentinel, name, tls, timeout).await {
            Err(RedisError::Connect { source, .. })
                if source.code() == Some("NOAUTH") && self.password.is_some() =>
            {
                self.ask_as(self.login().set_db(0), sentinel, name, tls, timeout).await
            }
            answer => answer,
        };
        match answer? {
            Some((host, port)) => Ok(Address { host, port }),
            None => Err(RedisError::UnknownMaster { url: self.to_string() }),
        }
    }

    async fn ask_as(
        &self,
        login: RedisConnectionInfo,
        sentinel: &Address,
        name: &str,
        tls: bool,
        timeout: Duration,
    ) -> Result<Option<(String, u16)>, RedisError> {
        let mut connection = self.connect_to(&self.client(sentinel, tls, login)?, timeout).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        question.query_async(&mut connection).await.map_err(|source| self.failed(source))
    }

    async fn connect_to_master(
        &self,
        address: Address,
        tls: bool,
        timeout: Duration,
    ) -> Result<Master, RedisError> {
        let client = self.client(&address, tls, self.login())?;
        let mut connection = self.connect_to(&client, timeout).await?;
        let role: Vec<Value> =
            redis::cmd("ROLE").query_async(&mut connection).await.map_err(|source| self.failed(source))?;
        let role = role.into_iter().next().map(redis::from_redis_value::<String>);
        match role.transpose().ok().flatten().as_deref() {
            Some("master") => Ok(Master { address, connection }),
            other => Err(RedisError::NotMaster {
                url: self.to_string(),
                address: address.to_string(),
                role: other.unwrap_or("stranger").to_owned(),
            }),
        }
    }
}
