//! `dataset init`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use storage::dataset::cassandra::{CassandraStore, Initialized, SCHEMA};
use storage::env::SystemClock;
use storage::net::cassandra::{
    CassandraError, CassandraOptions, CassandraProblem, CassandraUrl, Login, Trust,
};

use crate::ctl::output::note;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Init {
    /// The keyspace: `cassandra://HOST[:PORT][,HOST[:PORT]...]/KEYSPACE`.
    #[arg(value_name = "URL")]
    url: String,
    /// Replicas of a keyspace that is created; one that is there must have as many. Default: 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    replication: Option<u32>,
    /// A file with the login, in the lines `user = NAME` and `password = SECRET`.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// Connect with TLS, and trust the system's authorities.
    #[arg(long)]
    tls: bool,
    /// PEM file of the only authorities to trust; connects with TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Init {
    /// Creates what is missing, and says what is there.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let url = CassandraUrl::parse(&self.url).map_err(|error| CtlError::Usage(error.to_string()))?;
        let login = self.credentials_file.as_deref().map(Login::from_file).transpose();
        let tls = match &self.ca {
            Some(ca) => Some(Trust::File(ca.clone())),
            None => self.tls.then_some(Trust::System),
        };
        let login = login.map_err(|error| CtlError::Usage(error.to_string()))?;
        let options = CassandraOptions { login, tls, ..CassandraOptions::new() };
        let failed = |error: CassandraError| CtlError::Failed(error.to_string());
        let done = CassandraStore::init(&url, &options, self.replication).map_err(failed)?;
        let store = CassandraStore::connect(&url, &options).map_err(failed)?;
        // The nodes refuse it unless they are told otherwise; the tables are there.
        match store.check_safety(false, &SystemClock::new()) {
            Err(error) if matches!(error.problem, CassandraProblem::Unsafe(_)) => {
                note(format!("twm-ctl: {error}"));
            }
            other => other.map_err(failed)?,
        }
        tell(&url, &done, output)
    }
}

fn tell(url: &CassandraUrl, done: &Initialized, output: Output) -> Result<(), CtlError> {
    let Initialized { keyspace_created, was_complete, replication } = *done;
    if output.is_json() {
        return output.json(&json!({
            "url": url.to_string(),
            "keyspace_created": keyspace_created,
            "tables_created": !was_complete,
            "replication": replication,
            "schema": SCHEMA,
        }));
    }
    let keyspace = if keyspace_created { "created" } else { "was there" };
    let tables = if was_complete { "were there" } else { "created" };
    output.line(format!(
        "{url}: keyspace {keyspace}, {replication} replicas; tables of version {SCHEMA} {tables}"
    ))
}
