//! Why a crawl does not proceed, or not as fast as it could; and what in the cluster needs an operator's
//! attention.

use std::time::Duration;

use api::model::{AddressStatus, ClusterStatus, CrawlPhase, CrawlView};
use raft::state::{AwaitedHost, Delays, WaitSummary};
use serde_json::{Value, json};

/// How far a follower may lag before it is mentioned, log entries.
const MUCH_LAG: u64 = 10_000;

/// Most hosts that are named.
const MOST_HOSTS: usize = 5;

/// The severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Everything is as it should be.
    Info,
    /// Something waits.
    Warning,
    /// Nothing proceeds until somebody acts.
    Trouble,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// A keyword for programs.
    pub(super) kind: &'static str,
    pub(super) weight: Weight,
    /// The situation and the remedy.
    pub(super) text: String,
    /// How much longer it lasts, ms; absent if unknown.
    pub(super) for_ms: Option<u64>,
}

impl Reason {
    pub(super) fn new(kind: &'static str, weight: Weight, text: String) -> Self {
        Self { kind, weight, text, for_ms: None }
    }

    pub(super) fn json(&self) -> Value {
        let weight = match self.weight {
            Weight::Info => "info",
            Weight::Warning => "warning",
            Weight::Trouble => "trouble",
        };
        json!({ "kind": self.kind, "weight": weight, "text": self.text, "for_ms": self.for_ms })
    }
}

/// What holds up a crawl; `cluster` is absent without a leader.
pub(super) fn of_crawl(
    crawl: &CrawlView,
    waits: &WaitSummary,
    cluster: Option<&ClusterStatus>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |kind, weight, text: String| reasons.push(Reason::new(kind, weight, text));
    match crawl.phase {
        CrawlPhase::Finished | CrawlPhase::Cancelled => return reasons,
        CrawlPhase::Paused => add(
            "paused",
            Weight::Trouble,
            "an operator has paused the crawl; no job starts until it is resumed".to_owned(),
        ),
        CrawlPhase::Loading => add(
            "loading",
            Weight::Info,
            "targets are still arriving; if the submission was interrupted, submit the same lists again"
                .to_owned(),
        ),
        CrawlPhase::Running => {}
    }
    let Some(cluster) = cluster else {
        add("no-leader", Weight::Trouble, "without a leader no job starts".to_owned());
        return reasons;
    };
    if cluster.sessions.is_empty() {
        add("no-workers", Weight::Trouble, "no node has a session, so there are no workers".to_owned());
    } else if cluster.sessions.iter().all(|session| drained(cluster, session.node)) {
        let text = "all nodes are drained; `twm-ctl node undrain` lets them take jobs again";
        add("drained", Weight::Trouble, text.to_owned());
    }
    let now = cluster.now.max(crawl.now);
    reasons.extend(delayed("limited", "for a rate budget", waits.limited, now));
    reasons.extend(delayed("retry", "for the next attempt after a failure", waits.retries, now));
    reasons.extend(at_hosts(waits, now));
    reasons.extend(waits.pinned.iter().filter_map(|pinned| {
        let jobs = count(pinned.jobs, "job needs", "jobs need");
        let place = format!("storage {:016x}", pinned.storage.0);
        if let Some(since) = pinned.absent_since {
            let away = words(now.saturating_sub(since));
            let text = format!(
                "{jobs} files on {place}, whose node has been away for {away}; they are fetched again when \
                 --storage-grace is over, or sooner if the node comes back"
            );
            return Some(Reason::new("absent", Weight::Warning, text));
        }
        let node = cluster.sessions.iter().find(|session| session.storage == pinned.storage)?.node;
        let text = match drained(cluster, node) {
            true => format!("{jobs} files on {place} of node {node}, which is drained"),
            false => format!(
                "{jobs} files on {place} and wait{} for a worker of node {node}",
                if pinned.jobs == 1 { "s" } else { "" }
            ),
        };
        Some(Reason::new("pinned", Weight::Info, text))
    }));
    let busy = cluster.sessions.iter().all(|session| session.leased >= u64::from(session.workers));
    if crawl.queued + crawl.ready > 0 && crawl.leased == 0 && busy && !cluster.sessions.is_empty() {
        let text = "all workers are busy with other crawls; a higher priority at submit gives a larger share";
        reasons.push(Reason::new("crowded", Weight::Info, text.to_owned()));
    }
    let waits = crawl.phase != CrawlPhase::Paused && crawl.queued + crawl.ready > 0;
    if waits && crawl.leased == 0 && !busy {
        reasons.extend(all_spent(crawl.queued + crawl.ready, cluster));
    }
    reasons
}

/// The hosts for which most accounts wait, and the others together.
fn at_hosts(waits: &WaitSummary, now: u64) -> Vec<Reason> {
    let (hosts, all) = &waits.hosts;
    let mut reasons: Vec<Reason> = hosts.iter().take(MOST_HOSTS).map(|host| at_host(host, now)).collect();
    let named: u64 = hosts.iter().take(MOST_HOSTS).map(|host| host.accounts).sum();
    let (others, accounts) = (all.saturating_sub(MOST_HOSTS as u64), waits.at_hosts.saturating_sub(named));
    if others > 0 {
        let accounts = count(accounts, "account waits", "accounts wait");
        let text = format!("{accounts} for {}", count(others, "other host", "other hosts"));
        reasons.push(Reason::new("hosts", Weight::Warning, text));
    }
    reasons
}

