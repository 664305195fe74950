//! Trackers in the test process, and calls of `twm-ctl` on them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use api::model::{
    Answer, CrawlId, Finding, Job, JobId, LeaseId, NodeId, OpenSession, Query, Report, StorageId, Wants,
};
use raft::server::{StartError, Tracker, TrackerOptions};
use serde_json::Value;
use storage::datadir::DataDirError;
use storage::env::{SystemClock, SystemEntropy};
use tokio::time::{Instant, sleep, timeout};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// Trackers, each with its own folder.
pub struct Trackers {
    pub peers: BTreeMap<NodeId, String>,
    running: BTreeMap<NodeId, Tracker>,
    pub folder: tempfile::TempDir,
}

impl Trackers {
    pub async fn start(nodes: u64) -> Self {
        let ports: Vec<TcpListener> = (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |port: &TcpListener| port.local_addr().unwrap().to_string();
        let peers = (1..).zip(&ports).map(|(id, port)| (id, address(port))).collect();
        drop(ports);
        let mut trackers = Self { peers, running: BTreeMap::new(), folder: tempfile::tempdir().unwrap() };
        // They wait for each other, so they are started at once.
        let started: Vec<_> = (1..=nodes).map(|id| trackers.tracker(id)).collect();
        trackers.running.extend(futures::future::join_all(started).await);
        trackers.wait_until_led().await;
        trackers
    }

    pub async fn start_one(&mut self, id: NodeId) {
        let started = self.tracker(id).await;
        self.running.extend([started]);
    }

    async fn tracker(&self, id: NodeId) -> (NodeId, Tracker) {
        let mut options = TrackerOptions::new(
            id,
            "test".to_owned(),
            self.peers.clone(),
            self.folder.path().join(id.to_string()),
            Arc::new(SystemClock::new()),
            Arc::new(SystemEntropy::new()),
        );
        // Tests share few cores; elections caused by a missing time slice are not tested.
        options.election_timeout = (Duration::from_millis(400), Duration::from_millis(800));
        // Within one process, the folder of a stopped tracker is free only once its last task has ended.
        let deadline = Instant::now() + DEADLINE;
        loop {
            match Tracker::start(options.clone()).await {
                Err(StartError::DataDir(DataDirError::InUse { .. })) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                // The log has its own lock, and another task may be the last to hold it.
                Err(StartError::Log { source, .. })
                    if source.kind() == ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    sleep(Duration::from_millis(20)).await;
                }
                started => break (id, started.unwrap()),
            }
        }
    }

    pub async fn stop_one(&mut self, id: NodeId) {
        self.running.remove(&id).unwrap().stop().await;
    }

    pub fn endpoints(&self) -> String {
        self.peers.values().cloned().collect::<Vec<_>>().join(",")
    }

    pub async fn wait_until_led(&self) {
        let endpoints = self.peers.values().cloned().collect();
        Client::new(endpoints, DEADLINE, &SystemEntropy::new()).query(Query::Crawls).await.unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twm-ctl"));
        command.current_dir(self.folder.path()).args(["--endpoints", &self.endpoints()]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub async fn ctl(&self, args: &[&str]) -> Output {
        let child = self.command(args).spawn().unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        timeout(DEADLINE, ended).await.unwrap().unwrap()
    }

    /// Runs a command that must succeed; returns its output as JSON documents.
    pub async fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.ctl(&[&["-o", "json"], args].concat()).await;
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A node's worker that completes each job at once, with the findings of `what`.
pub async fn work_until_over(trackers: &Trackers, crawl: CrawlId, what: impl Fn(&Job) -> Vec<Finding>) {
    let client = Client::new(trackers.peers.values().cloned().collect(), DEADLINE, &SystemEntropy::new());
    let opening = OpenSession {
        node: 1,
        incarnation: client.request_id().client,
        storage: StorageId(1),
        workers: 4,
        shared: false,
        adopt: false,
    };
    let session = client.open_session(opening).await.unwrap().session;
    let deadline = Instant::now() + DEADLINE;
    let mut findings: Vec<(JobId, LeaseId, Finding)> = Vec::new();
    for sequence in 1.. {
        assert!(Instant::now() < deadline, "the crawl does not end");
        let report =
            Report { session, sequence, findings: std::mem::take(&mut findings), wants: Wants::any(8) };
        let answer = client.report(1, report, Vec::new()).await.unwrap();
        for job in &answer.granted {
            findings.extend(what(job).into_iter().map(|finding| (job.id, job.lease, finding)));
        }
        findings.extend(answer.publish.iter().map(|p| (p.job, p.lease, Finding::Published)));
        if findings.is_empty() {
            match client.query(Query::Crawl(crawl)).await.unwrap() {
                Answer::Crawl(Some(view)) if view.phase.is_over() => return,
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

pub fn completed() -> Vec<Finding> {
    vec![Finding::Completed { file: true, items: 10 }]
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}
