//! The cluster as JSON. The names here are those of `twm-ctl -o json`, and an interface: add, don't rename.
//!
//! Account ids are texts, because JSON readers round numbers beyond 2^53.

use raft::model::{
    AddressStatus, CrawlView, Event, EventKind, FailedUser, Failure, Gone, MemberStatus, NodeStatus,
    SessionStatus, WorkerStatus,
};
use serde_json::{Map, Value, json};

use super::pace::Rates;
use super::reasons::Reason;
use crate::logs::LogLine;
use crate::mirror::event_fields;
use crate::session::ShownJob;

/// A member; `newest` is the last log index that anybody has.
pub(super) fn member(member: &MemberStatus, newest: u64, budgets: bool) -> Value {
    json!({
        "id": member.id,
        "address": member.address,
        "voter": member.voter,
        "drained": member.drained,
        "up": member.node.is_some(),
        "node": member.node.as_ref().map(|status| node(status, newest, budgets)),
    })
}

fn node(node: &NodeStatus, newest: u64, budgets: bool) -> Value {
    json!({
        "id": node.id,
        "version": node.version,
        "role": node.role.name(),
        "term": node.term,
        "leader": node.leader,
        "last_log": node.last_log,
        "applied": node.applied,
        "lag": newest.saturating_sub(node.applied),
        "checkpoint": node.checkpoint,
        "uptime_ms": node.uptime_ms,
        "workers": node.workers.as_ref().map(|status| workers(status, budgets)),
    })
}

fn workers(workers: &WorkerStatus, budgets: bool) -> Value {
    let spent = |address: &&AddressStatus| address.budgets.iter().any(|b| b.remaining == Some(0));
    let mut value = json!({
        "total": workers.total,
        "busy": workers.busy,
        "requests": workers.requests,
        "request_errors": workers.request_errors,
        "tweets": workers.tweets,
        "followers": workers.followers,
        "http": workers.http,
        "addresses_used": workers.addresses.len(),
        "addresses_spent": workers.addresses.iter().filter(spent).count(),
    });
    if budgets {
        value["addresses"] = workers.addresses.iter().map(address).collect();
    }
    value
}

fn address(address: &AddressStatus) -> Value {
    let budgets = address.budgets.iter().map(|budget| {
        json!({
            "endpoint": budget.endpoint,
            "limit": budget.limit,
            "remaining": budget.remaining,
            "reset_in_ms": budget.reset_in_ms,
            "in_flight": budget.in_flight,
        })
    });
    json!({ "address": address.address, "budgets": budgets.collect::<Vec<_>>() })
}

/// A live session.
pub(super) fn session(session: &SessionStatus) -> Value {
    json!({
        "id": session.id.0,
        "node": session.node,
        "storage": format!("{:016x}", session.storage.0),
        "workers": session.workers,
        "leased": session.leased,
        "completed": session.completed,
        "silent_ms": session.silent_ms,
    })
}

/// A crawl in full, with its rates per second and what holds it up.
pub(super) fn crawl(crawl: &CrawlView, rates: Rates, reasons: &[Reason]) -> Value {
    let users = &crawl.counters.users;
    let operation = |operation: raft::model::Operation| {
        let jobs = &crawl.counters.operations[operation.index()];
        let value = json!({
            "completed": jobs.completed,
            "gone": jobs.gone,
            "failed": jobs.failed,
            "limited": jobs.limited,
            "retried": jobs.retried,
            "items": jobs.items,
        });
        (operation.name().to_owned(), value)
    };
    let operations: Map<_, _> = crawl.spec.operations.iter().map(operation).collect();
    json!({
        "id": crawl.id.0,
        "name": crawl.spec.name,
        "phase": crawl.phase.name(),
        "operations": crawl.spec.operations.to_string(),
        "traversal": crawl.spec.traversal.name(),
        "depth": crawl.spec.depth,
        "follow": crawl.spec.follow,
        "priority": crawl.spec.priority,
        "users": {
            "accepted": users.accepted,
            "duplicates": users.duplicates,
            "waiting": users.waiting,
            "active": users.active,
            "completed": users.completed,
            "gone": users.gone,
            "failed": users.failed,
            "cancelled": users.cancelled,
        },
        "jobs": operations,
        "queued": crawl.queued,
        "ready": crawl.ready,
        "leased": crawl.leased,
        "delayed": crawl.delayed,
        "discovered": crawl.counters.discovered,
        "admitted": crawl.counters.admitted,
        "frontier": crawl.counters.frontier,
        "submitted_at_ms": crawl.submitted_at,
        "ended_at_ms": crawl.ended_at,
        "now_ms": crawl.now,
        "rates": { "users": rates.users, "tweets": rates.tweets, "followers": rates.followers },
        "estimate_s": rates.estimate(crawl),
        "reasons": reasons.iter().map(Reason::json).collect::<Vec<_>>(),
    })
}

/// An account of the error list.
pub(super) fn failed(user: &FailedUser<Failure>) -> Value {
    let why = user.why.iter().map(|failure| {
        let (operation, attempts) = (failure.operation.name(), failure.attempts);
        json!({ "operation": operation, "attempts": attempts, "reason": failure.reason })
    });
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

/// An account that was gone.
pub(super) fn gone(user: &FailedUser<Gone>) -> Value {
    let why = user
        .why
        .iter()
        .map(|gone| json!({ "operation": gone.operation.name(), "reason": gone.reason.name() }));
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

/// A running job.
pub(super) fn job(job: &ShownJob) -> Value {
    json!({
        "lease": job.lease.0.to_string(),
        "crawl": job.crawl.0,
        "user": job.user.to_string(),
        "operation": job.operation.name(),
        "attempt": job.attempt,
        "running_ms": job.running.as_millis() as u64,
        "pages": job.pages,
        "items": job.items,
    })
}

/// A line of the log.
pub(super) fn log_line(line: &LogLine) -> Value {
    json!({
        "sequence": line.sequence,
        "at_ms": line.at_ms,
        "level": line.level.as_str().to_ascii_lowercase(),
        "target": line.target,
        "text": line.text,
    })
}

/// An event of the job stream, its names those of `twm:events`. `begin` is when cluster time was 0, unix ms.
pub(super) fn event(number: u64, begin: u64, event: &Event) -> Value {
    /// What counts something.
    const NUMBERS: [&str; 10] = [
        "crawl",
        "node",
        "attempt",
        "items",
        "accepted",
        "duplicates",
        "accounts",
        "admitted",
        "discarded",
        "after_ms",
    ];
    let fields = event_fields(event);
    let pairs = fields.chunks_exact(2).filter(|pair| !["number", "at"].contains(&pair[0].as_str()));
    let value = |pair: &[String]| match pair[1].parse::<u64>() {
        Ok(number) if NUMBERS.contains(&pair[0].as_str()) => (pair[0].clone(), json!(number)),
        _ => (pair[0].clone(), json!(pair[1])),
    };
    let mut all: Map<_, _> = pairs.map(value).collect();
    if let EventKind::Job { operation, .. } = &event.kind {
        all.insert("operation".to_owned(), json!(operation.name()));
    }
    all.insert("number".to_owned(), json!(number));
    all.insert("id".to_owned(), json!(event.id.to_string()));
    all.insert("at_ms".to_owned(), json!(begin + event.at));
    Value::Object(all)
}