fn at_host(host: &AwaitedHost, now: u64) -> Reason {
    let accounts = count(host.accounts, "account waits", "accounts wait");
    let (name, since) = (&host.name, words(now.saturating_sub(host.since)));
    let next = host.until.saturating_sub(now);
    let text = match (&host.away, host.gone) {
        (Some(why), true) => {
            format!("{accounts} for {name}, which is given up after {since}: {why}; they fail now")
        }
        (Some(why), false) => {
            let again = if next == 0 { "now".to_owned() } else { format!("in {}", words(next)) };
            format!(
                "{accounts} for {name}, which has been away for {since}: {why}; it is asked again {again}"
            )
        }
        (None, _) if next > 0 => {
            format!("{accounts} for {name}, which takes no more requests for {}", words(next))
        }
        (None, _) => format!("{accounts} for {name}, which answers: ever more of them are let through"),
    };
    Reason { for_ms: Some(next), ..Reason::new("host", Weight::Warning, text) }
}

/// Reported when no address of the cluster has anything left of some budget: its workers then take no jobs that need
/// it.
fn all_spent(waiting: u64, cluster: &ClusterStatus) -> Option<Reason> {
    let workers = cluster.nodes.iter().filter_map(|m| m.node.as_ref()?.workers.as_ref());
    let addresses: Vec<_> = workers.flat_map(|workers| &workers.addresses).collect();
    let spent = |address: &AddressStatus| {
        let spent = address.budgets.iter().filter(|budget| budget.remaining == Some(0));
        spent.filter_map(|budget| budget.reset_in_ms).min()
    };
    let resets: Vec<u64> = addresses.iter().filter_map(|address| spent(address)).collect();
    let first = resets.iter().copied().min().filter(|_| resets.len() == addresses.len())?;
    let text = format!(
        "{waiting} more could run, but all {} addresses have spent a rate budget; the first is renewed in {}",
        addresses.len(),
        words(first)
    );
    Some(Reason { for_ms: Some(first), ..Reason::new("spent", Weight::Warning, text) })
}

/// What is wrong with the cluster, as its leader sees it.
pub(super) fn of_cluster(cluster: &ClusterStatus) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |kind, weight, text: String| reasons.push(Reason::new(kind, weight, text));
    for member in &cluster.nodes {
        let (id, address) = (member.id, &member.address);
        match &member.node {
            None => add(
                "node-down",
                Weight::Trouble,
                format!("node {id} ({address}) does not answer; look at its log and start it again"),
            ),
            Some(node) => {
                let newest = cluster.nodes.iter().filter_map(|m| m.node.as_ref()).map(|n| n.last_log).max();
                let lag = newest.unwrap_or_default().saturating_sub(node.applied);
                if lag > MUCH_LAG {
                    add("lag", Weight::Warning, format!("node {id} is {lag} log entries behind"));
                }
            }
        }
        if member.drained {
            let text =
                format!("node {id} is drained and gets no jobs; `twm-ctl node undrain {id}` ends that");
            add("node-drained", Weight::Info, text);
        }
    }
    let voters = cluster.nodes.iter().filter(|m| m.voter).count();
    let up = cluster.nodes.iter().filter(|m| m.voter && m.node.is_some()).count();
    let majority = voters / 2 + 1;
    if up < voters && up <= majority {
        let text = format!("a majority is at risk: {up} of {voters} voters answer and {majority} must");
        add("majority", Weight::Trouble, text);
    }
    reasons
}

/// A problem of all jobs of this node; each node knows only its own.
pub(super) fn of_node(id: u64, trouble: &str) -> Reason {
    Reason::new("node-trouble", Weight::Trouble, format!("node {id}: {trouble}"))
}

fn drained(cluster: &ClusterStatus, node: u64) -> bool {
    cluster.nodes.iter().any(|member| member.id == node && member.drained)
}

fn delayed(kind: &'static str, what: &str, delays: Delays, now: u64) -> Option<Reason> {
    if delays.jobs == 0 {
        return None;
    }
    let jobs = count(delays.jobs, "job waits", "jobs wait");
    let first = delays.first_at.saturating_sub(now);
    let last = delays.last_at.saturating_sub(now);
    let text = match first == last {
        true => format!("{jobs} {what}, {} more", words(last)),
        false => {
            format!("{jobs} {what}; the first continues in {}, the last in {}", words(first), words(last))
        }
    };
    Some(Reason { for_ms: Some(last), ..Reason::new(kind, Weight::Warning, text) })
}

fn count(jobs: u64, one: &str, many: &str) -> String {
    match jobs {
        1 => format!("1 {one}"),
        jobs => format!("{jobs} {many}"),
    }
}

/// `800 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`.
fn words(millis: u64) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
