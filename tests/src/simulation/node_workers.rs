//! The workers of real nodes in a simulation: their sessions, their crawler, their budgets and a dataset on files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use api::model::{
    CrawlId, CrawlPhase, CrawlSpec, Gone, GoneReason, JobId, LeaseId, NodeId, Operation, Report,
    ReportAnswer, RequestId, SharedBudget, SourceWants, StorageId, Traversal,
};
use api::wire::{ApiReply, ApiRequest};
use api::{Called, TrackerApi};
use futures::FutureExt;
use futures::future::BoxFuture;
use node::address::AddressPool;
use node::budget::{BootTime, BudgetSettings, LedgerEnv};
use node::crawl::{Crawler, CrawlerParts, Networks};
use node::http_client::HttpSettings;
use node::mirror::{Mirror, MirrorOptions};
use node::provenance::{Provenance, ProvenanceOptions};
use node::session::{Assignment, Ending, JobRunner, JobTracker, SessionLoop, SessionOptions};
use raft::server::Tracker;
use raft::sim::{EndedCrawl, Post, Workforce, WorldClock, other_source};
use storage::dataset::{Account, Compression, Dataset, FilesDataset, FilesOptions, SourceName};
use storage::env::{Blocking, Entropy, SeededEntropy, Work};
use storage::ids::UserId;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::dataset::WatchedDataset;
use super::mirror::MirrorServer;
use super::network::{Network, number};
use super::watch::{Disk, JOB, Watch};

/// Jobs that a node runs at once.
const WORKERS: u32 = 6;

/// Workers of all nodes of one simulation.
#[derive(Debug)]
pub struct NodeWorkers {
    seed: u64,
    folder: PathBuf,
    watch: Watch,
    network: OnceLock<Arc<Network>>,
    mirror: OnceLock<MirrorServer>,
    places: Mutex<BTreeMap<StorageId, WatchedDataset>>,
}

impl NodeWorkers {
    /// Workers that keep their files in a folder.
    pub fn new(seed: u64, folder: PathBuf) -> Self {
        Self {
            seed,
            folder,
            watch: Watch::default(),
            network: OnceLock::new(),
            mirror: OnceLock::new(),
            places: Mutex::default(),
        }
    }

    fn network(&self, clock: &WorldClock) -> Arc<Network> {
        let new = || Arc::new(Network::new(self.seed, clock.clone(), self.watch.clone()));
        self.network.get_or_init(new).clone()
    }

    /// Mirrors a node's events while it leads.
    fn mirror(&self, post: &Post) -> Mirror {
        let new = || MirrorServer::new(self.seed, post.world.clone(), self.watch.clone());
        let server = self.mirror.get_or_init(new);
        let dice = |post: &Post| SeededEntropy::new(post.dice.next_u64());
        let options = MirrorOptions {
            server: Arc::new(server.reached_with(dice(post))),
            events_length: 1_000,
            clock: post.clock.clone(),
            entropy: Arc::new(dice(post)),
        };
        Mirror::new(options, post.tracker.clone())
    }

