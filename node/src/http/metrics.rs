//! What `/metrics` shows.

use api::model::NodeRole;

use super::exposition::Exposition;
use super::{Observation, crawls, money};

/// All of a node's metrics.
pub(super) fn render(node: &Observation) -> String {
    let mut page = Exposition::default();
    process(&mut page, node);
    raft(&mut page, node);
    workers(&mut page, node);
    requests(&mut page, node);
    state(&mut page, node);
    mirror(&mut page, node);
    crawls::render(&mut page, node);
    money::render(&mut page, node);
    page.into_text()
}

fn process(page: &mut Exposition, node: &Observation) {
    page.gauge("twm_build_info", "Version of the program; always 1.")
        .sample(&[("version", &node.node.version)], 1_u64);
    let seconds = node.node.uptime_ms as f64 / 1000.0;
    page.gauge("twm_uptime_seconds", "Time since the node started.").sample(&[], seconds);
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory of the process.").sample(&[], bytes);
    }
    if let Some(seconds) = node.certificate_ends_in {
        page.gauge("twm_certificate_expires_seconds", "Time until the node's certificate ends.")
            .sample(&[], seconds as f64);
    }
    let ready = u8::from(node.not_ready.is_empty());
    page.gauge("twm_ready", "Whether /readyz answers 200.").sample(&[], ready);
}

fn raft(page: &mut Exposition, observed: &Observation) {
    let node = &observed.node;
    page.gauge("twm_raft_role", "The node's part in Raft: 1 for the role that it has.");
    for role in
        [NodeRole::Leader, NodeRole::Follower, NodeRole::Candidate, NodeRole::Learner, NodeRole::Stopping]
    {
        page.sample(&[("role", role.name())], u8::from(role == node.role));
    }
    let leader = node.leader.unwrap_or(0);
    page.gauge("twm_raft_leader_id", "The leader that the node knows; 0 for none.").sample(&[], leader);
    page.gauge("twm_raft_term", "Raft term.").sample(&[], node.term);
    page.gauge("twm_raft_last_log_index", "Index of the last log entry.").sample(&[], node.last_log);
    page.gauge("twm_raft_applied_index", "Index of the last applied log entry.").sample(&[], node.applied);
    page.gauge("twm_raft_checkpoint_index", "Index of the last log entry in the checkpoint on disk.")
        .sample(&[], node.checkpoint);
    page.gauge("twm_raft_log_bytes", "Size of the Raft log on disk.").sample(&[], observed.log_bytes);
}

fn mirror(page: &mut Exposition, node: &Observation) {
    let Some(mirror) = &node.mirror else { return };
    let outbox = node.outbox;
    page.counter("twm_events_total", "Events of the cluster since the mirror was set up.")
        .sample(&[], outbox.newest);
    page.counter("twm_events_dropped_total", "Events that left the outbox before Redis had them.")
        .sample(&[], outbox.dropped);
    page.gauge("twm_outbox_bytes", "Events that are kept for the mirror.").sample(&[], outbox.bytes);
    page.gauge("twm_outbox_capacity_bytes", "Events that may be kept.").sample(&[], outbox.capacity);
    page.gauge("twm_mirror_writes", "Whether this node leads and writes to Redis.")
        .sample(&[], u8::from(mirror.writes));
    page.gauge("twm_mirror_trouble", "Whether this node leads and cannot write to Redis.")
        .sample(&[], u8::from(mirror.trouble.is_some()));
    page.counter("twm_mirror_events_total", "Events that this node appended to twm:events.")
        .sample(&[], mirror.appended);
    page.counter("twm_mirror_gaps_total", "Gap entries that it appended.").sample(&[], mirror.gaps);
    let (waiting, dropped) = node.feed.unwrap_or_default();
    page.gauge("twm_spool_bytes", "Tweets (by reference) and profiles that wait for Redis.")
        .sample(&[], waiting);
    page.counter("twm_spool_dropped_total", "Items that were not kept for Redis: the spool was full.")
        .sample(&[], dropped);
}

