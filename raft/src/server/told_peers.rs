//! Compares the configured peers with the members.

use std::collections::BTreeMap;
use std::sync::RwLock;

use crate::model::NodeId;

use super::tracker::Tracker;

/// How `--peers` differs from the membership; absent while they agree or cannot be compared.
#[derive(Default)]
pub(super) struct ToldPeers {
    difference: RwLock<Option<String>>,
}

impl Tracker {
    /// How the peers configured for this node differ from the cluster's members, as a message. Once they have agreed,
    /// later membership changes do not count as a mistake in this node's settings.
    pub fn peers_differ(&self) -> Option<String> {
        self.inner.told_peers.difference.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Compares the configured peers with the members, and records the difference; returns whether they agree.
    pub(super) fn compare_peers(&self) -> bool {
        if !self.is_ready() {
            return false;
        }
        let (membership, _) = self.membership();
        let members = membership.nodes().map(|(id, member)| (id.node, member.address.clone())).collect();
        let differ = difference(&self.inner.options.peers, &members, self.inner.options.id);
        let mut noted = self.inner.told_peers.difference.write().unwrap_or_else(|e| e.into_inner());
        if let Some(differ) = differ.as_ref().filter(|differ| Some(*differ) != noted.as_ref()) {
            tracing::error!("{differ}");
        }
        *noted = differ;
        noted.is_none()
    }
}

fn difference(
    told: &BTreeMap<NodeId, String>,
    members: &BTreeMap<NodeId, String>,
    own: NodeId,
) -> Option<String> {
    // A node that joined has no peers, and one without configured peers has only itself.
    let alone = told.len() == 1 && told.contains_key(&own) && members.contains_key(&own);
    if told.is_empty() || alone || told == members {
        return None;
    }
    let list = |peers: &BTreeMap<NodeId, String>| {
        peers.iter().map(|(id, address)| format!("{id}={address}")).collect::<Vec<_>>().join(",")
    };
    Some(format!(
        "--peers is {}, the cluster's members are {}, and the members count. Give all nodes the members as --peers, or change \
         the members with `twm-ctl member`",
        list(told),
        list(members)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(of: &[(NodeId, &str)]) -> BTreeMap<NodeId, String> {
        of.iter().map(|(id, address)| (*id, (*address).to_owned())).collect()
    }

    #[test]
    fn every_difference_is_told_and_what_was_not_told_is_none() {
        let members = peers(&[(1, "a:1"), (2, "b:1")]);
        assert_eq!(difference(&members, &members, 1), None);
        assert_eq!(difference(&peers(&[]), &members, 2), None);
        assert_eq!(difference(&peers(&[(1, "127.0.0.1:8000")]), &members, 1), None);
        for told in [peers(&[(1, "a:1"), (2, "b:2")]), peers(&[(1, "a:1"), (2, "b:1"), (3, "c:1")])] {
            let said = difference(&told, &members, 1).unwrap();
            assert!(said.contains("1=a:1,2=b:1") && said.contains("twm-ctl member"), "{said}");
        }
    }
}
