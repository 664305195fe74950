//! Assembles the parts of a node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use api::model::SourceStatus;
use api::wire::{Dial, Tcp, Tls};
use futures::FutureExt;
use futures::future::BoxFuture;
use raft::command::Limits;
use raft::server::{CheckFollowRule, ResolveError, SourceServices, Tracker, TrackerOptions};
use storage::dataset::{Dataset, SourceName};
use storage::env::{Clock, Entropy, SystemClock, SystemEntropy, Work};
use storage::ids::UserId;
use storage::net::http_port::Gate;
use storage::net::trust::Trust;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use crate::address::AddressPool;
use crate::budget::{BootTime, BudgetSettings, LedgerEnv};
use crate::crawl::{self, Crawler, CrawlerParts, Networks};
use crate::follow::FollowRule;
use crate::http::{Observation, Observe};
use crate::http_client::{ForeignHosts, HttpSettings};
use crate::logs::LogRing;
use crate::mirror::{Feed, FeedOptions, Mirror, MirrorOptions, MirrorView};
use crate::monitor::{Graphite, Indexer, Monitor, MonitorParts, MonitorSettings, WatchedNode};
use crate::provenance::{Provenance, ProvenanceOptions};
use crate::session::{JobBoard, SessionLoop, SessionOptions, SessionView, Sharer};
use crate::settings::{Bluesky, MirrorSettings, Settings, SourceSettings, user_agent};
use crate::source::Source;
use crate::source::bluesky::{BlueskySettings, BlueskySource};
use crate::source::mastodon::{MastodonSettings, MastodonSource};
use crate::source::twitter::{TwitterSettings, TwitterSource};
use crate::source::x::{XSettings, XSource};

/// Default number of workers.
const WORKERS: usize = 32;

/// Time and randomness.
#[derive(Clone)]
pub(super) struct World {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl World {
    pub(super) fn of_this_machine() -> Self {
        Self { clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy::new()) }
    }
}

/// The parts of a node that report their status.
pub(super) struct Node {
    pub(super) tracker: Tracker,
    pub(super) crawler: Arc<Crawler>,
    pub(super) http: String,
    pub(super) workers: u32,
    cluster: String,
    view: watch::Receiver<SessionView>,
    mirror: Option<ViewMirror>,
    feed: Option<Feed>,
    dataset: Arc<dyn Dataset>,
    provenance: Provenance,
    board: Arc<JobBoard>,
}

type ViewMirror = Arc<dyn Fn() -> MirrorView + Send + Sync>;

impl Node {
    /// Assembles a node around its tracker. Nothing is crawled before the session loop runs.
    pub(super) fn assemble(
        settings: &Settings,
        world: &World,
        output: Output,
        addresses: Vec<Option<IpAddr>>,
        tracker: Tracker,
        http: String,
        job_runtime: Handle,
    ) -> anyhow::Result<(Self, SessionLoop)> {
        let Output { storage, dataset, epoch } = output;
        let default_workers = || WORKERS.max(addresses.len().min(10_000)) as u32;
        let workers = settings.workers.unwrap_or_else(default_workers);
        let shared_tracker = Arc::new(tracker.clone());
        let feed = open_feed(settings, world, &tracker)?;
        let networks = open_networks(settings, world, &tracker)?;
        let pool = open_pool(settings, world, addresses, &tracker)?;
        let (clock, entropy) = (world.clock.clone(), world.entropy.clone());
        let sharer = Sharer::new(pool.ledger().clone(), settings.nat.clone(), settings.id, clock, entropy);
        let mut crawler = Crawler::new(CrawlerParts {
            networks,
            pool: Arc::new(pool),
            dataset: dataset.clone(),
            tracker: shared_tracker.clone(),
            storage,
            work: Work::default(),
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
        });
        if let Some(feed) = &feed {
            crawler.observe_fetches(feed.fetch_hook());
        }
        let crawler = Arc::new(crawler);
        let work = Work::over(job_runtime.clone());
        let provenance = Provenance::open(ProvenanceOptions {
            folder: tracker.provenance_path(storage, epoch),
            node: settings.id,
            epoch,
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
            work: work.clone(),
            runtime: job_runtime.clone(),
        })?;
        let options = SessionOptions {
            node: settings.id,
            storage,
            shared: settings.shared_output,
            adopt: settings.adopt_output,
            workers,
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
            work,
            job_runtime,
            provenance: provenance.clone(),
        };
        let mut session = SessionLoop::new(options, shared_tracker, crawler.clone(), dataset.clone());
        session.share_budgets(sharer);
        if let Some(feed) = &feed {
            session.observe_publications(feed.publication_hook(dataset.clone()));
        }
        let (view, board, cluster) = (session.view(), session.board(), settings.cluster.clone());
        let mirror = None;
        let node =
            Self { tracker, crawler, http, workers, cluster, view, mirror, feed, dataset, provenance, board };
        node.tracker.set_worker_status({
            let (crawler, view, http) = (node.crawler.clone(), node.view.clone(), node.http.clone());
            Arc::new(move || {
                let busy = view.borrow().busy;
                crawler.worker_status(workers, busy, http.clone())
            })
        });
        node.tracker.set_sources(Arc::new(Services(node.crawler.clone())));
        Ok((node, session))
    }