    fn place(&self, storage: StorageId, network: &Arc<Network>) -> anyhow::Result<WatchedDataset> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&storage) {
            return Ok(place.clone());
        }
        let output = self.folder.join(format!("output{storage}"));
        let options = FilesOptions {
            compression: if storage.0 % 2 == 0 { Compression::Zstd(1) } else { Compression::None },
            ..FilesOptions::new(&output)
        };
        let files = FilesDataset::open(options)?;
        let place = WatchedDataset::new(
            storage,
            output,
            files,
            network.clone(),
            self.watch.clone(),
            self.seed.wrapping_add(storage.0),
        );
        places.insert(storage, place.clone());
        Ok(place)
    }

    /// Assembles the parts of a node, like the node itself.
    fn session(&self, post: Post) -> anyhow::Result<SessionLoop> {
        let Post { node, disk, storage, shared, tracker, clock, dice, world } = post;
        let network = self.network(&world);
        let dataset: Arc<dyn Dataset> = Arc::new(self.place(storage, &network)?);
        let work = Work::over(Slow { dice: SeededEntropy::new(dice.next_u64()) });
        let entropy: Arc<dyn Entropy> = Arc::new(dice);
        let boot = Some(BootTime { id: 1, uptime: world.now() });
        let env = LedgerEnv { clock: clock.clone(), entropy: entropy.clone(), work: work.clone(), boot };
        // Another disk means another machine, whose addresses have spent nothing.
        let address = IpAddr::from([127, 1 + disk as u8, 0, node as u8]);
        let budgets = BudgetSettings {
            margin: Duration::from_millis(100),
            default_window: Duration::from_secs(5),
            backoff: (Duration::from_millis(500), Duration::from_secs(3)),
            ..BudgetSettings::default()
        };
        let path = tracker.budgets_path();
        let (pool, _) = AddressPool::open(vec![Some(address)], HttpSettings::default(), &path, budgets, env)?;
        let tracker = Arc::new(WatchedTracker { tracker, disk: (node, disk), watch: self.watch.clone() });
        let crawler = Crawler::new(CrawlerParts {
            networks: Networks::only(network.clone()).with(other_source(), network),
            pool: Arc::new(pool),
            dataset: dataset.clone(),
            tracker: tracker.clone(),
            storage,
            work: work.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        });
        let provenance = Provenance::open(ProvenanceOptions {
            folder: tracker.tracker.provenance_path(storage, 0),
            node,
            epoch: 0,
            clock: clock.clone(),
            entropy: entropy.clone(),
            work: work.clone(),
            runtime: Handle::current(),
        })?;
        let options = SessionOptions {
            node,
            storage,
            shared,
            adopt: true,
            workers: WORKERS,
            clock,
            entropy,
            job_runtime: Handle::current(),
            work,
            provenance,
        };
        Ok(SessionLoop::new(options, tracker, Arc::new(WatchedRunner(Arc::new(crawler))), dataset))
    }
}

impl Workforce for NodeWorkers {
    fn work(&self, post: Post) -> BoxFuture<'static, ()> {
        let (node, watch) = (post.node, self.watch.clone());
        let running = watch.runs((post.node, post.disk));
        tokio::spawn(self.mirror(&post).run(CancellationToken::new()));
        match self.session(post) {
            Ok(session) => async move {
                let _running = running;
                if let Err(refusal) = session.run(CancellationToken::new()).await {
                    watch.fail(format!("node {node} got no session: {refusal}"));
                }
            }
            .boxed(),
            Err(error) => {
                watch.fail(format!("node {node} has no workers: {error:#}"));
                futures::future::ready(()).boxed()
            }
        }
    }

    fn wrong(&self) -> Option<String> {
        self.watch.wrong()
    }

    fn lacks(&self, newest_event: u64) -> Option<String> {
        let mirrored = self.mirror.get().map_or(0, MirrorServer::newest);
        if mirrored < newest_event {
            return Some(format!(
                "the mirror ends at event {mirrored}, and the cluster's newest is {newest_event}"
            ));
        }
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut recorded = BTreeSet::new();
        for place in places.values() {
            match place.recorded() {
                Ok(records) => recorded.extend(records),
                Err(wrong) => self.watch.fail(wrong),
            }
        }
        let lease = self.watch.unrecorded(&recorded)?;
        Some(format!("the publication of draft {lease} has no record"))
    }

    fn check(&self, crawls: &[EndedCrawl]) -> Result<(), String> {
        let Some(network) = self.network.get() else { return Ok(()) };
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for crawl in crawls.iter().filter(|crawl| crawl.view.phase == CrawlPhase::Finished) {
            check_gone(crawl, network)?;
            let expected = Expected::of(crawl, network);
            check_files(crawl, &expected, network, &places)?;
            check_discovered(crawl, &expected, network)?;
        }
        Ok(())
    }
}

