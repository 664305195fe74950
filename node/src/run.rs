//! The life of a node.

mod allocator;
mod assembly;
#[cfg(feature = "s3")]
mod bucket;
mod certificates;
mod force;
#[cfg(feature = "hdfs")]
mod hdfs;
#[cfg(feature = "cassandra")]
mod keyspace;
mod output;
mod signals;

use std::io;
use std::time::Duration;

use anyhow::Context;
use raft::server::{Ended, Tracker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use assembly::{Node, World, tracker_options};
use signals::Signals;

use crate::http::HttpPort;
use crate::logs::{self, LogRing};
use crate::settings::Settings;

/// How often the size of queues and seen-sets is checked, to return freed memory.
const LOOK_AT_MEMORY: Duration = Duration::from_secs(10);
/// At shutdown, time allowed for handing jobs back.
const HAND_BACK: Duration = Duration::from_secs(6);
/// At shutdown, time allowed for transferring the leadership.
const LEAVE: Duration = Duration::from_secs(3);
/// At shutdown, time allowed for pending answers of the HTTP port.
const LAST_PAGES: Duration = Duration::from_millis(500);
/// Crawl threads have a lower priority than those of Raft: compression must not delay a heartbeat.
const CRAWL_NICENESS: i32 = 5;

/// Runs a node until it is told to stop.
///
/// # Errors
/// Why it could not start or continue.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let logs = logs::start(&settings.logs, settings.id)?;
    raise_file_limit();
    allocator::settle();
    let raft_runtime = runtime("raft", 0)?;
    if settings.force_new_cluster {
        return raft_runtime.block_on(force::new_cluster(settings));
    }
    let crawl_runtime = runtime("crawl", CRAWL_NICENESS)?;
    let outcome = raft_runtime.block_on(live(settings, logs.newest.clone(), crawl_runtime.handle().clone()));
    if let Err(error) = &outcome {
        tracing::error!("node stops: {}", describe_error(error));
    }
    // What still runs is a request that nobody waits for, or a publication that the next session repeats.
    crawl_runtime.shutdown_background();
    raft_runtime.shutdown_background();
    outcome
}