    /// The mirror, if configured.
    pub(super) fn mirror(&mut self, settings: &Settings, world: &World) -> Option<Mirror> {
        let MirrorSettings { url, events_length, .. } = settings.redis.clone()?;
        let (clock, entropy) = (world.clock.clone(), world.entropy.clone());
        let options = MirrorOptions { server: Arc::new(url), events_length, clock, entropy };
        let mirror = Mirror::new(options, self.tracker.clone());
        self.mirror = Some(Arc::new(mirror.view()));
        Some(mirror)
    }

    /// Sends what this node fetches to Redis, if configured.
    pub(super) fn run_feed(
        &self,
        stop: &CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let feed = self.feed.clone()?;
        Some(feed.run(self.dataset.clone(), stop.clone()))
    }

    /// Takes the snapshots for the HTTP port.
    pub(super) fn observe(&self) -> Observe {
        let (tracker, crawler) = (self.tracker.clone(), self.crawler.clone());
        let (cluster, view, mirror) = (self.cluster.clone(), self.view.clone(), self.mirror.clone());
        let (feed, dataset, provenance) = (self.feed.clone(), self.dataset.clone(), self.provenance.clone());
        Arc::new(move || {
            let session = *view.borrow();
            Observation {
                cluster: cluster.clone(),
                node: tracker.status(),
                not_ready: not_ready(&tracker, session, &crawler),
                certificate_ends_in: tracker.certificate_ends_in(),
                session,
                crawls: tracker.crawls(),
                money: tracker.money(),
                sizes: tracker.sizes(),
                log_bytes: tracker.log_bytes(),
                outbox: tracker.outbox(),
                mirror: mirror.as_ref().map(|view| view()),
                feed: feed.as_ref().map(Feed::waiting),
                profiles: crawler.counters().profiles(),
                dataset_requests: dataset.requests(),
                provenance_waiting: provenance.waiting(),
                requests: crawler.counters().requests(),
            }
        })
    }
}

impl Node {
    /// What browsers see.
    pub(super) fn monitor(
        &self,
        settings: &Settings,
        world: &World,
        log: LogRing,
        trust: Option<&Trust>,
    ) -> anyhow::Result<Monitor> {
        let (tracker, crawler, board) = (self.tracker.clone(), self.crawler.clone(), self.board.clone());
        let clock = world.clock.clone();
        let addresses = settings.peers.values().chain([&settings.http]);
        let host = |address: &String| address.rsplit_once(':').map(|(host, _)| host.to_owned());
        let gate = Gate::new(addresses.filter_map(host), settings.public_url.clone())
            .token(settings.monitor_token.clone(), "--monitor-token")
            .certificates(settings.http_tls);
        let graphite = settings.graphite.clone().map(|url| Graphite::new(url, clock.clone())).transpose()?;
        let indexer =
            settings.indexer.clone().map(|url| Indexer::new(url, trust, clock.clone())).transpose()?;
        Ok(Monitor::new(MonitorParts {
            settings: MonitorSettings { gate: Arc::new(gate), indexer },
            cluster: self.cluster.clone(),
            watched: Arc::new(WatchedNode { tracker, crawler, board, log, clock: clock.clone() }),
            graphite,
            clock,
            entropy: world.entropy.clone(),
        }))
    }
}

