//! Decides when a restarted node is back.

use std::time::Duration;

use api::model::{ClusterStatus, NodeId, NodeRole};

use crate::ctl::health;

/// Watches one node come back.
#[derive(Debug)]
pub struct Ready {
    node: NodeId,
    /// Whether it ran workers before: then the next node must not stop before they run again.
    had_workers: bool,
    /// The leader's log when the node was first seen again. Later entries do not count: the log of a busy
    /// cluster is always ahead of what a follower has applied.
    goal: Option<u64>,
}

impl Ready {
    /// Watches a node.
    pub fn new(node: NodeId, had_workers: bool) -> Self {
        Self { node, had_workers, goal: None }
    }

    /// What is still missing, `since` the restart was begun; `None` once the node is back.
    pub fn missing(&mut self, status: &ClusterStatus, since: Duration) -> Option<String> {
        let member = status.nodes.iter().find(|m| m.id == self.node);
        let Some(node) = member.and_then(|m| m.node.as_ref()) else {
            return Some("it does not answer".to_owned());
        };
        if u128::from(node.uptime_ms) >= since.as_millis() {
            return Some("the old process still runs; the command must restart it".to_owned());
        }
        if matches!(node.role, NodeRole::Stopping | NodeRole::Candidate) {
            return Some(format!("it is a {} node", node.role.name()));
        }
        let leader = status.nodes.iter().find(|m| m.id == status.leader).and_then(|m| m.node.as_ref());
        let Some(leader) = leader else {
            return Some("the leader does not answer".to_owned());
        };
        let goal = *self.goal.get_or_insert(leader.last_log);
        if node.applied < goal {
            return Some(format!("it has applied {} of {goal} log entries", node.applied));
        }
        if self.had_workers && node.workers.is_none() {
            return Some("its workers do not run yet".to_owned());
        }
        health::troubles(status).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    /// A healthy cluster whose node 2 came back 5 s ago and has applied this index.
    fn status(applied: u64) -> ClusterStatus {
        let mut status = samples::status();
        status.nodes.truncate(2);
        let node = status.nodes[1].node.as_mut().unwrap();
        (node.uptime_ms, node.applied) = (5_000, applied);
        status
    }

    const SINCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_node_is_back_when_it_has_applied_the_log_of_its_return() {
        let mut ready = Ready::new(2, false);
        assert!(ready.missing(&status(880), SINCE).unwrap().contains("880 of 900"));
        let mut later = status(900);
        later.nodes[0].node.as_mut().unwrap().last_log = 2_000;
        assert_eq!(ready.missing(&later, SINCE), None);
    }

    #[test]
    fn the_old_process_does_not_count() {
        let missing = Ready::new(2, false).missing(&status(900), Duration::from_secs(5));
        assert!(missing.unwrap().contains("old process"));
    }

    #[test]
    fn workers_that_ran_must_run_again() {
        let mut now = status(900);
        assert!(Ready::new(2, true).missing(&now, SINCE).unwrap().contains("workers"));
        now.nodes[1].node.as_mut().unwrap().workers = Some(Default::default());
        assert_eq!(Ready::new(2, true).missing(&now, SINCE), None);
    }

    #[test]
    fn another_node_that_is_down_stops_the_roll() {
        let mut now = status(900);
        now.nodes.push(samples::status().nodes[2].clone());
        assert!(Ready::new(2, false).missing(&now, SINCE).unwrap().contains("node 3"));
        now.nodes[1].node = None;
        assert_eq!(Ready::new(2, false).missing(&now, SINCE).unwrap(), "it does not answer");
    }
}
