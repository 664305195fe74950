//! Real search servers for tests: OpenSearch and Elasticsearch, from their jars.
//!
//! Maven fetches the jars once; they are kept in the target folder. A test fails if Java or Maven is missing.

use std::ffi::OsString;
use std::fs;
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

/// Parameters of a product for Maven and Java.
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

    /// The folder with its jars, which are fetched if missing.
    async fn jars(self) -> anyhow::Result<PathBuf> {
        static FETCHING: Mutex<()> = Mutex::const_new(());
        let _alone = FETCHING.lock().await;
        let Parts { name, version, pom, .. } = self.parts();
        // The main class of a server is compiled at its start.
        for tool in ["java", "javac"] {
            installed(tool, "openjdk-17-jdk-headless", name).await?;
        }
        let test = std::env::current_exe().context("looking for the running test")?;
        let target = test.ancestors().nth(3).context("the test lies in no target folder")?;
        let kept = target.join("search-servers").join(format!("{name}-{version}"));
        let jars = kept.join("lib");
        if jars.is_dir() {
            return Ok(jars);
        }
        installed("mvn", "maven", name).await?;
        // Fetched into a separate folder, because another test may fetch the same jars now.
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
        Ok(jars)
    }
}

/// Fails if a tool that a server needs is missing, and names its package: a test that does nothing would pass.
async fn installed(tool: &str, package: &str, server: &str) -> anyhow::Result<()> {
    let output = Command::new(tool).arg("-version").output().await;
    ensure!(
        output.is_ok_and(|output| output.status.success()),
        "{server} needs {tool}, which is not installed; install it (apt-get install {package}) or run ops/test, which does"
    );
    Ok(())
}

/// A search server, running or not, that always has the same data. Dropping it kills the process.
#[derive(Debug)]
pub struct SearchServer {
    process: ServerProcess,
    address: String,
    _folder: TempDir,
}

impl SearchServer {
    /// Starts a server with further settings `NAME=VALUE`.
    ///
    /// # Errors
    /// Java or Maven is missing, its jars cannot be fetched, or it cannot be started.
    pub async fn start(product: Product, settings: &[&str]) -> anyhow::Result<Self> {
        let jars = product.jars().await?;
        let Parts { main, source, .. } = product.parts();
        let folder = TempDir::with_prefix("twm-search-").context("making a folder")?;
        let port = free_port()?;
        let main = folder.path().join(main);
        fs::write(&main, source).context("writing a Java file")?;
        let process =
            ServerProcess::new("java", arguments(&jars, &main, folder.path(), port, settings), folder.path());
        let mut server = Self { process, address: format!("127.0.0.1:{port}"), _folder: folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on its previous port and with its data, and waits until it answers.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
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
    /// It is not running.
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

    /// Sends a request; returns the status and the answer.
    ///
    /// # Errors
    /// It does not answer, or the answer is not JSON.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_tool_fails_the_test_and_names_what_to_install() {
        let error = installed("no-such-tool", "its-package", "opensearch").await.unwrap_err().to_string();
        assert!(error.contains("opensearch needs no-such-tool"), "{error}");
        assert!(error.contains("apt-get install its-package"), "{error}");
    }
}
