//! Lost and unmounted disks, and membership changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::TrackerApi;
use storage::env::Entropy;
use tokio::time::sleep;

use crate::model::NodeId;
use crate::wire::MemberRequest;

use super::faults::{Fault, Later};
use super::net::address;
use super::operators::replace_disk;
use super::process::{NEXT_VERSION, SimNode};
use super::world::World;

/// Pause after a disk was replaced, before another one may be.
const RECOVERY: Duration = Duration::from_secs(5);

/// Most additional nodes at a time.
const MOST_ADDED: usize = 1;

/// Worlds with this many nodes get no more, because they take the longest already.
const MOST_NODES: usize = 7;

/// Fewest voters: one of their disks may be lost next.
const LEAST_VOTERS: usize = 3;

impl World {
    /// A disk is lost and an operator replaces it; one at a time, and only while all others vote: a new disk that
    /// does not vote yet is not part of a majority, so that a second lost disk of three would lose the quorum.
    pub(super) fn replace_disk(&mut self, victim: NodeId) -> bool {
        let voters =
            self.nodes.iter().filter_map(SimNode::tracker).map(|tracker| tracker.voters().len()).min();
        let well = |node: &SimNode| {
            node.leader().is_some() && node.tracker().is_some_and(|tracker| tracker.is_settled())
        };
        // One that is joining has no disk yet that could be lost.
        let joins = victim > self.first_nodes() as NodeId
            && !self.nodes.iter().any(|node| node.id == victim && well(node));
        let others_are_well = self.nodes.iter().filter(|node| node.id != victim).all(well);
        let nodes = &self.nodes;
        let is_well = |id: NodeId| nodes.iter().find(|node| node.id == id).is_none_or(well);
        self.replacing.retain(|node, since| !is_well(*node) || self.now < *since + RECOVERY);
        let changing = self.changing.load(Ordering::Relaxed) || self.leaving.is_some();
        if !self.replacing.is_empty()
            || !self.unmounted.is_empty()
            || changing
            || joins
            || !others_are_well
            || voters < Some(LEAST_VOTERS)
        {
            return false;
        }
        self.replacing.insert(victim, self.now);
        let soon = self.now + Duration::from_millis(500 + self.below(1_000));
        self.later.retain(|(_, later)| *later != Later::Start(victim));
        self.later.push((soon, Later::Start(victim)));
        let node = self.node(victim);
        node.kill();
        node.disk = node.disks_used;
        node.disks_used += 1;
        // The version may rise while no member has this disk.
        node.known = NEXT_VERSION;
        let (client, trace) = (self.client(), self.trace.clone());
        self.admin.spawn(replace_disk(client, victim, trace));
        true
    }

    /// Some nodes, or all, restart with an empty folder in place of their disk.
    pub(super) fn unmount(&mut self) -> bool {
        if !self.replacing.is_empty() || !self.unmounted.is_empty() {
            return false;
        }
        let first = self.nodes.iter().map(|node| node.id).take(self.first_nodes());
        let ids: Vec<NodeId> = first.filter(|_| self.below(3) > 0).collect();
        let back = self.now + Duration::from_millis(2_000 + self.below(4_000));
        self.later.retain(|(_, later)| !matches!(later, Later::Start(node) if ids.contains(node)));
        for id in ids {
            self.unmounted.insert(id);
            let node = self.node(id);
            node.kill();
            let disk = std::mem::replace(&mut node.disk, node.disks_used);
            node.disks_used += 1;
            node.start();
            self.later.push((back, Later::Remount(id, disk)));
        }
        true
    }

    /// An operator changes the members, one change after the other. Only nodes that joined later are removed.
    pub(super) fn change_members(&mut self, fault: Fault, victim: NodeId) -> bool {
        if self.changing.load(Ordering::Relaxed) || self.leaving.is_some() || !self.replacing.is_empty() {
            return false;
        }
        let Some(leader) =
            self.nodes.iter().filter(|node| node.leader().is_some()).find_map(SimNode::tracker)
        else {
            return false;
        };
        let voters = leader.voters();
        let votes = voters.contains(&victim);
        let first = self.first_nodes();
        // An unused admission is merely withdrawn: its node is not told, and waits.
        let joined = self
            .nodes
            .iter()
            .any(|node| node.id == victim && node.tracker().is_some_and(|tracker| tracker.is_settled()));
        let request = match fault {
            Fault::AddMember if first < MOST_NODES && self.nodes.len() < first + MOST_ADDED => {
                self.numbered += 1;
                let node = self.numbered;
                let seed = self.dice.next_u64();
                let mut made = (self.make)(node, seed);
                // The cluster's version may have risen when it joins.
                made.known = NEXT_VERSION;
                self.nodes.push(made);
                self.later.push((self.now, Later::Start(node)));
                MemberRequest::Add { node, address: address(node) }
            }
            Fault::RemoveMember
                if victim > first as NodeId && joined && (!votes || voters.len() > LEAST_VOTERS) =>
            {
                self.leaving = Some(victim);
                MemberRequest::Remove { node: victim }
            }
            Fault::Promote if !votes => MemberRequest::Promote { node: victim },
            Fault::Demote if votes && voters.len() > LEAST_VOTERS => MemberRequest::Demote { node: victim },
            _ => return false,
        };
        // Promotion and demotion may be refused; additions and removals must succeed.
        self.ask(request, matches!(fault, Fault::AddMember | Fault::RemoveMember));
        true
    }

    fn ask(&mut self, request: MemberRequest, insists: bool) {
        let (client, trace, changing) = (self.client(), self.trace.clone(), Arc::clone(&self.changing));
        changing.store(true, Ordering::Relaxed);
        self.admin.spawn(async move {
            loop {
                let asked = client.change_members(request.clone()).await;
                trace.deed(format_args!("{request:?}: {}", if asked.is_ok() { "done" } else { "not done" }));
                if asked.is_ok() || !insists {
                    return changing.store(false, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
    }

    fn first_nodes(&self) -> usize {
        self.nodes.first().map_or(0, SimNode::first_nodes)
    }
}
