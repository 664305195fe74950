//! The cluster as JSON, for programs. The names here are an interface: add, don't rename.
//!
//! Account ids are texts, because JSON readers round numbers beyond 2^53.

use raft::model::{
    AddressStatus, ClusterStatus, CrawlView, FailedUser, Failure, Gone, MemberStatus, NodeStatus,
    SessionStatus, WorkerStatus,
};
use serde_json::{Value, json};

use super::Rates;

/// The whole cluster and what is wrong with it.
pub fn status(status: &ClusterStatus, troubles: &[String], rates: impl Fn(&CrawlView) -> Rates) -> Value {
    let crawls: Vec<_> = status.crawls.iter().map(|c| crawl(c, rates(c))).collect();
    json!({
        "cluster": status.cluster,
        "healthy": troubles.is_empty(),
        "troubles": troubles,
        "leader": status.leader,
        "term": status.term,
        "now_ms": status.now,
        "nodes": members(status),
        "sessions": status.sessions.iter().map(session).collect::<Vec<_>>(),
        "crawls": crawls,
    })
}

/// Nodes that answered for themselves, when there is no leader to ask.
pub fn leaderless(answers: &[(String, NodeStatus)], troubles: &[String]) -> Value {
    let nodes =
        answers.iter().map(|(endpoint, status)| json!({ "endpoint": endpoint, "node": node(status, None) }));
    json!({
        "healthy": false,
        "troubles": troubles,
        "leader": null,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

/// Every member.
pub fn members(status: &ClusterStatus) -> Vec<Value> {
    let newest = super::cluster::leader_log(status);
    status.nodes.iter().map(|m| member(m, newest)).collect()
}

fn member(member: &MemberStatus, newest: u64) -> Value {
    json!({
        "id": member.id,
        "address": member.address,
        "voter": member.voter,
        "drained": member.drained,
        "up": member.node.is_some(),
        "node": member.node.as_ref().map(|n| node(n, Some(newest))),
    })
}

fn node(node: &NodeStatus, newest: Option<u64>) -> Value {
    json!({
        "id": node.id,
        "version": node.version,
        "role": node.role.name(),
        "term": node.term,
        "leader": node.leader,
        "last_log": node.last_log,
        "applied": node.applied,
        "lag": newest.map(|n| n.saturating_sub(node.applied)),
        "checkpoint": node.checkpoint,
        "uptime_ms": node.uptime_ms,
        "workers": node.workers.as_ref().map(workers),
    })
}

fn workers(workers: &WorkerStatus) -> Value {
    json!({
        "total": workers.total,
        "busy": workers.busy,
        "requests": workers.requests,
        "request_errors": workers.request_errors,
        "tweets": workers.tweets,
        "followers": workers.followers,
        "http": workers.http,
        "addresses": workers.addresses.iter().map(address).collect::<Vec<_>>(),
        "dataset_trouble": workers.dataset_trouble,
        "api_trouble": workers.api_trouble,
    })
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

/// A crawl in full, with its rates per second.
pub fn crawl(crawl: &CrawlView, rates: Rates) -> Value {
    let users = &crawl.counters.users;
    let operations: serde_json::Map<_, _> = crawl
        .spec
        .operations
        .iter()
        .map(|operation| {
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
        })
        .collect();
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
    })
}

/// An account of the error list.
pub fn failed(user: &FailedUser<Failure>) -> Value {
    let why = user.why.iter().map(
        |failure| json!({ "operation": failure.operation.name(), "attempts": failure.attempts, "reason": failure.reason }),
    );
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

/// An account that was gone.
pub fn gone(user: &FailedUser<Gone>) -> Value {
    let why = user
        .why
        .iter()
        .map(|gone| json!({ "operation": gone.operation.name(), "reason": gone.reason.name() }));
    json!({ "user": user.user.to_string(), "depth": user.depth, "why": why.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use raft::model::Operation;

    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn a_status_has_what_a_script_looks_for() {
        let troubles = ["node 3 is down".to_owned()];
        let value = status(&samples::status(), &troubles, Rates::mean);
        assert_eq!(value["healthy"], false);
        assert_eq!(value["leader"], 1);
        assert_eq!(value["nodes"][1]["node"]["role"], "follower");
        assert_eq!(value["nodes"][1]["node"]["lag"], 20);
        assert_eq!((&value["nodes"][2]["up"], &value["nodes"][2]["node"]), (&json!(false), &Value::Null));
        assert_eq!(value["nodes"][0]["node"]["workers"]["addresses"][0]["budgets"][0]["remaining"], 170);
        assert_eq!(value["crawls"][0]["phase"], "running");
        assert_eq!(value["crawls"][0]["operations"], "TFA");
        assert_eq!(value["crawls"][0]["jobs"]["timeline"]["items"], 240_000);
        assert_eq!(value["crawls"][0]["rates"]["tweets"], 400.0);
    }

    #[test]
    fn an_account_id_is_a_text_whatever_its_size() {
        let why = vec![Failure { operation: Operation::Timeline, reason: "HTTP 500".into(), attempts: 5 }];
        let value = failed(&FailedUser { user: u64::MAX.into(), depth: 0, why });
        assert_eq!(value["user"], "18446744073709551615");
        assert_eq!(value["why"][0]["reason"], "HTTP 500");
    }
}
