//! The order in which nodes are restarted.

use api::model::{ClusterStatus, NodeId};

use crate::ctl::CtlError;

/// Followers by id and then the leader, so that leadership moves once; only the selected ones, or all if none
/// is selected.
pub fn order(status: &ClusterStatus, only: &[NodeId]) -> Result<Vec<NodeId>, CtlError> {
    let members: Vec<NodeId> = status.nodes.iter().map(|m| m.id).collect();
    if let Some(stranger) = only.iter().find(|&node| !members.contains(node)) {
        return Err(CtlError::Usage(format!(
            "--only: node {stranger} is no member of the cluster; `twm-ctl member list` shows them"
        )));
    }
    let mut order: Vec<NodeId> =
        members.into_iter().filter(|node| only.is_empty() || only.contains(node)).collect();
    order.sort_by_key(|&node| (node == status.leader, node));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn the_leader_is_last() {
        let status = samples::status();
        assert_eq!(status.leader, 1);
        assert_eq!(order(&status, &[]).unwrap(), [2, 3, 1]);
        assert_eq!(order(&status, &[1, 3, 3]).unwrap(), [3, 1]);
    }

    #[test]
    fn a_node_that_does_not_exist_is_a_usage_error() {
        assert_eq!(order(&samples::status(), &[2, 9]).unwrap_err().exit_code(), 2);
    }
}
