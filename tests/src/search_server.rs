//! Real search servers of the tests: OpenSearch and Elasticsearch, from their jars.
//!
//! The jars are fetched once by Maven and kept in the target folder. Where there is no Java a test is skipped, and says
//! so.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::cluster::Page;
use crate::server_process::{ServerProcess, free_port};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// OpenSearch 2.
    OpenSearch,
    /// Elasticsearch 7.
    Elasticsearch,
}

/// What Maven and Java are told of a product.
struct Parts {
    name: &'static str,
    version: &'static str,
    pom: &'static str,
    main: &'static str,
    source: &'static str,
}

impl Product {
    fn parts(self) -> Parts {
        match self {
            Self::OpenSearch => Parts {
                name: "opensearch",
                version: "2.19.6",
                pom: include_str!("search_server/opensearch.xml"),
                main: "OpenSearchServer.java",
                source: include_str!("search_server/OpenSearchServer.java"),
            },
            Self::Elasticsearch => Parts {
                name: "elasticsearch",
                version: "7.17.29",
                pom: include_str!("search_server/elasticsearch.xml"),
                main: "ElasticsearchServer.java",
                source: include_str!("search_server/ElasticsearchServer.java"),
            },
        }
    }

    /// The folder of its jars, fetched if need be; nothing where Java, its compiler or Maven is missing.
    async fn jars(self) -> anyhow::Result<Option<PathBuf>> {
        static FETCHING: Mutex<()> = Mutex::const_new(());
        let _alone = FETCHING.lock().await;
        let Parts { name, version, pom, .. } = self.parts();
        for tool in ["javac", "java"] {
            if !runs(tool).await {
                return Ok(skipped(name, tool));
            }
        }
        let test = std::env::current_exe().context("looking for the running test")?;
        let target = test.ancestors().nth(3).context("the test lies in no target folder")?;
        let kept = target.join("search-servers").join(format!("{name}-{version}"));
        let jars = kept.join("lib");
        if jars.is_dir() {
            return Ok(Some(jars));
        }
        if !runs("mvn").await {
            return Ok(skipped(name, "mvn"));
        }
        // Fetched beside it, as another test may do the same now.
        let fetched = kept.with_file_name(format!("{name}-{version}.{}", std::process::id()));
        fs::create_dir_all(&fetched).context("making a folder")?;
        fs::write(fetched.join("pom.xml"), pom.replace("SERVER_VERSION", version))
            .context("writing a pom")?;
        let mut maven = Command::new("mvn");
        maven.args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=lib",
            "-DincludeScope=runtime",
        ]);
        let output = maven.current_dir(&fetched).output().await.context("running mvn")?;
        ensure!(output.status.success(), "fetching {name}: {}", String::from_utf8_lossy(&output.stdout));
        match fs::rename(&fetched, &kept) {
            Ok(()) => {}
            Err(_) if jars.is_dir() => {
                fs::remove_dir_all(&fetched).context("removing what was fetched twice")?
            }
            Err(error) => bail!("keeping the jars in {}: {error}", kept.display()),
        }
        Ok(Some(jars))
    }
}

async fn runs(tool: &str) -> bool {
    Command::new(tool).arg("-version").output().await.is_ok_and(|output| output.status.success())
}

/// Says that a test is skipped, past the test runner, which shows nothing of tests that pass.
fn skipped<T>(name: &str, tool: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let said = writeln!(io::stderr(), "\nSKIPPED: {test} needs {name}, and {tool} is not installed");
    said.ok().and(None)
}

/// A search server that may run or not, always with the same data. Dropped, it is killed.
#[derive(Debug)]
pub struct SearchServer {
    process: ServerProcess,
    address: String,
    _folder: TempDir,
}

impl SearchServer {
    /// A running one with further settings `NAME=VALUE`; nothing where Java is missing, which is said.
    ///
    /// # Errors
    /// Its jars cannot be fetched, or it cannot be started.
    pub async fn start(product: Product, settings: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(jars) = product.jars().await? else { return Ok(None) };
        let Parts { main, source, .. } = product.parts();
        let folder = TempDir::with_prefix("twm-search-").context("making a folder")?;
        let port = free_port()?;
        let main = folder.path().join(main);
        fs::write(&main, source).context("writing a Java file")?;
        let process =
            ServerProcess::new("java", arguments(&jars, &main, folder.path(), port, settings), folder.path());
        let mut server = Self { process, address: format!("127.0.0.1:{port}"), _folder: folder };
        server.restart().await?;
        Ok(Some(server))
    }

    /// Starts it again, on its old port and with its data, and waits until it answers.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let address = self.address.clone();
        let ready = async || {
            let health = Page::get(&address, "/_cluster/health?wait_for_status=yellow&timeout=1s").await;
            health.is_ok_and(|health| health.status == 200)
        };
        self.process.start(ready).await
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Its process, for signals.
    pub fn process(&self) -> &ServerProcess {
        &self.process
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it; gives status and answer.
    ///
    /// # Errors
    /// It does not answer, or not in JSON.
    pub async fn ask(&self, method: &str, path: &str, json: &str) -> anyhow::Result<(u16, Value)> {
        let page = Page::ask(&self.address, method, path, json).await?;
        Ok((page.status, serde_json::from_str(&page.body).with_context(|| page.body.clone())?))
    }
}

fn arguments(jars: &Path, main: &Path, data: &Path, port: u16, settings: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-Dlog4j2.disable.jmx=true", "-cp"]
            .map(Into::into)
            .to_vec();
    arguments.push(jars.join("*").into_os_string());
    arguments.push(main.as_os_str().to_owned());
    arguments.push(format!("path.home={}", data.display()).into());
    arguments.push(format!("http.port={port}").into());
    let always = [
        "network.host=127.0.0.1",
        "transport.port=0",
        "discovery.type=single-node",
        "cluster.routing.allocation.disk.threshold_enabled=false",
    ];
    arguments.extend(always.iter().chain(settings).map(Into::into));
    arguments
}
