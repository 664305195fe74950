//! A node without its Raft half, and helpers to wait and inspect.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::model::{Refusal, StorageId};
use node::address::AddressPool;
use node::budget::{BootTime, BudgetSettings, LedgerEnv};
use node::crawl::{Crawler, CrawlerParts, Networks};
use node::http_client::HttpSettings;
use node::provenance::{Provenance, ProvenanceOptions};
use node::session::{JobRunner, SessionLoop, SessionOptions, SessionView};
use node::source::Source;
use node::source::twitter::{TwitterSettings, TwitterSource};
use raft::command::Limits;
use storage::dataset::provenance::{Record, read_batch};
use storage::dataset::store::Store as _;
use storage::dataset::{Account, Dataset, FileKey, FilesDataset, FilesOptions};
use storage::env::{Clock, Entropy, SystemClock, SystemEntropy, Work};
use storage::ids::UserId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::{Api, PATIENCE};
use super::tracker::LocalTracker;

pub const LIMITS: Limits = Limits { storage_grace_ms: 30_000, session_ttl_ms: 3_000, max_attempts: 2 };

/// A folder that outlives its nodes.
pub struct Folder {
    temp: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub fn output(&self) -> PathBuf {
        self.temp.path().join("dataset")
    }

    fn budgets(&self) -> PathBuf {
        self.temp.path().join("budgets")
    }

    /// The folder of records that wait for the dataset.
    pub fn provenance(&self) -> PathBuf {
        self.temp.path().join("provenance")
    }

    /// All records in the dataset, also repeated ones.
    pub fn records(&self) -> Vec<Record> {
        let place = storage::dataset::store::Folder::new(self.output());
        let mut records = Vec::new();
        for batch in place.batches().unwrap() {
            let name = batch.unwrap().name;
            let read = read_batch(&name.stored_name(), place.open_batch(&name).unwrap()).unwrap();
            records.extend(read.map(Result::unwrap));
        }
        records
    }

    pub fn dataset(&self) -> FilesDataset {
        FilesDataset::open(FilesOptions::new(self.output())).unwrap()
    }

    /// The ids of a timeline, in file order.
    pub fn timeline(&self, user: u64) -> Vec<u64> {
        let lines = self.dataset().open_timeline(&Account::from(UserId::from(user))).unwrap();
        let id = |line: storage::dataset::Result<String>| {
            let tweet: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            tweet["id"].as_u64().unwrap()
        };
        lines.into_iter().flatten().map(id).collect()
    }

    pub fn followers(&self, user: u64) -> Vec<u64> {
        let followers = self.dataset().open_followers(&Account::from(UserId::from(user))).unwrap();
        followers.into_iter().flatten().map(|id| id.unwrap().to_string().parse().unwrap()).collect()
    }

    pub fn has_timeline(&self, user: u64) -> bool {
        self.dataset().exists(&FileKey::timeline(&UserId::from(user))).unwrap()
    }

    pub fn drafts(&self) -> usize {
        self.dataset().drafts().unwrap().len()
    }
}

/// The tweets of an account of [`Api::account`], newest first.
pub fn tweets(user: u64, count: u64) -> Vec<u64> {
    (1..=count).rev().map(|n| user * 1000 + n).collect()
}

/// A node that crawls.
pub struct Rig {
    pub crawler: Option<Arc<Crawler>>,
    pub view: watch::Receiver<SessionView>,
    stop: CancellationToken,
    session: JoinHandle<Result<(), Refusal>>,
    job_runtime: Option<tokio::runtime::Runtime>,
}

impl Rig {
    pub async fn start(api: &Api, tracker: &Arc<LocalTracker>, folder: &Folder) -> Self {
        Self::start_with_clock(api, tracker, folder, world().0).await
    }

    pub async fn start_with_clock(
        api: &Api,
        tracker: &Arc<LocalTracker>,
        folder: &Folder,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let source = |url: &str| -> Arc<dyn Source> {
            let settings = TwitterSettings { base_url: url.to_owned(), bearer: None, budget_per: None };
            Arc::new(TwitterSource::new(&settings).unwrap())
        };
        let networks = Networks::only(source(&api.url)).with("other".parse().unwrap(), source(&api.url));
        Self::start_with_networks(networks, tracker, folder, clock).await
    }

    pub async fn start_with_source(
        source: Arc<dyn Source>,
        tracker: &Arc<LocalTracker>,
        folder: &Folder,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::start_with_networks(Networks::only(source), tracker, folder, clock).await
    }

    async fn start_with_networks(
        networks: Networks,
        tracker: &Arc<LocalTracker>,
        folder: &Folder,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let entropy = world().1;
        let dataset: Arc<dyn Dataset> = Arc::new(folder.dataset());
        let env = LedgerEnv {
            clock: clock.clone(),
            entropy: entropy.clone(),
            work: Work::default(),
            boot: BootTime::read(),
        };
        let budgets = BudgetSettings { margin: Duration::from_millis(50), ..BudgetSettings::default() };
        let (pool, _) =
            AddressPool::open(vec![None], HttpSettings::default(), &folder.budgets(), budgets, env).unwrap();
        let crawler = Arc::new(Crawler::new(CrawlerParts {
            networks,
            pool: Arc::new(pool),
            dataset: dataset.clone(),
            tracker: tracker.clone(),
            storage: StorageId(1),
            work: Work::default(),
            clock,
            entropy,
        }));
        let mut rig = Self::with_crew(crawler.clone(), tracker, folder, dataset);
        rig.crawler = Some(crawler);
        rig
    }

    pub fn with_crew(
        runner: Arc<dyn JobRunner>,
        tracker: &Arc<LocalTracker>,
        folder: &Folder,
        dataset: Arc<dyn Dataset>,
    ) -> Self {
        let (clock, entropy) = world();
        let job_runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let work = Work::over(job_runtime.handle().clone());
        let provenance = Provenance::open(ProvenanceOptions {
            folder: folder.provenance(),
            node: 1,
            epoch: 0,
            clock: clock.clone(),
            entropy: entropy.clone(),
            work: work.clone(),
            runtime: job_runtime.handle().clone(),
        })
        .unwrap();
        let options = SessionOptions {
            node: 1,
            storage: StorageId(1),
            shared: false,
            adopt: false,
            workers: 8,
            clock,
            entropy,
            job_runtime: job_runtime.handle().clone(),
            work,
            provenance,
        };
        let session = SessionLoop::new(options, tracker.clone(), runner, dataset);
        let (view, stop) = (session.view(), CancellationToken::new());
        let session = tokio::spawn(session.run(stop.clone()));
        Self { crawler: None, view, stop, session, job_runtime: Some(job_runtime) }
    }

    /// Shuts the node down cleanly.
    pub async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, &mut self.session).await.expect("the session ends").unwrap().unwrap();
    }

    /// Stops the node as a power cut does.
    pub fn crash(self) {}
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.session.abort();
        if let Some(runtime) = self.job_runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn world() -> (Arc<dyn Clock>, Arc<dyn Entropy>) {
    (Arc::new(SystemClock::new()), Arc::new(SystemEntropy::new()))
}

/// Waits until the condition holds.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// All files below an existing folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