/// Accounts are gone for the network's reason.
fn check_gone(crawl: &EndedCrawl, network: &Network) -> Result<(), String> {
    for account in &crawl.gone {
        let truth = network.gone(number(&account.user)).and_then(|(_, reason)| match reason {
            node::source::GoneReason::Protected => Some(GoneReason::Protected),
            node::source::GoneReason::NotFound => Some(GoneReason::NotFound),
            node::source::GoneReason::Suspended => Some(GoneReason::Suspended),
            // Of another network.
            _ => None,
        });
        let told: Vec<Option<GoneReason>> =
            account.why.iter().map(|Gone { reason, .. }| Some(*reason)).collect();
        if told.iter().any(|reason| *reason != truth) {
            return Err(format!("account {} is gone because of {truth:?}, not {told:?}", account.user));
        }
    }
    Ok(())
}

/// The expected result of an ended crawl, as far as it is known.
struct Expected {
    /// Accounts that were crawled and did not fail.
    sure: BTreeSet<u64>,
    /// Accounts that may have been crawled.
    possible: BTreeSet<u64>,
}

impl Expected {
    fn of(crawl: &EndedCrawl, network: &Network) -> Self {
        let failed: BTreeSet<u64> = crawl.errors.iter().map(|account| number(&account.user)).collect();
        let mut sure: BTreeSet<u64> = crawl.targets.iter().map(number).collect();
        let mut possible: BTreeSet<u64> = crawl.sent.iter().map(number).collect();
        sure.retain(|user| !failed.contains(user));
        let spec = &crawl.view.spec;
        // All crawls have a depth of one. An account at distance one that was discovered first through another
        // account at distance two is in the frontier.
        if spec.operations.contains(Operation::Analysis) && spec.traversal == Traversal::Bfs {
            let frontier: BTreeSet<u64> = crawl.frontier.iter().map(number).collect();
            sure.extend(led_to(&sure, network).difference(&frontier));
            possible.extend(led_to(&possible, network));
            sure.retain(|user| !failed.contains(user));
        }
        Self { sure, possible }
    }
}

/// The followers of accounts who have a profile.
fn led_to(users: &BTreeSet<u64>, network: &Network) -> BTreeSet<u64> {
    let open = users.iter().filter(|user| network.gone(**user).is_none());
    let followers = open.flat_map(|user| network.followers(*user));
    followers.filter(|follower| network.has_profile(*follower)).collect()
}

/// Files of completed operations exist and are correct.
fn check_files(
    crawl: &EndedCrawl,
    expected: &Expected,
    network: &Network,
    places: &BTreeMap<StorageId, WatchedDataset>,
) -> Result<(), String> {
    let operations = crawl.view.spec.operations;
    for user in expected.sure.iter().filter(|user| network.gone(**user).is_none()) {
        let (source, user_id) = (crawl.view.spec.source.clone(), UserId::Number(*user));
        let account = Account { source, user: user_id };
        let mut wanted = Vec::new();
        let timeline = operations.contains(Operation::Timeline) || operations.contains(Operation::Update);
        if timeline && network.has_tweets(*user) {
            wanted.push(account.timeline());
        }
        if operations.contains(Operation::Followers) && !network.followers(*user).is_empty() {
            wanted.push(account.followers());
        }
        for key in wanted {
            let mut there = 0;
            for place in places.values() {
                if place.exists(&key).map_err(|error| error.to_string())? {
                    place.check(&key)?;
                    there += 1;
                }
            }
            if there == 0 {
                return Err(format!("crawl {} completed {key}, and it is nowhere", crawl.view.id));
            }
        }
    }
    Ok(())
}

