//! A real S3-compatible server on a free port that tests can kill and restart: versitygw over a folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use storage::net::s3::{Bucket, Credentials, S3Error, S3Options, S3Url};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server_process::{ServerProcess, free_port};

/// Where `ops/require` installs it, in the repository.
const INSTALLED: &str = ".cache/tools/versitygw-1.8.0/versitygw";

/// The access key and the secret key.
const LOGIN: (&str, &str) = ("test", "test-secret");

/// A server of S3 with its objects in a temporary folder. Dropping it kills the process and removes the folder.
#[derive(Debug)]
pub struct S3Server {
    process: ServerProcess,
    port: u16,
    folder: TempDir,
}

impl S3Server {
    /// Starts a server with the bucket `twm`.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with further arguments of versitygw, such as `--cert FILE --key FILE`.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start_with(further: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-s3-").context("making a folder")?;
        let objects = folder.path().join("objects");
        // The folders in it are the buckets.
        fs::create_dir_all(objects.join("twm")).context("making a bucket")?;
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut arguments: Vec<OsString> =
            ["--port", &address, "--access", LOGIN.0, "--secret", LOGIN.1, "--quiet"]
                .map(OsString::from)
                .into();
        arguments.extend(further.iter().map(OsString::from));
        arguments.extend(["posix".into(), objects.into_os_string()]);
        let process = ServerProcess::new(program(), arguments, folder.path());
        let mut server = Self { process, port, folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on its previous port and with its data, and waits until it answers.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let port = self.port;
        self.process.start(async || reacts(port).await).await
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Its process, for signals.
    pub fn process(&self) -> &ServerProcess {
        &self.process
    }

    /// Its endpoint, for clients without TLS.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The access key and the secret key.
    pub fn login(&self) -> (&'static str, &'static str) {
        LOGIN
    }

    /// Settings of a client, with short times.
    ///
    /// # Errors
    /// None of a server that runs.
    pub fn options(&self) -> anyhow::Result<S3Options> {
        let credentials = Credentials::new(LOGIN.0, LOGIN.1, None).map_err(anyhow::Error::msg)?;
        Ok(S3Options {
            endpoint: Some(self.endpoint()),
            timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(5),
            ..S3Options::new(credentials)
        })
    }

    /// Opens the bucket `twm`, or the part of it below a prefix.
    ///
    /// # Errors
    /// The server does not let it.
    pub async fn open(&self, prefix: &str) -> anyhow::Result<Bucket> {
        let (url, options) = (S3Url::parse(&format!("s3://twm/{prefix}"))?, self.options()?);
        let opened = tokio::task::spawn_blocking(move || Bucket::open(&url, &options)).await?;
        opened.map_err(S3Error::into)
    }

    /// The folder with its objects, one folder a bucket.
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }
}

/// The program that was installed for this repository, or else the one of the search path.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let installed = repository.join(INSTALLED);
        match installed.is_file() {
            true => installed.to_string_lossy().into_owned(),
            false => "versitygw".to_owned(),
        }
    })
}

/// Whether it reacts to a request. One with TLS ends the connection.
async fn reacts(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let asked = async {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        stream.read(&mut [0; 16]).await
    };
    timeout(Duration::from_secs(1), asked).await.is_ok()
}
