//! A real graphite-web that renders the data stored by a carbon.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::carbon::Carbon;
use crate::cluster::{Page, ended, eventually};
use crate::server_process::{ServerProcess, free_port};

/// Debian's graphite-web needs Debian's Python, and another one may come first in the path.
const PYTHON: &str = "/usr/bin/python3";
const GUNICORN: &str = "/usr/bin/gunicorn";
/// The settings module in the folder.
const SETTINGS: &str = "DJANGO_SETTINGS_MODULE=twm_graphite";

/// A graphite-web with one worker process, in a temporary folder. Dropping it kills the process and removes the
/// folder.
#[derive(Debug)]
pub struct GraphiteWeb {
    process: ServerProcess,
    port: u16,
    _folder: TempDir,
}

impl GraphiteWeb {
    /// Starts a graphite-web that reads from this carbon.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn before(carbon: &Carbon) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-graphite-").context("making a folder")?;
        let (here, port) = (folder.path().display(), free_port()?);
        let settings = format!(
            "from graphite.settings import *\nSECRET_KEY = 'of a test'\nTIME_ZONE = 'UTC'\nALLOWED_HOSTS = ['127.0.0.1']\n\
             STORAGE_DIR = LOG_DIR = '{here}'\nINDEX_FILE = '{here}/index'\nWHISPER_DIR = '{whisper}'\n\
             STANDARD_DIRS = [WHISPER_DIR]\nCLUSTER_SERVERS = []\nCARBONLINK_HOSTS = ['{query}:a']\n\
             DATABASES = {{'default': {{'NAME': '{here}/db', 'ENGINE': 'django.db.backends.sqlite3'}}}}\n",
            whisper = carbon.whisper().display(),
            query = carbon.query_address(),
        );
        fs::write(folder.path().join("twm_graphite.py"), settings).context("writing settings")?;
        let mut migrate = Command::new(PYTHON);
        migrate.args(["-m", "django", "migrate", "--run-syncdb"]).current_dir(folder.path());
        migrate.envs(SETTINGS.split_once('=')).env("PYTHONPATH", folder.path());
        let made = ended(&mut migrate).await.context("making Graphite's database; ops/test installs it")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = format!("127.0.0.1:{port}");
        let folder_name = format!("{here}");
        let arguments =
            ["--bind", &address, "--worker-class=gthread", "--pythonpath", &folder_name, "--env", SETTINGS];
        let arguments = arguments.into_iter().chain(["graphite.wsgi:application"]).map(Into::into).collect();
        let process = ServerProcess::new(GUNICORN, arguments, folder.path());
        let mut web = Self { process, port, _folder: folder };
        web.restart().await?;
        Ok(web)
    }

    /// Starts it again on its previous port.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let address = self.address();
        let answers = async || {
            Page::get(&address, "/render?target=none&format=json").await.is_ok_and(|p| p.status == 200)
        };
        self.process.start(answers).await
    }

    /// Kills it with `kill -9`, and waits until its worker, which checks for its parent every second, has also
    /// exited.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        let address = self.address();
        eventually("its worker has ended", async || {
            Ok(TcpStream::connect(&address).await.is_err().then_some(()))
        })
        .await
    }

    /// The address that it listens on, `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The JSON answer of the render API to a query.
    ///
    /// # Errors
    /// The API returns an error status, or something other than JSON.
    pub async fn render(&self, query: &str) -> anyhow::Result<Value> {
        let page = Page::get(&self.address(), &format!("/render?format=json&{query}")).await?;
        ensure!(page.status == 200, "HTTP {}: {}", page.status, page.body);
        serde_json::from_str(&page.body).with_context(|| page.body)
    }
}