/// The sources of a node, for clients.
struct Services(Arc<Crawler>);

impl SourceServices for Services {
    /// Looks up names with the budgets of this node.
    fn resolve(
        &self,
        source: SourceName,
        names: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<(String, UserId)>, ResolveError>> {
        let crawler = self.0.clone();
        async move {
            crawler.resolve(&source, &names).await.map_err(|error| match &error {
                crawl::ResolveError::Limited { .. } => ResolveError::Passing(error.to_string()),
                crawl::ResolveError::Source(_)
                | crawl::ResolveError::NoMoney { .. }
                | crawl::ResolveError::NoSource { .. } => ResolveError::Lasting(error.to_string()),
            })
        }
        .boxed()
    }

    fn list(&self, check: bool) -> BoxFuture<'static, Vec<SourceStatus>> {
        let crawler = self.0.clone();
        async move {
            match check {
                true => crawler.check_sources().await,
                false => crawler.source_status(),
            }
        }
        .boxed()
    }
}

/// An unreachable API is no reason: all nodes share it, and no other one could do better.
fn not_ready(tracker: &Tracker, session: SessionView, crawler: &Crawler) -> Vec<String> {
    let mut reasons = Vec::new();
    if tracker.leader().is_none() {
        reasons
            .push("no leader is known; a majority of the nodes has to run and reach each other".to_owned());
    } else if !tracker.is_ready() {
        reasons.push("the replica is catching up with the leader".to_owned());
    }
    if !session.open {
        reasons.push("no session is open, so the workers have no jobs".to_owned());
    }
    reasons.extend(tracker.peers_differ());
    reasons.extend(crawler.dataset_trouble());
    reasons
}

