//! Tables of nodes, sessions and addresses.

use api::model::{ClusterStatus, MemberChange, MemberStatus, NodeStatus, SessionStatus, WorkerStatus};
use comfy_table::Table;

use super::{columns, count, millis, printable};

const UNKNOWN: &str = "-";

/// Every node, with its lag behind the leader's log.
pub fn nodes(status: &ClusterStatus) -> Table {
    let newest = leader_log(status);
    columns(NODE_COLUMNS, status.nodes.iter().map(|member| node_row(member, newest)))
}

const NODE_COLUMNS: [&str; 9] =
    ["NODE", "ADDRESS", "ROLE", ">TERM", ">LOG", ">APPLIED", ">LAG", "VERSION", "UP"];

/// The last log index of the leader, or of the most up-to-date node if the leader is silent.
pub fn leader_log(status: &ClusterStatus) -> u64 {
    let of_leader = status.nodes.iter().find(|m| m.id == status.leader).and_then(|m| m.node.as_ref());
    let known = status.nodes.iter().filter_map(|m| m.node.as_ref());
    of_leader.map_or_else(|| known.map(|n| n.last_log).max().unwrap_or(0), |n| n.last_log)
}

fn node_row(member: &MemberStatus, newest: u64) -> [String; 9] {
    let address = printable(&member.address);
    let id = member.id.to_string();
    let Some(node) = &member.node else {
        let unknown = || UNKNOWN.to_owned();
        return [
            id,
            address,
            "down".into(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
        ];
    };
    let drained = if member.drained { ", drained" } else { "" };
    [
        id,
        address,
        format!("{}{drained}", node.role.name()),
        node.term.to_string(),
        node.last_log.to_string(),
        node.applied.to_string(),
        newest.saturating_sub(node.applied).to_string(),
        printable(&node.version),
        millis(node.uptime_ms),
    ]
}

/// Nodes that answered for themselves, if there is no leader.
pub fn lone_nodes(answers: &[(String, NodeStatus)]) -> Table {
    let newest = answers.iter().map(|(_, node)| node.last_log).max().unwrap_or(0);
    let rows = answers.iter().map(|(endpoint, node)| {
        let member = MemberStatus {
            id: node.id,
            disk: node.disk,
            address: endpoint.clone(),
            voter: true,
            drained: false,
            cut_off: None,
            node: Some(node.clone()),
        };
        node_row(&member, newest)
    });
    columns(NODE_COLUMNS, rows)
}

/// Every member of the cluster, and the changes that are in progress.
pub fn members(status: &ClusterStatus) -> Table {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let rows = status.nodes.iter().map(|member| {
        let role = match (&member.cut_off, &member.node) {
            (Some(_), _) => "cut off",
            (None, Some(node)) => node.role.name(),
            (None, None) => "down",
        };
        let leaves = status.changes.iter().any(|change| {
            matches!(change, MemberChange::Leaves { node, disk } if (*node, *disk) == (member.id, member.disk))
        });
        [
            member.id.to_string(),
            format!("{:016x}", member.disk.0),
            printable(&member.address),
            yes(member.voter),
            yes(member.drained),
            if leaves { format!("{role}, leaves") } else { role.to_owned() },
        ]
    });
    let joins = status.changes.iter().filter_map(|change| match change {
        MemberChange::Joins { node, address, disk, .. } => {
            let disk = disk.as_ref().map(|disk| format!("{:016x}", disk.0));
            let waits = if disk.is_some() { "joins" } else { "let in, not started" };
            let disk = disk.unwrap_or_else(|| UNKNOWN.to_owned());
            Some([node.to_string(), disk, printable(address), yes(false), yes(false), waits.to_owned()])
        }
        MemberChange::Leaves { .. } => None,
    });
    columns(["NODE", "DISK", "ADDRESS", "VOTES", "DRAINED", "ROLE"], rows.chain(joins))
}

/// Every live session.
pub fn sessions(status: &ClusterStatus) -> Table {
    let rows = status.sessions.iter().map(|session| {
        [
            session.id.to_string(),
            session.node.to_string(),
            session.workers.to_string(),
            count(session.leased),
            count(session.completed),
            millis(session.silent_ms),
        ]
    });
    columns(["SESSION", "NODE", ">WORKERS", ">LEASED", ">COMPLETED", ">SILENT"], rows)
}

/// Every node's workers, with its session if it has one.
pub fn workers(status: &ClusterStatus) -> Table {
    let rows = status.nodes.iter().map(|member| {
        let session = status.sessions.iter().rev().find(|s| s.node == member.id);
        worker_row(member, session)
    });
    let header = [
        "NODE",
        "SESSION",
        ">WORKERS",
        ">BUSY",
        ">LEASED",
        ">COMPLETED",
        ">REQUESTS",
        ">ERRORS",
        ">TWEETS",
        ">FOLLOWERS",
        ">ADDRESSES",
        "HTTP",
    ];
    columns(header, rows)
}

fn worker_row(member: &MemberStatus, session: Option<&SessionStatus>) -> [String; 12] {
    let workers = member.node.as_ref().and_then(|node| node.workers.as_ref());
    let of_session = |get: fn(&SessionStatus) -> u64| session.map_or(UNKNOWN.to_owned(), |s| count(get(s)));
    let of_workers = |get: fn(&WorkerStatus) -> u64| workers.map_or(UNKNOWN.to_owned(), |w| count(get(w)));
    [
        member.id.to_string(),
        session.map_or(UNKNOWN.to_owned(), |s| s.id.to_string()),
        workers.map_or_else(|| of_session(|s| u64::from(s.workers)), |w| w.total.to_string()),
        of_workers(|w| u64::from(w.busy)),
        of_session(|s| s.leased),
        of_session(|s| s.completed),
        of_workers(|w| w.requests),
        of_workers(|w| w.request_errors),
        of_workers(|w| w.tweets),
        of_workers(|w| w.followers),
        of_workers(|w| w.addresses.len() as u64),
        workers.map_or(UNKNOWN.to_owned(), |w| printable(&w.http)),
    ]
}

/// Every rate budget of every address of every node.
pub fn addresses(status: &ClusterStatus) -> Table {
    let optional = |n: Option<u64>| n.map_or(UNKNOWN.to_owned(), count);
    let mut rows = Vec::new();
    for member in &status.nodes {
        let workers = member.node.as_ref().and_then(|node| node.workers.as_ref());
        for address in workers.iter().flat_map(|w| &w.addresses) {
            let name = printable(&address.address);
            if address.budgets.is_empty() {
                let unused = || UNKNOWN.to_owned();
                rows.push([member.id.to_string(), name, unused(), unused(), unused(), unused(), unused()]);
                continue;
            }
            rows.extend(address.budgets.iter().map(|budget| {
                [
                    member.id.to_string(),
                    name.clone(),
                    printable(&budget.endpoint),
                    optional(budget.remaining),
                    optional(budget.limit),
                    budget.reset_in_ms.map_or(UNKNOWN.to_owned(), millis),
                    budget.in_flight.to_string(),
                ]
            }));
        }
    }
    columns(["NODE", "ADDRESS", "ENDPOINT", ">LEFT", ">LIMIT", ">RESET IN", ">UNDER WAY"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn workers_are_shown_for_every_node_even_without_a_session() {
        let table = workers(&samples::status()).trim_fmt();
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1][..8], ["1", "812", "32", "5", "5", "1,195", "10,000", "3"]);
        assert_eq!(words[3][..4], ["3", "-", "-", "-"]);
    }

    #[test]
    fn members_are_listed_with_their_votes() {
        let table = members(&samples::status()).trim_fmt();
        assert!(
            table.lines().any(|line| {
                line.split_whitespace().eq([
                    "2",
                    "0000000000000012",
                    "10.0.0.2:8000",
                    "yes",
                    "yes",
                    "follower",
                ])
            }),
            "{table}"
        );
    }
}
