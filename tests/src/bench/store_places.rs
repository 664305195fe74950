//! Places of datasets on servers that a benchmark starts.

use anyhow::Context;
#[cfg(feature = "cassandra")]
use storage::dataset::cassandra::CassandraStore;
use tempfile::TempDir;

use super::process::ProcFolder;
#[cfg(feature = "cassandra")]
use crate::cassandra_server::CassandraServer;
#[cfg(feature = "hdfs")]
use crate::hdfs_server::HdfsServer;
use crate::s3_server::S3Server;
use crate::server_process::ServerProcess;

/// A server with an empty dataset. Dropping it ends the server.
pub(super) struct StorePlace {
    /// `s3`, `hdfs` or `cassandra`.
    pub(super) name: &'static str,
    /// Its URL.
    pub(super) url: String,
    /// Flags of a node beside `--output`.
    flags: Vec<String>,
    /// Variables of twm-ctl and of the servers' own tools.
    pub(super) variables: Vec<(&'static str, String)>,
    server: Server,
}

/// What a place needs as long as it is used.
pub(super) enum Server {
    S3 {
        server: Box<S3Server>,
        _login: TempDir,
    },
    #[cfg(feature = "hdfs")]
    Hdfs(Box<HdfsServer>),
    #[cfg(feature = "cassandra")]
    Cassandra(Box<CassandraServer>),
}

impl StorePlace {
    /// versitygw.
    pub(super) async fn s3() -> anyhow::Result<Self> {
        let server = S3Server::start().await?;
        let folder = TempDir::new().context("making a folder")?;
        let login = folder.path().join("credentials");
        let (key, secret) = server.login();
        std::fs::write(&login, format!("aws_access_key_id={key}\naws_secret_access_key={secret}\n"))?;
        let flags = vec![
            format!("--s3-endpoint={}", server.endpoint()),
            format!("--s3-credentials-file={}", login.display()),
        ];
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_ENDPOINT_URL", server.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let server = Server::S3 { server: Box::new(server), _login: folder };
        Ok(Self { name: "s3", url: "s3://twm/data".to_owned(), flags, variables, server })
    }

    /// A name node and a datanode.
    #[cfg(feature = "hdfs")]
    pub(super) async fn hdfs() -> anyhow::Result<Self> {
        let server = HdfsServer::start().await?;
        let (url, flags, variables) = (server.url("data"), Vec::new(), Vec::new());
        Ok(Self { name: "hdfs", url, flags, variables, server: Server::Hdfs(Box::new(server)) })
    }

    /// One server, and a keyspace.
    #[cfg(feature = "cassandra")]
    pub(super) async fn cassandra() -> anyhow::Result<Self> {
        let server = CassandraServer::start().await?;
        let (flags, variables, url) = (Vec::new(), Vec::new(), String::new());
        let mut place =
            Self { name: "cassandra", url, flags, variables, server: Server::Cassandra(Box::new(server)) };
        place.use_keyspace("data").await?;
        Ok(place)
    }

    /// Goes on with another keyspace, which is created.
    #[cfg(feature = "cassandra")]
    pub(super) async fn use_keyspace(&mut self, keyspace: &str) -> anyhow::Result<()> {
        let Server::Cassandra(server) = &self.server else { anyhow::bail!("{} has no keyspaces", self.name) };
        let (url, options) = (server.url(keyspace)?, server.options());
        self.url = url.to_string();
        tokio::task::spawn_blocking(move || CassandraStore::init(&url, &options, Some(1))).await??;
        Ok(())
    }

    /// The flags of a node that writes there.
    pub(super) fn flags(&self) -> Vec<String> {
        let output = format!("--output={}", self.url);
        std::iter::once(output).chain(self.flags.iter().cloned()).collect()
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// CPU time of its processes so far, seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let of = |process: &ServerProcess| anyhow::Ok(ProcFolder::of(process.id()?).cpu_seconds()?);
        match &self.server {
            Server::S3 { server, .. } => of(server.process()),
            #[cfg(feature = "hdfs")]
            Server::Hdfs(server) => Ok(of(server.name_node())? + of(server.data_node())?),
            #[cfg(feature = "cassandra")]
            Server::Cassandra(server) => of(server.process()),
        }
    }
}
