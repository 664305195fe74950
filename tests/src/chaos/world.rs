//! A cluster, its hosts and its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use api::TrackerApi;
use api::client::Client;
use api::model::{Answer, ClusterStatus, Query};
use api::wire::Tls;
use storage::env::{Entropy, SeededEntropy, SystemEntropy};
use storage::net::trust::{Trust, TrustFiles};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{DEADLINE, Folder, Tmpfs, certificates, eventually, make_certificates};
use crate::emulator::{Emulator, SyntheticOptions};
use crate::event_stream::entries;
use crate::redis_server::RedisServer;

use super::Arguments;
use super::change::Change;
use super::fault::Fault;
use super::hub::{self, HUB, Host, Hub};
use super::ledger::Ledger;
use super::operators::Operator;
use super::report::Seen;
use super::site::{Common, Site};

/// Hosts that may be added to the initial ones.
const SPARE: u64 = 2;
/// Poll interval of the main loop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Timeout of an operator's call.
const PATIENCE: Duration = Duration::from_secs(10);
const OPERATORS: u64 = 3;
/// Accounts of the API.
const ACCOUNTS: u64 = 300;
/// Capacity of a dataset's disk.
const DATASET: u64 = 256 << 20;
/// Rate limits per address.
const BUDGETS: &str = "timeline=60/3s,followers=60/3s,lookup=60/3s";

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) sites: BTreeMap<Host, Site>,
    pub(super) outputs: Vec<(PathBuf, Tmpfs)>,
    pub(super) emulator: Emulator,
    pub(super) redis: RedisServer,
    pub(super) client: Arc<Client>,
    pub(super) ledger: Ledger,
    pub(super) dice: SeededEntropy,
    pub(super) members: BTreeSet<Host>,
    /// The change in progress; there is at most one.
    pub(super) change: Option<Change>,
    /// What ends later.
    pub(super) later: Vec<(Instant, Later)>,
    /// Active cuts, by number.
    pub(super) cuts: BTreeMap<u64, BTreeSet<(Host, Host)>>,
    /// Until when an exit of a node's process is expected.
    pub(super) tolerated: BTreeMap<Host, Instant>,
    pub(super) api_down: bool,
    pub(super) redis_down: bool,
    pub(super) seen: Seen,
    pub(super) folder: Folder,
    pub(super) local: bool,
    pub(super) old: Option<PathBuf>,
    latest: Arc<Mutex<Option<(Instant, ClusterStatus)>>>,
    /// Background tasks: operators, leadership transfers, and the status poll.
    pub(super) busy: JoinSet<()>,
}

/// The end of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Later {
    Start(Host),
    Thaw(Host),
    Mend(u64),
    FullSpeed(Host),
    Free(Host),
    FreeDatasets,
    Clock(Host),
    Api,
    GoodApi,
    Redis,
    ThawRedis,
    /// The hosts get their own disks back.
    Remount(Vec<Host>),
}

/// Runs faults against a cluster and returns whether all checks passed.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut world = World::new(arguments).await?;
    let faults = world.choices(&arguments.only)?;
    let end = Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut next = Instant::now();
    let enough = arguments.faults.unwrap_or(u64::MAX);
    while Instant::now() < end && world.seen.faults() < enough && world.seen.wrong.is_empty() {
        if Instant::now() >= next {
            let fault = faults.as_ref().map_or_else(
                || Fault::drawn(world.below(Fault::weights())),
                |some| some[world.below(some.len() as u64) as usize],
            );
            if world.inject(fault).await.with_context(|| format!("{fault:?}"))? {
                next = Instant::now() + Duration::from_millis(world.below(2 * arguments.every));
            }
        }
        world.look().await?;
        sleep(LOOK_EVERY).await;
    }
    if world.seen.wrong.is_empty() {
        world.settle().await?;
    }
    world.close(arguments).await
}