fn workers(page: &mut Exposition, node: &Observation) {
    let session = node.session;
    page.gauge("twm_session_open", "Whether the node has a session.").sample(&[], u8::from(session.open));
    page.counter("twm_sessions_opened_total", "Sessions opened; more than one means that some were lost.")
        .sample(&[], session.sessions);
    page.counter("twm_reports_total", "Reports that the tracker answered.").sample(&[], session.reports);
    page.gauge(
        "twm_drafts_publishing",
        "Finished files that wait for their final names or for the tracker to know.",
    )
    .sample(&[], session.publishing);
    page.gauge(
        "twm_provenance_waiting_records",
        "Records of provenance on this node's disk that the dataset does not have yet.",
    )
    .sample(&[], node.provenance_waiting);
    let Some(workers) = &node.node.workers else { return };
    page.gauge("twm_workers", "Jobs that can run at once.").sample(&[], workers.total);
    page.gauge("twm_workers_busy", "Jobs that run.").sample(&[], workers.busy);
    page.gauge("twm_outage", "Whether jobs wait because this cannot be used; `twm-ctl status` says why.");
    for (of, trouble) in [("dataset", &workers.dataset_trouble), ("api", &workers.api_trouble)] {
        page.sample(&[("of", of)], u8::from(trouble.is_some()));
    }
    page.counter("twm_tweets_total", "Tweets written.").sample(&[], workers.tweets);
    page.counter("twm_followers_total", "Followers written.").sample(&[], workers.followers);
    page.counter("twm_profiles_total", "Profiles looked up.").sample(&[], node.profiles);
}

fn requests(page: &mut Exposition, node: &Observation) {
    page.counter(
        "twm_requests_total",
        "Requests by endpoint, local address and HTTP status; status none had no answer.",
    );
    for request in &node.requests {
        let address = request.address.map_or_else(|| "any".to_owned(), |address| address.to_string());
        let status = request.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let labels = [("endpoint", request.endpoint), ("address", &address), ("status", &status)];
        page.sample(&labels, request.count);
    }
    page.counter(
        "twm_dataset_requests_total",
        "Requests to the store of the dataset by kind, each attempt counted.",
    );
    for (kind, count) in &node.dataset_requests {
        page.sample(&[("kind", kind)], *count);
    }
    let Some(workers) = &node.node.workers else { return };
    let budgets = || workers.addresses.iter().flat_map(|a| a.budgets.iter().map(|b| (a.address.as_str(), b)));
    page.gauge("twm_budget_remaining", "Requests left in the window; absent while not known.");
    for (address, budget) in budgets() {
        if let Some(remaining) = budget.remaining {
            page.sample(&[("endpoint", &budget.endpoint), ("address", address)], remaining);
        }
    }
    page.gauge("twm_budget_limit", "Requests in a whole window; absent while not known.");
    for (address, budget) in budgets() {
        if let Some(limit) = budget.limit {
            page.sample(&[("endpoint", &budget.endpoint), ("address", address)], limit);
        }
    }
    page.gauge(
        "twm_budget_reset_seconds",
        "Time until requests may be sent again, or the next window begins.",
    );
    for (address, budget) in budgets() {
        if let Some(millis) = budget.reset_in_ms {
            page.sample(&[("endpoint", &budget.endpoint), ("address", address)], millis as f64 / 1000.0);
        }
    }
    page.gauge("twm_requests_in_flight", "Requests under way.");
    for (address, budget) in budgets() {
        page.sample(&[("endpoint", &budget.endpoint), ("address", address)], budget.in_flight);
    }
}

fn state(page: &mut Exposition, node: &Observation) {
    let sizes = node.sizes;
    page.gauge(
        "twm_state_jobs",
        "Jobs with a record of their own: leased, delayed, or between two operations.",
    )
    .sample(&[], sizes.jobs);
    page.gauge("twm_state_hosts", "Hosts for which jobs wait, or did a while ago.").sample(&[], sizes.hosts);
    page.gauge("twm_state_hosts_away", "Those of them that do not answer.").sample(&[], sizes.hosts_away);
    page.gauge("twm_state_queue_bytes", "Memory of the queues and frontiers.").sample(&[], sizes.queue_bytes);
    page.gauge("twm_state_seen_ids", "Accounts in the seen-sets.").sample(&[], sizes.seen_ids);
    page.gauge("twm_state_seen_bytes", "Memory of the seen-sets.").sample(&[], sizes.seen_bytes);
}

/// As the kernel reports it; `None` without `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