/// An analysis admits every follower that has a profile, and nobody else.
fn check_discovered(crawl: &EndedCrawl, expected: &Expected, network: &Network) -> Result<(), String> {
    let id = crawl.view.id;
    let (least, most) = (expected.sure.len() as u64, expected.possible.len() as u64);
    let accepted = crawl.view.counters.users.accepted;
    if !(least..=most).contains(&accepted) {
        return Err(format!("crawl {id} has {accepted} accounts, and not {least} to {most}"));
    }
    let found: BTreeSet<u64> = crawl.frontier.iter().map(number).collect();
    if found.len() != crawl.frontier.len() {
        return Err(format!("crawl {id} has accounts in its frontier twice"));
    }
    let (mut sure, mut possible) = (BTreeSet::new(), BTreeSet::new());
    if crawl.view.spec.operations.contains(Operation::Analysis) {
        sure = led_to(&expected.sure, network);
        possible = led_to(&expected.possible, network);
    }
    if let Some(missing) = sure.iter().find(|user| !found.contains(user) && !expected.possible.contains(user))
    {
        return Err(format!("crawl {id} did not discover {missing}"));
    }
    match found.difference(&possible).next() {
        Some(stranger) => Err(format!("crawl {id} has {stranger} in its frontier, to whom nobody led")),
        None => Ok(()),
    }
}

/// A tracker whose answers are checked.
struct WatchedTracker {
    tracker: Tracker,
    disk: Disk,
    watch: Watch,
}

impl TrackerApi for WatchedTracker {
    fn request_id(&self) -> RequestId {
        self.tracker.request_id()
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        self.tracker.call(request)
    }

    fn report(&self, node: NodeId, report: Report, others: Vec<SourceWants>) -> Called<'_, ReportAnswer> {
        async move {
            let findings = report.findings.clone();
            let answer = self.tracker.report(node, report, others).await?;
            self.watch.answered(&answer);
            self.watch.confirmed(self.disk, &findings, &answer);
            Ok(answer)
        }
        .boxed()
    }
}

impl JobTracker for WatchedTracker {
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        self.tracker.crawl_spec(crawl)
    }

    fn keeps_profiles(&self, crawl: CrawlId) -> bool {
        self.tracker.keeps_profiles(crawl)
    }

    fn knows_sources(&self) -> bool {
        self.tracker.knows_sources()
    }

    fn knows_money(&self) -> bool {
        self.tracker.knows_money()
    }

    fn knows_shares(&self) -> bool {
        self.tracker.knows_shares()
    }

    fn shared_budget(&self, name: &str) -> Option<SharedBudget> {
        JobTracker::shared_budget(&self.tracker, name)
    }

    fn queues_at_hosts(&self) -> bool {
        self.tracker.queues_at_hosts()
    }

    fn applied_index(&self) -> u64 {
        self.tracker.applied_index()
    }

    fn unpublished(&self, job: JobId, lease: LeaseId) -> Option<(CrawlId, u64)> {
        self.tracker.unpublished(job, lease)
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        self.tracker.unseen(crawl, users)
    }
}

/// A crawler whose requests carry their job.
struct WatchedRunner(Arc<Crawler>);

impl JobRunner for WatchedRunner {
    fn run(self: Arc<Self>, assignment: Assignment) -> BoxFuture<'static, Ending> {
        let job = (assignment.job.id, assignment.job.lease);
        JOB.scope(job, self.0.clone().run(assignment)).boxed()
    }

    fn sources(&self) -> Vec<SourceName> {
        self.0.sources()
    }

    fn capacity(&self, source: &SourceName, operation: Operation) -> usize {
        self.0.capacity(source, operation)
    }
}

/// Blocking work that takes time, at times so long that the leases of its job end meanwhile.
struct Slow {
    dice: SeededEntropy,
}

impl Blocking for Slow {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let most = if self.dice.next_u64() % 200 == 0 { 2_500_000 } else { 1_000 };
        let takes = Duration::from_micros(self.dice.next_u64() % most);
        let done = tokio::spawn(async move {
            sleep(takes).await;
            work();
        });
        async move { drop(done.await) }.boxed()
    }
}