impl World {
    async fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let dice = SeededEntropy::new(arguments.seed);
        let folder = Folder::new()?;
        let hosts: Vec<Host> = (1..=arguments.nodes + SPARE).collect();
        let hub = Hub::new(hosts.clone()).await?;
        make_certificates(&folder, arguments.nodes + SPARE)?;
        let population = SyntheticOptions {
            tweets_mean: 60.0,
            followers_mean: 8.0,
            ..SyntheticOptions::new(ACCOUNTS, arguments.seed)
        };
        let emulator = Emulator::builder()
            .synthetic(population)
            .page_size(5)
            .gone_percent(2.0, 2.0)
            .seed(arguments.seed)
            .rate_limits(BUDGETS.parse().map_err(anyhow::Error::msg)?)
            .listen((hub::address(HUB), 5_000).into())
            .start()
            .await?;
        let bind = hub::address(HUB).to_string();
        let redis =
            RedisServer::start_with(None, &["--bind", "127.0.0.1", &bind, "--protected-mode", "no"]).await?;

        let local = arguments.local_output;
        let output = |host: Host| match local {
            true => folder.path().join(format!("dataset-{host}")),
            false => folder.path().join("dataset"),
        };
        let outputs: BTreeSet<PathBuf> = hosts.iter().map(|host| output(*host)).collect();
        let outputs = outputs.into_iter().map(|path| Ok((path.clone(), Tmpfs::mount(&path, DATASET)?)));
        let outputs = outputs.collect::<anyhow::Result<Vec<_>>>()?;
        let members: BTreeSet<Host> = (1..=arguments.nodes).collect();
        let place = |host: &Host| (*host, format!("{}:8000", hub::address(*host)));
        let peers: BTreeMap<Host, String> = members.iter().map(place).collect();
        let mut flags = vec![
            format!("--api-url={}/1.1/", emulator.url()),
            format!("--redis=redis://{bind}:{}/", redis.port()),
            "--workers=6".to_owned(),
            "--session-ttl=2s".to_owned(),
            "--request-timeout=5s".to_owned(),
            "--storage-grace=5s".to_owned(),
            "--log-kept=500".to_owned(),
        ];
        if !local {
            flags.push("--shared-output".to_owned());
        }
        let plant = arguments.plant;
        let common = Common { folder: &folder, peers: &peers, flags: &flags, plant };
        let site = |host: &Host| Ok((*host, Site::new(*host, &output(*host), &common)?));
        let mut sites = hosts.iter().map(site).collect::<anyhow::Result<BTreeMap<Host, Site>>>()?;
        for site in sites.values_mut() {
            site.node.use_build(arguments.old.as_deref());
        }
        let file = |name: &str| certificates(&folder).join(name);
        let (cert, key) = (file("operator-harness.crt"), file("operator-harness.key"));
        let trust = Trust::load(TrustFiles { ca: file("ca.crt"), cert, key })?;
        let endpoints = hosts.iter().map(|host| place(host).1).collect();
        let client = Client::dialling(Arc::new(Tls(trust)), endpoints, PATIENCE, &SystemEntropy::new());
        let mut world = Self {
            hub,
            sites,
            outputs,
            emulator,
            redis,
            client: Arc::new(client),
            ledger: Ledger::default(),
            dice,
            members,
            change: None,
            later: Vec::new(),
            cuts: BTreeMap::new(),
            tolerated: BTreeMap::new(),
            api_down: false,
            redis_down: false,
            seen: Seen::default(),
            folder,
            local,
            old: arguments.old.clone(),
            latest: Arc::default(),
            busy: JoinSet::new(),
        };
        for host in world.members.clone() {
            world.site(host)?.start(None)?;
        }
        world.watch();
        eventually("the cluster has formed", async || {
            Ok(world.status().filter(|status| status.nodes.iter().all(|node| node.node.is_some())).map(drop))
        })
        .await?;
        world.employ();
        Ok(world)
    }

    /// Polls the cluster's status and keeps the latest answer.
    pub(super) fn watch(&mut self) {
        let (client, latest) = (Arc::clone(&self.client), Arc::clone(&self.latest));
        self.busy.spawn(async move {
            loop {
                // Without an answer the last status ages; `status` ignores old ones.
                if let Ok(Ok(Answer::Status(status))) =
                    timeout(Duration::from_secs(5), client.query(Query::Status)).await
                {
                    *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), *status));
                }
                sleep(Duration::from_millis(300)).await;
            }
        });
    }

    fn employ(&mut self) {
        let accounts = Arc::new(self.emulator.users(0, ACCOUNTS));
        for number in 1..=OPERATORS {
            let operator = Operator {
                number,
                client: Arc::clone(&self.client),
                ledger: self.ledger.clone(),
                dice: SeededEntropy::new(self.dice.next_u64()),
                accounts: Arc::clone(&accounts),
                nodes: self.members.iter().copied().collect(),
                created: 0,
            };
            self.busy.spawn(operator.run());
        }
    }

    /// The cluster's status, if at most two seconds old.
    pub(super) fn status(&self) -> Option<ClusterStatus> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest
            .as_ref()
            .filter(|(at, _)| at.elapsed() < Duration::from_secs(2))
            .map(|(_, status)| status.clone())
    }

    pub(super) fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n.max(1)
    }

    pub(super) fn site(&mut self, host: Host) -> anyhow::Result<&mut Site> {
        self.sites.get_mut(&host).with_context(|| format!("there is no host {host}"))
    }

    /// Expects an exit of this node's process within `seconds`.
    pub(super) fn tolerate(&mut self, host: Host, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        let tolerated = self.tolerated.entry(host).or_insert(until);
        *tolerated = until.max(*tolerated);
    }

    pub(super) fn later(&mut self, millis: u64, what: Later) {
        self.later.push((Instant::now() + Duration::from_millis(millis), what));
    }

    /// Ends faults that are due, and checks everything.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, what) in due {
            self.end(what).await?;
        }
        self.notice_exits()?;
        self.go_on_changing().await?;
        let wrong = self.ledger.entries().wrong.first().cloned();
        self.seen.wrong.extend(wrong);
        let stats = self.emulator.stats();
        if stats.total_violations() > 0 {
            let what = format!("requests beyond a budget: {:?}", stats.violations);
            self.seen.wrong.push(what);
        }
        Ok(())
    }

    /// Schedules a restart of each process that has exited, as a supervisor would.
    fn notice_exits(&mut self) -> anyhow::Result<()> {
        let waiting: BTreeSet<Host> = self
            .later
            .iter()
            .filter_map(|(_, what)| match what {
                Later::Start(host) => Some(*host),
                _ => None,
            })
            .collect();
        for host in self.members.clone() {
            let site = self.site(host)?;
            let exit = site.node.exit()?;
            if let Some(exit) = exit {
                let words = site.new_words()?;
                let tolerated = self.tolerated.get(&host).is_some_and(|until| Instant::now() < *until);
                self.seen.exit(host, exit, &words, tolerated);
            }
            if !self.site(host)?.node.runs() && !waiting.contains(&host) {
                let pause = 100 + self.below(900);
                self.later(pause, Later::Start(host));
            }
        }
        Ok(())
    }

    async fn close(mut self, arguments: &Arguments) -> anyhow::Result<bool> {
        self.busy.abort_all();
        for site in self.sites.values_mut() {
            if site.node.runs() {
                // Its shutdown errors are in its log.
                site.node.thaw()?;
                site.node.terminate()?;
            }
        }
        for (host, site) in &mut self.sites {
            let end = Instant::now() + DEADLINE;
            while site.node.runs() && site.node.exit()?.is_none() {
                if Instant::now() > end {
                    self.seen.wrong.push(format!("node {host} does not end after SIGTERM"));
                    site.node.kill().await?;
                }
                sleep(LOOK_EVERY).await;
            }
            let words = site.node.log().unwrap_or_default();
            self.seen.panics(*host, &words);
        }
        let good = self.seen.wrong.is_empty();
        self.seen.print(arguments, &self.ledger, &self.emulator.stats());
        if good {
            self.sites.clear();
            self.outputs.clear();
            self.folder.remove()?;
        } else if let Err(error) = self.keep().await {
            eprintln!("what the disks hold cannot be kept: {error:#}");
        }
        Ok(good)
    }

    /// Copies the contents of the disks, which end with this process, and saves the events.
    async fn keep(&self) -> anyhow::Result<()> {
        let kept = self.folder.path().join("kept");
        fs::create_dir(&kept)?;
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            let is_disk = path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with("disk-") || name.starts_with("dataset")
            });
            if is_disk {
                let copied = Command::new("cp").arg("-a").args([&path, &kept]).status().await?;
                ensure!(copied.success(), "cp -a {} ended with {copied}", path.display());
            }
        }
        let mut text = String::new();
        for entry in entries(&self.redis).await? {
            writeln!(text, "{} {:?}", entry.id, entry.fields)?;
        }
        fs::write(kept.join("events"), text)?;
        Ok(())
    }
}
