//! The health of a cluster.

use api::model::{ClusterStatus, MemberStatus, NodeStatus};

use super::render::printable;

/// What needs an operator's attention, worst last; empty if the cluster is healthy. A drained node is
/// healthy, since an operator drained it.
pub fn troubles(status: &ClusterStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    for member in status.nodes.iter().filter(|m| m.node.is_none()) {
        troubles.push(format!(
            "node {} ({}) does not answer; look at its log and start it again",
            member.id, member.address
        ));
    }
    let voters = status.nodes.iter().filter(|m| m.voter).count();
    let up = status.nodes.iter().filter(|m| m.voter && m.node.is_some()).count();
    if up < voters && up <= majority(voters) {
        troubles.push(format!(
            "a majority is at risk: {up} of {voters} voters answer and {} must",
            majority(voters)
        ));
    }
    troubles
}

/// What prevents nodes that are up from doing jobs, one line per node.
pub fn outages(status: &ClusterStatus) -> Vec<String> {
    let of = |member: &MemberStatus| {
        let workers = member.node.as_ref().and_then(|node| node.workers.as_ref());
        let troubles = workers.map(|workers| [&workers.dataset_trouble, &workers.api_trouble]);
        let troubles = troubles.into_iter().flatten().flatten();
        troubles.map(|trouble| format!("node {}: {}", member.id, printable(trouble))).collect::<Vec<_>>()
    };
    status.nodes.iter().flat_map(of).collect()
}

/// What is wrong if no leader answered but these nodes did; `asked` is the number of nodes asked.
pub fn leaderless(answers: &[(String, NodeStatus)], asked: usize) -> Vec<String> {
    vec![format!(
        "the cluster has no leader: {} of the {asked} nodes asked answer, but no majority that agrees; start the \
         missing nodes, and look at the network between them",
        answers.len()
    )]
}

fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn a_node_that_is_down_is_named_and_so_is_the_risk() {
        let troubles = troubles(&samples::status());
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        assert!(troubles[0].contains("node 3 (10.0.0.3:8000)"), "{troubles:?}");
        assert!(troubles[1].contains("2 of 3 voters answer and 2 must"), "{troubles:?}");
    }

    #[test]
    fn a_drained_node_and_a_cluster_of_one_are_well() {
        let mut status = samples::status();
        status.nodes.truncate(2);
        assert_eq!(troubles(&status), Vec::<String>::new());
        status.nodes.truncate(1);
        assert_eq!(troubles(&status), Vec::<String>::new());
    }

    #[test]
    fn a_node_whose_jobs_wait_is_named_with_the_reason() {
        let mut status = samples::status();
        assert_eq!(outages(&status), Vec::<String>::new());
        let workers = status.nodes[0].node.as_mut().unwrap().workers.as_mut().unwrap();
        workers.dataset_trouble = Some("no space; free some".to_owned());
        workers.api_trouble = Some("no\x1b[2Jroute".to_owned());
        assert_eq!(outages(&status), ["node 1: no space; free some", "node 1: no\\u{1b}[2Jroute"]);
    }

    #[test]
    fn a_lost_learner_puts_no_majority_at_risk() {
        let mut status = samples::status();
        status.nodes[2].voter = false;
        assert_eq!(troubles(&status).len(), 1);
    }
}