/// An error with its causes, each stated once: most errors include their cause in their own message.
pub fn describe_error(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |said, cause| {
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// Start-up, running and shutdown, in order.
async fn live(settings: &Settings, log: LogRing, job_runtime: Handle) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    if let Some(bug) = storage::planted::current() {
        tracing::warn!(%bug, "TWM_PLANT plants a bug in this node, for tests alone: {}", bug.what());
    }
    let world = World::of_this_machine();
    let output_owner = output::owner(settings, &world).await.context("the dataset (--output)")?;
    let trust = certificates::load(settings)?;
    if let Some(trust) = &trust {
        let trust = trust.clone();
        tokio::spawn(async move { trust.follow().await });
    }
    let addresses = settings.ips.resolve()?;
    let http_trust = trust.clone().filter(|_| settings.http_tls);
    let port = HttpPort::open(&settings.http).await?.trusting(http_trust);
    // Waits until the cluster exists and admits this node.
    let joined = async {
        let tracker = Tracker::start(tracker_options(settings, &world, output_owner, trust.clone())).await?;
        let opened = output::settle(settings, &world, &tracker).await;
        match opened.context("the dataset (--output)") {
            Ok(output) => anyhow::Ok((tracker, output)),
            Err(error) => {
                tracker.stop().await;
                Err(error)
            }
        }
    };
    let (tracker, output) = tokio::select! {
        joined = joined => joined?,
        () = port.serve_waiting() => anyhow::bail!("the HTTP port ended by itself"),
        () = signals.next() => {
            tracing::info!("node stopped before it had a place in a cluster");
            return Ok(());
        }
    };
    let http = port.address().to_string();
    tracing::info!(url = %port.url(), "monitor, metrics and health");
    let (mut node, session) =
        Node::assemble(settings, &world, output, addresses, tracker, http, job_runtime.clone())?;
    let mirror_stop = CancellationToken::new();
    let mirror = node.mirror(settings, &world).map(|mirror| tokio::spawn(mirror.run(mirror_stop.clone())));
    if let Some(feed) = node.run_feed(&mirror_stop) {
        job_runtime.spawn(feed);
    }
    let pages_stop = CancellationToken::new();
    let monitor = node.monitor(settings, &world, log, trust.as_ref())?;
    let (observe, routes, gate) = (node.observe(), monitor.routes(), monitor.gate());
    let pages = tokio::spawn({
        let stop = pages_stop.clone();
        async move { port.serve(observe, routes, gate, stop).await }
    });
    tokio::spawn({
        let stop = pages_stop.clone();
        async move { monitor.run(stop).await }
    });
    tokio::spawn(give_back_freed(node.tracker.clone(), pages_stop.clone()));
    let stop = CancellationToken::new();
    let mut session = tokio::spawn(session.run(stop.clone()));
    tracing::info!(node = settings.id, http = %node.http, workers = node.workers, "node runs");

    let failure = tokio::select! {
        () = signals.next() => None,
        // Without the replica, jobs cannot be handed back: the session times out.
        ended = node.tracker.failed() => anyhow::bail!(match ended {
            Ended::Retired(why) => why,
            Ended::Broken(why) => format!(
                "this node's replica cannot continue: {why}; see whether the disk of {} is full or damaged, and start the node again",
                settings.data_dir.display()
            ),
        }),
        reason = node.crawler.failed() => Some(anyhow::anyhow!("this node cannot crawl: {reason}")),
        ended = &mut session => Some(match ended {
            Ok(Err(refusal)) => anyhow::anyhow!("this node cannot crawl: {refusal}"),
            other => anyhow::anyhow!("the session loop broke down: {other:?}"),
        }),
    };

    tracing::info!("stopping: jobs are handed back");
    stop.cancel();
    let leave = async {
        if !session.is_finished() && tokio::time::timeout(HAND_BACK, session).await.is_err() {
            tracing::warn!("not all jobs were handed back in time; the cluster takes them back itself");
        }
        // The next leader continues after the last answer that this one got from Redis.
        mirror_stop.cancel();
        if let Some(Err(broken)) = futures::future::OptionFuture::from(mirror).await {
            tracing::warn!("the mirror broke down: {broken}");
        }
        if tokio::time::timeout(LEAVE, node.tracker.stop()).await.is_err() {
            tracing::warn!("raft did not stop in time");
        }
        pages_stop.cancel();
        if tokio::time::timeout(LAST_PAGES, pages).await.is_err() {
            tracing::debug!("the HTTP port had open connections");
        }
    };
    tokio::select! {
        () = leave => {}
        () = signals.next() => anyhow::bail!("stopped at once by a second signal"),
    }
    tracing::info!("node stopped");
    failure.map_or(Ok(()), Err)
}

/// Returns memory to the system when crawls have left it.
async fn give_back_freed(tracker: Tracker, stop: CancellationToken) {
    let mut freed = allocator::Freed::default();
    let mut looks = tokio::time::interval(LOOK_AT_MEMORY);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        let sizes = tracker.sizes();
        if freed.look(sizes.queue_bytes + sizes.seen_bytes) {
            if let Err(broken) = tokio::task::spawn_blocking(allocator::give_back).await {
                tracing::warn!("free memory was not given back: {broken}");
            }
        }
    }
}

/// Raises the limit of file descriptors to the allowed maximum: connections and drafts must not compete for the first
/// thousand.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = ?limit.current, "the limit of open files stays as it is");
    }
}

/// A runtime for one half of a node: Raft and everything that serves others, or the crawl.
fn runtime(name: &'static str, niceness: i32) -> anyhow::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name(name)
        .worker_threads(cores.max(2))
        // They compress and sync files: many more threads than cores would only wait for each other.
        .max_blocking_threads((cores * 4).max(16))
        .on_thread_start(move || {
            if niceness != 0 {
                be_nice(niceness);
            }
        })
        .enable_all()
        .build();
    runtime.map_err(|e: io::Error| anyhow::anyhow!("cannot start the threads of the {name} runtime: {e}"))
}

/// On Linux, a thread has its own niceness.
fn be_nice(niceness: i32) {
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!(%error, "crawl threads have the same priority as those of raft");
    }
}
