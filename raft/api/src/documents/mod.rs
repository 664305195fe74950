//! The cluster as JSON, for `twm-ctl -o json` and the monitor's API. The names are a public interface: add new ones,
//! never rename.
//!
//! Account ids are strings, because JSON readers round numbers beyond 2^53.

pub mod counters;
pub mod money;
mod pace;

use serde_json::{Map, Value, json};

use crate::model::{
    AddressStatus, CrawlView, DiskId, FailedUser, Failure, Gone, MemberChange, MemberStatus, NodeStatus,
    Operation, SessionStatus, WorkerStatus,
};

pub use pace::{Done, Pace, Rates, age};

/// A member. `newest` is the highest log index known in the cluster. Rate budgets are optional, since there
/// can be thousands.
pub fn member(member: &MemberStatus, newest: u64, budgets: bool) -> Value {
    json!({
        "id": member.id,
        "disk": format!("{:016x}", member.disk.0),
        "address": member.address,
        "voter": member.voter,
        "drained": member.drained,
        "cut_off": member.cut_off,
        "up": member.node.is_some(),
        "node": member.node.as_ref().map(|status| node(status, Some(newest), budgets)),
    })
}

/// A membership change that is requested or in progress.
pub fn change(change: &MemberChange) -> Value {
    let hex = |disk: &DiskId| format!("{:016x}", disk.0);
    match change {
        MemberChange::Joins { node, address, disk, replaces } => json!({
            "change": "joins",
            "node": node,
            "address": address,
            "disk": disk.as_ref().map(hex),
            "replaces": replaces.as_ref().map(hex),
        }),
        MemberChange::Leaves { node, disk } => json!({ "change": "leaves", "node": node, "disk": hex(disk) }),
    }
}

/// The status of a node. Its lag is included only if `newest` is given.
pub fn node(node: &NodeStatus, newest: Option<u64>, budgets: bool) -> Value {
    json!({
        "id": node.id,
        "cluster": node.cluster.to_string(),
        "disk": format!("{:016x}", node.disk.0),
        "version": node.version,
        "role": node.role.name(),
        "term": node.term,
        "leader": node.leader,
        "last_log": node.last_log,
        "applied": node.applied,
        "lag": newest.map(|newest| newest.saturating_sub(node.applied)),
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
        "dataset_trouble": workers.dataset_trouble,
        "api_trouble": workers.api_trouble,
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
pub fn session(session: &SessionStatus) -> Value {
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

/// A crawl with all its counters and its rates per second.
pub fn crawl(crawl: &CrawlView, rates: Rates) -> Value {
    let users = &crawl.counters.users;
    let operation = |operation: Operation| {
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
        "source": crawl.spec.source.to_string(),
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
    })
}

/// An account of the error list.
pub fn failed(user: &FailedUser<Failure>) -> Value {
    let why = user.why.iter().map(|failure| {
        let (operation, attempts) = (failure.operation.name(), failure.attempts);
        json!({ "operation": operation, "attempts": attempts, "reason": failure.reason })
    });
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

/// An account that is gone.
pub fn gone(user: &FailedUser<Gone>) -> Value {
    let why = user
        .why
        .iter()
        .map(|gone| json!({ "operation": gone.operation.name(), "reason": gone.reason.name() }));
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use crate::model::{SessionId, StorageId};

    use super::*;

    #[test]
    fn a_change_of_the_members_keeps_its_names_in_json() {
        let (disk, replaces) = (Some(DiskId(0xab)), Some(DiskId(1)));
        let joins = MemberChange::Joins { node: 4, address: "h:1".to_owned(), disk, replaces };
        assert_eq!(
            change(&joins),
            json!({
                "change": "joins",
                "node": 4,
                "address": "h:1",
                "disk": "00000000000000ab",
                "replaces": "0000000000000001",
            })
        );
        let first = MemberChange::Joins { node: 4, address: "h:1".to_owned(), disk: None, replaces: None };
        assert_eq!((&change(&first)["disk"], &change(&first)["replaces"]), (&Value::Null, &Value::Null));
        let leaves = MemberChange::Leaves { node: 5, disk: DiskId(2) };
        assert_eq!(change(&leaves), json!({ "change": "leaves", "node": 5, "disk": "0000000000000002" }));
    }

    #[test]
    fn a_session_keeps_its_names_in_json() {
        let status = SessionStatus {
            id: SessionId(9),
            node: 3,
            storage: StorageId(255),
            workers: 16,
            leased: 2,
            completed: 70,
            silent_ms: 1_500,
        };
        let expected = json!({
            "id": 9,
            "node": 3,
            "storage": "00000000000000ff",
            "workers": 16,
            "leased": 2,
            "completed": 70,
            "silent_ms": 1_500,
        });
        assert_eq!(session(&status), expected);
    }
}