/// The options of the tracker.
pub(super) fn tracker_options(
    settings: &Settings,
    world: &World,
    output_owner: Option<String>,
    trust: Option<Trust>,
) -> TrackerOptions {
    let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    TrackerOptions {
        listen: settings.listen.clone(),
        join: settings.join.clone(),
        voters: settings.voters,
        output_owner,
        dial: trust.clone().map_or_else(|| Arc::new(Tcp) as Arc<dyn Dial>, |trust| Arc::new(Tls(trust))),
        trust,
        limits: Limits {
            storage_grace_ms: millis(settings.storage_grace),
            session_ttl_ms: millis(settings.session_ttl),
            max_attempts: settings.max_attempts,
        },
        election_timeout: (settings.election_timeout, settings.election_timeout * 3 / 2),
        log_kept: settings.log_kept,
        keep_ended: settings.keep_ended,
        check_invariants: settings.check_invariants,
        events_kept: settings.redis.as_ref().map_or(0, |mirror| mirror.outbox),
        check_follow_rule: Some(check_follow_rule(settings)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..TrackerOptions::new(
            settings.id,
            settings.cluster.clone(),
            settings.peers.clone(),
            settings.data_dir.clone(),
            world.clock.clone(),
            world.entropy.clone(),
        )
    }
}

/// Rules have to compile, and to fit their crawl's network where this node has it.
fn check_follow_rule(settings: &Settings) -> CheckFollowRule {
    let fields = |source: &SourceSettings| source.rule_fields().map(|fields| (source.kind(), fields));
    let networks = settings.sources.iter().filter_map(|(name, source)| Some((name.clone(), fields(source)?)));
    let networks: BTreeMap<SourceName, _> = networks.collect();
    Arc::new(move |source, text| {
        let rule = FollowRule::compile(text).map_err(|error| error.to_string())?;
        let Some((network, there)) = networks.get(source) else { return Ok(()) };
        rule.fits(network, there).map_err(|error| error.to_string())
    })
}

fn open_feed(settings: &Settings, world: &World, tracker: &Tracker) -> anyhow::Result<Option<Feed>> {
    let Some(MirrorSettings { url, tweets_length, .. }) = settings.redis.clone() else { return Ok(None) };
    let options = FeedOptions {
        url,
        node: settings.id,
        length: tweets_length,
        folder: tracker.spool_path(),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
    };
    Ok(Some(Feed::open(options)?))
}

/// The default source and those by name.
fn open_networks(settings: &Settings, world: &World, tracker: &Tracker) -> anyhow::Result<Networks> {
    let source = twitter(&settings.api_url, settings.api_token.as_deref())?;
    let mut networks = Networks::only(source);
    for (name, settings) in &settings.sources {
        let gone_after = settings.host_gone_after().unwrap_or(crawl::HOST_GONE_AFTER);
        let source = match settings {
            SourceSettings::Twitter { api_url, token } => twitter(api_url, token.as_deref()),
            SourceSettings::Mastodon { contact, tokens, apis, gateway, .. } => {
                let (tokens, apis, gateway) = (tokens.clone(), apis.clone(), gateway.clone());
                let user_agent = Some(user_agent(contact));
                let settings = MastodonSettings { tokens, apis, gateway, user_agent };
                MastodonSource::new(&settings)
                    .map(|source| Arc::new(source) as Arc<dyn Source>)
                    .map_err(Into::into)
            }
            SourceSettings::Bluesky(settings) => {
                let spool = tracker.spool_path().with_file_name("repositories");
                bluesky(settings, spool, world)
            }
            SourceSettings::X(settings) => XSource::new(XSettings::clone(settings))
                .map(|source| Arc::new(source) as Arc<dyn Source>)
                .map_err(Into::into),
        };
        let source = source.with_context(|| format!("[source.{name}]"))?;
        networks = networks.with(name.clone(), source).host_gone_after(name, gone_after);
    }
    Ok(networks)
}

fn bluesky(settings: &Bluesky, spool: PathBuf, world: &World) -> anyhow::Result<Arc<dyn Source>> {
    let Bluesky { contact, appview, plc, collections, repository_limit, signed_in_only, .. } = settings;
    let public = BlueskySettings::new(user_agent(contact), spool);
    let settings = BlueskySettings {
        appview: appview.clone().unwrap_or(public.appview),
        plc: plc.clone().unwrap_or(public.plc),
        collections: collections.clone().unwrap_or(public.collections),
        repository_limit: repository_limit.map_or(public.repository_limit, |mib| mib << 20),
        signed_in_only: *signed_in_only,
        spool_limit: settings.spool_limit.map_or(public.spool_limit, |mib| mib << 20),
        own_handles: settings.own_handles,
        foreign_hosts: match settings.private_hosts {
            true => ForeignHosts::Any,
            false => ForeignHosts::Public,
        },
        ..public
    };
    std::fs::create_dir_all(&settings.spool)
        .with_context(|| format!("the folder {} for repositories", settings.spool.display()))?;
    Ok(Arc::new(BlueskySource::new(settings, world.clock.clone(), Work::default())?))
}

fn twitter(url: &str, token: Option<&str>) -> anyhow::Result<Arc<dyn Source>> {
    let (base_url, bearer) = (url.to_owned(), token.map(str::to_owned));
    Ok(Arc::new(TwitterSource::new(&TwitterSettings { base_url, bearer, budget_per: None })?))
}

fn open_pool(
    settings: &Settings,
    world: &World,
    addresses: Vec<Option<IpAddr>>,
    tracker: &Tracker,
) -> anyhow::Result<AddressPool> {
    let http = HttpSettings { request_timeout: settings.request_timeout, ..HttpSettings::default() };
    let budgets = BudgetSettings { margin: settings.margin, ..BudgetSettings::default() };
    let env = LedgerEnv {
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
        work: Work::default(),
        boot: BootTime::read(),
    };
    let (pool, report) = AddressPool::open(addresses, http, &tracker.budgets_path(), budgets, env)?;
    tracing::debug!(addresses = pool.len(), ?report, "rate budgets read");
    Ok(pool)
}
