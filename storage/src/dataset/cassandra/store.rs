//! A keyspace with the tables of a dataset.

use std::sync::Arc;
use std::time::Duration;

use super::super::{FileKey, Result};
use super::tables::{self, SCHEMA, SCHEMA_ROW, Statements};
use crate::env::Clock;
use crate::net::cassandra::{
    CassandraError, CassandraOptions, CassandraProblem, CassandraUrl, Keyspace, ServerState, Transaction,
};

/// Replicas from which on a server may lose what it acknowledged: the others still have it.
const SAFE_REPLICATION: u32 = 3;
/// Most by which a server's clock may differ. Deletions are dated a day ahead.
const MOST_SKEW: Duration = Duration::from_secs(3600);

/// A keyspace that was reached, with the tables of this version.
#[derive(Debug, Clone)]
pub struct CassandraStore {
    pub(super) keyspace: Keyspace,
    pub(super) statements: Arc<Statements>,
}

/// What [`CassandraStore::init`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initialized {
    /// Whether the keyspace was created.
    pub keyspace_created: bool,
    /// Whether it had the tables of this version already.
    pub was_complete: bool,
    /// How many replicas it has.
    pub replication: u32,
}

impl CassandraStore {
    /// Connects to a cluster, and ensures that the keyspace has the tables of this version.
    ///
    /// # Errors
    /// The cluster cannot be used, or the keyspace or its tables are missing or of another version.
    pub fn connect(url: &CassandraUrl, options: &CassandraOptions) -> Result<Self, CassandraError> {
        let keyspace = Keyspace::connect(url, options)?;
        tables::check(&keyspace)?;
        let statements = Arc::new(Statements::prepare(&keyspace)?);
        Ok(Self { keyspace, statements })
    }

    /// Creates a keyspace and its tables, as far as they are missing. An existing keyspace keeps its replication. Must not
    /// be done by several programs at a time: Cassandra may then create a table twice.
    ///
    /// # Errors
    /// The cluster cannot be used; the tables are of another version; or the keyspace exists with another replication.
    pub fn init(
        url: &CassandraUrl,
        options: &CassandraOptions,
        replication: Option<u32>,
    ) -> Result<Initialized, CassandraError> {
        let keyspace = Keyspace::connect(url, options)?;
        let name = keyspace.name();
        let before = tables::replication(&keyspace)?;
        let was_complete = before.is_some() && tables::check(&keyspace).is_ok();
        match (before, replication) {
            (Some(found), Some(wanted)) if found != wanted => {
                let why = format!(
                    "keyspace {name} has {found} replicas, and not {wanted}; change it with ALTER KEYSPACE and `nodetool \
                     repair --full {name}`, or leave --replication out"
                );
                return Err(keyspace.error("make the keyspace", CassandraProblem::Schema(why)));
            }
            (Some(_), _) => {}
            (None, wanted) => {
                let wanted = wanted.unwrap_or(SAFE_REPLICATION);
                let cql = format!(
                    "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'NetworkTopologyStrategy', \
                     'replication_factor': {wanted}}}"
                );
                keyspace.change_schema("make the keyspace", &cql)?;
            }
        }
        if !was_complete {
            for cql in tables::statements(name) {
                keyspace.change_schema("make a table", &cql)?;
            }
            let swap = format!("UPDATE {name}.settings SET value = ? WHERE name = ? IF value = ?");
            let swap = keyspace.prepare(&swap)?;
            // Refused, if another one is there: then it is checked.
            for before in std::iter::once(None).chain(tables::OLDER.map(Some)) {
                let values = (SCHEMA, SCHEMA_ROW, before);
                keyspace.transact("write the version of the tables", &swap, values)?;
            }
        }
        tables::check(&keyspace)?;
        let replication = tables::replication(&keyspace)?.unwrap_or_default();
        Ok(Initialized { keyspace_created: before.is_none(), was_complete, replication })
    }

    /// Ensures that the cluster keeps what it acknowledges. `accept_periodic`: also if it may lose it in a crash.
    ///
    /// # Errors
    /// With fewer than three replicas, a server syncs its commit log later than it acknowledges; or a server's clock
    /// differs by more than an hour.
    pub fn check_safety(&self, accept_periodic: bool, clock: &dyn Clock) -> Result<(), CassandraError> {
        let servers = self.keyspace.servers()?;
        let now = clock.wall();
        for server in &servers {
            let skew = now.abs_diff(server.time);
            if skew > MOST_SKEW {
                let doing = format!("use the server {}", server.address);
                return Err(self.keyspace.error(&doing, CassandraProblem::ClockSkew(skew)));
            }
        }
        let replication = tables::replication(&self.keyspace)?.unwrap_or_default();
        let unsafe_server = servers.iter().find(|server| !is_synced(server));
        let Some(server) = unsafe_server.filter(|_| replication < SAFE_REPLICATION) else { return Ok(()) };
        let how = match server.commitlog_sync.as_deref() {
            Some(how) => format!(
                "has commitlog_sync: {how}, so that a crash loses what was acknowledged in the last seconds; set \
                 commitlog_sync: batch in its cassandra.yaml"
            ),
            None => "does not say whether it syncs what it acknowledges; GRANT SELECT ON system_views.settings to this \
                     user"
                .to_owned(),
        };
        let why = format!(
            "keyspace {} has {replication} replicas, and the server {} {how}, raise the replication to \
             {SAFE_REPLICATION}, or accept the loss with --cassandra-accept-periodic",
            self.keyspace.name(),
            server.address
        );
        if accept_periodic {
            tracing::warn!("{}: {why}", self.place());
            return Ok(());
        }
        Err(self.keyspace.error("rely on the servers", CassandraProblem::Unsafe(why)))
    }

    /// The URL, for messages.
    pub fn place(&self) -> String {
        self.keyspace.place()
    }

    /// The place of a published file, for messages.
    pub(super) fn place_of(&self, key: &FileKey) -> Result<std::path::PathBuf> {
        key.path_under(self.place().as_ref())
    }

    pub(super) fn setting(&self, name: &'static str) -> Result<Option<String>, CassandraError> {
        let doing = format!("read the setting {name}");
        let rows: Vec<(Option<String>,)> =
            self.keyspace.rows(&doing, &self.statements.read_setting, (name,))?;
        Ok(rows.into_iter().next().and_then(|(value,)| value))
    }

    /// Writes a setting if it still has a value. After an error, what is there decides.
    pub(super) fn swap_setting(
        &self,
        name: &'static str,
        from: Option<String>,
        to: &str,
    ) -> Result<Transaction, CassandraError> {
        let doing = format!("write the setting {name}");
        let values = (to.to_owned(), name, from.clone());
        match self.keyspace.transact(&doing, &self.statements.swap_setting, values) {
            Err(error) if error.is_temporary() => {
                let there = self.setting(name)?;
                if there.as_deref() == Some(to) {
                    Ok(Transaction::Applied)
                } else if there == from {
                    Err(error)
                } else {
                    Ok(Transaction::Refused)
                }
            }
            other => other,
        }
    }
}

fn is_synced(server: &ServerState) -> bool {
    matches!(server.commitlog_sync.as_deref(), Some("batch" | "group"))
}
