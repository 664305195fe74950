//! What single servers say of themselves.

use std::time::Duration;

use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement as Unprepared;
use scylla::value::CqlTimestamp;

use super::client::Row;
use super::error::line;
use super::{CassandraError, CassandraProblem as Problem, Keyspace};

/// Answers of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its address.
    pub address: String,
    /// Its clock, as the time since 1970.
    pub time: Duration,
    /// How it syncs its commit log, such as `batch` or `periodic`; `None` if it does not say.
    pub commitlog_sync: Option<String>,
}

impl Keyspace {
    /// Asks every server that is up.
    ///
    /// # Errors
    /// No server is up, or one that seemed to be does not answer.
    pub fn servers(&self) -> Result<Vec<ServerState>, CassandraError> {
        let state = self.session().get_cluster_state();
        let up = state.get_nodes_info().iter().filter(|node| node.is_connected()).cloned();
        let mut servers = Vec::new();
        for node in up.collect::<Vec<_>>() {
            let at = |cql: &str| {
                let mut statement = Unprepared::new(cql);
                let only = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node.clone()), None);
                statement.set_load_balancing_policy(Some(only));
                statement.set_consistency(Consistency::One);
                statement
            };
            let times = self.ask::<(CqlTimestamp,)>(at("SELECT toTimestamp(now()) FROM system.local"))?;
            let Some((CqlTimestamp(time),)) = times.into_iter().next() else { continue };
            // Virtual tables of settings came with Cassandra 4, and not every user may read them.
            let settings = at("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'");
            let commitlog_sync = match self.ask::<(Option<String>,)>(settings) {
                Ok(rows) => rows.into_iter().next().and_then(|(value,)| value),
                Err(CassandraError {
                    problem: Problem::Refused(_) | Problem::Schema(_) | Problem::Denied(_),
                    ..
                }) => None,
                Err(other) => return Err(other),
            };
            let time = Duration::from_millis(u64::try_from(time).unwrap_or_default());
            let socket = std::net::SocketAddr::new(node.address.ip(), node.address.port());
            let behind = self.tunnels().and_then(|tunnels| tunnels.server(socket));
            let address = behind.unwrap_or_else(|| socket.to_string());
            servers.push(ServerState { address, time, commitlog_sync });
        }
        if servers.is_empty() {
            // None says that it is safe.
            let none = Problem::Unreachable("no server is known to be up".to_owned());
            return Err(self.error("ask the servers for their settings", none));
        }
        Ok(servers)
    }

    fn ask<R: Row>(&self, statement: Unprepared) -> Result<Vec<R>, CassandraError> {
        let (session, retries) = (self.session().clone(), self.retries());
        self.run("ask a server for its settings", async move {
            let asked = || async {
                let result = session.query_unpaged(statement.clone(), ()).await;
                let result = result.map_err(|error| Problem::of_execution(&error))?;
                let rows = result.into_rows_result().map_err(|error| Problem::Failed(line(error)))?;
                let rows = rows.rows::<R>().map_err(|error| Problem::Failed(line(error)))?;
                rows.collect::<Result<Vec<_>, _>>().map_err(|error| Problem::Failed(line(error)))
            };
            retries.run(asked).await
        })
    }
}
