//! Membership changes, made by the leader.
//!
//! An operator's intent is written to the roster (`raft::state::roster`) first, and then carried out in steps, one
//! change of Raft's membership at a time, by the current leader: a new leader continues where the old one stopped. A
//! new disk joins as a learner; when it has caught up, it replaces its predecessor in one joint change, which a
//! majority of the *old* voters has to commit without it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::command::{Mutation, RosterChange};
use crate::consensus::{LogId, Member, StoredMembership};
use crate::model::{DiskId, MemberId, NodeId};
use crate::state::RosterEntry;
use crate::wire::{ApiError, Greeting, Purpose};

use super::tracker::Tracker;
use super::wakeups::Wakeups;

/// Most voters: more would only make every write slower.
pub(super) const MAX_VOTERS: usize = 5;

/// How often the leader looks for work.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Timeout of one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a member waits without a message of Raft before it asks others whether it is still a member, and between
/// two such questions.
const SILENCE: Duration = Duration::from_secs(2);

/// Most members that are asked at once.
const ASKED_AT_ONCE: usize = 5;

/// A learner that lags by at most this many entries has caught up.
pub(super) const CAUGHT_UP: u64 = 1_000;

/// Puts changes of members in order.
#[derive(Default)]
pub(super) struct MembershipLocks {
    change: Mutex<()>,
    admit: Mutex<()>,
}

impl MembershipLocks {
    /// Held during a change of Raft's membership: one change at a time.
    pub(super) async fn change(&self) -> MutexGuard<'_, ()> {
        self.change.lock().await
    }

    /// Held from a read of the roster to the write based on it, wherever disks are admitted.
    pub(super) async fn admit(&self) -> MutexGuard<'_, ()> {
        self.admit.lock().await
    }
}

/// Carries out membership changes while this node leads.
pub(super) async fn run(tracker: Tracker) {
    let mut wakeups = Wakeups::of(&tracker, LOOK_INTERVAL);
    let mut asked = Duration::ZERO;
    let mut agreed = false;
    let mut known = None;
    while wakeups.next(&tracker).await {
        let (membership, _) = tracker.membership_ids();
        if known != Some(membership) {
            known = Some(membership);
            tracker.learn_addresses();
            tracker.tick_where_it_votes();
        }
        if !agreed {
            agreed = tracker.compare_peers();
        }
        if !tracker.leads() {
            tracker.ask_after_silence(&mut asked).await;
            continue;
        }
        match timeout(STEP_TIMEOUT, tracker.step_membership()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a membership change does not progress"),
            Err(_) => tracing::warn!("a change of members waits for a majority of the voters"),
        }
    }
}

/// The leader's next step.
#[derive(Debug, PartialEq)]
enum Step {
    /// Finish a joint configuration that an earlier leader left behind.
    FinishJoint,
    /// Change Raft's membership; voters that are removed leave.
    Change(ChangeMembers<MemberId, Member>),
    /// Demote voters to learners.
    Demote(BTreeSet<MemberId>),
    /// The leader itself is to leave: another node has to lead first.
    GiveLeadership,
    Write(RosterChange),
}

impl Tracker {
    /// The membership as this node knows it, and whether it is committed.
    pub(super) fn membership(&self) -> (StoredMembership, bool) {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
        ((**effective).clone(), effective.log_id() == committed.log_id())
    }

    /// The entries of the current and of the committed membership.
    fn membership_ids(&self) -> (Option<LogId>, Option<LogId>) {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        (*metrics.membership_config.log_id(), *metrics.committed_membership_config.log_id())
    }

    /// A learner neither stands for election nor sends heartbeats: Raft's ticks would only wake it, some 80 times a
    /// second. A node that knows no membership yet ticks.
    fn tick_where_it_votes(&self) {
        self.inner.raft.runtime_config().tick(!self.learns());
    }

    /// Whether this node is a learner.
    pub(super) fn learns(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.nodes().next().is_some() && membership.voter_ids().all(|voter| voter != self.member())
    }

    /// The member of a node.
    pub(super) fn member_of(&self, node: NodeId) -> Option<MemberId> {
        // While a disk is being replaced there are two; the older one is the member.
        let (membership, _) = self.membership();
        let joining = match self.inner.replica.state().roster().entry(node) {
            Some(RosterEntry::Joins { disk, replaces: Some(_), .. }) => *disk,
            _ => None,
        };
        let mut of_node = membership.nodes().map(|(id, _)| *id).filter(|id| id.node == node);
        let found: Vec<MemberId> = of_node.by_ref().collect();
        found.iter().find(|id| Some(id.disk) != joining).or(found.first()).copied()
    }

    /// Updates the addresses of the members.
    pub(super) fn learn_addresses(&self) {
        for (id, member) in self.membership().0.nodes() {
            self.inner.peers.learn_address(*id, &member.address);
        }
    }

    /// A member that was removed or replaced receives no messages. It greets another member, which tells it.
    async fn ask_after_silence(&self, asked: &mut Duration) {
        let (now, own) = (self.monotonic(), self.member());
        let last = self.inner.contact.last();
        if now.saturating_sub(last.max(*asked)) < SILENCE {
            return;
        }
        *asked = now;
        let known: Vec<MemberId> = self.membership().0.nodes().map(|(id, _)| *id).collect();
        let others = known.iter().copied().filter(|id| *id != own);
        let asked = others.take(ASKED_AT_ONCE).map(async |other| {
            self.inner.peers.forget(other, Purpose::Joining).await;
            // The connections themselves record the answer.
            let greeted = timeout(STEP_TIMEOUT, self.inner.peers.get(other, Purpose::Joining)).await;
            tracing::debug!(%other, greeted = matches!(greeted, Ok(Ok(_))), "asked after a silence");
        });
        join_all(asked).await;
        if known.is_empty() {
            self.ask_contacts().await;
        }
    }

    /// Greets the nodes of `--peers` and `--join`: a disk that was admitted, and removed before it heard of the
    /// members, has nobody else to ask.
    async fn ask_contacts(&self) {
        let options = &self.inner.options;
        let peers = options.peers.iter().filter(|(node, _)| **node != options.id);
        let peers = peers.map(|(node, address)| (Some(*node), address));
        let contacts = peers.chain(options.join.iter().map(|address| (None, address)));
        for (node, address) in contacts.take(ASKED_AT_ONCE) {
            let greeting = Greeting::of_candidate(self.member(), node);
            let greeted = timeout(STEP_TIMEOUT, options.dial.dial(address, &greeting)).await;
            if let Ok(Err(error)) = greeted {
                self.inner.peers.note_refusal(&error);
            }
        }
    }

    /// Whether this disk is its node's only one in a committed and final membership.
    #[cfg(debug_assertions)]
    pub(crate) fn is_settled(&self) -> bool {
        let (membership, committed) = self.membership();
        let joint = membership.membership().get_joint_config().len() > 1;
        let mut of_node = membership.nodes().filter(|(id, _)| id.node == self.member().node);
        committed
            && !joint
            && of_node.next().is_some_and(|(id, _)| *id == self.member())
            && of_node.next().is_none()
    }

    /// The voters, as this node knows them.
    #[cfg(debug_assertions)]
    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        self.membership().0.voter_ids().map(|voter| voter.node).collect()
    }

    async fn step_membership(&self) -> Result<(), ApiError> {
        let _one_at_a_time = self.inner.membership.change().await;
        let (membership, committed) = self.membership();
        if !committed {
            return Ok(());
        }
        let Some(step) = self.next_step(&membership) else { return Ok(()) };
        tracing::info!(?step, "membership");
        match step {
            // A former voter stays a learner; a later step removes a member that is to leave.
            Step::FinishJoint => {
                self.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
            }
            Step::Change(change) => self.change_membership(change, false).await,
            Step::Demote(voters) => self.change_membership(ChangeMembers::RemoveVoters(voters), true).await,
            Step::GiveLeadership => self.give_leadership(None).await.map(drop),
            Step::Write(change) => self.write_roster(change).await,
        }
    }

    fn next_step(&self, membership: &StoredMembership) -> Option<Step> {
        if membership.membership().get_joint_config().len() > 1 {
            return Some(Step::FinishJoint);
        }
        let state = self.inner.replica.state();
        let roster = state.roster();
        if !roster.is_formed() {
            return Some(self.choose_voters(membership));
        }
        let stray = membership.membership().learner_ids().find(|id| roster.departed(id.disk).is_some());
        if let Some(stray) = stray {
            return Some(Step::Change(ChangeMembers::RemoveNodes(BTreeSet::from([stray]))));
        }
        roster.entries().find_map(|(node, entry)| match entry {
            RosterEntry::Joins { address, disk: Some(disk), replaces } => {
                self.let_in(membership, MemberId { node, disk: *disk }, address, *replaces)
            }
            RosterEntry::Joins { disk: None, .. } => None,
            RosterEntry::Leaves { disk } => Some(self.let_go(membership, MemberId { node, disk: *disk })),
        })
    }

    /// Raft makes every first member a voter. Those beyond the wanted number become learners; the nodes with
    /// the lowest ids vote.
    fn choose_voters(&self, membership: &StoredMembership) -> Step {
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        let enough = self.inner.options.voters_of(voters.len());
        let own = self.member();
        let mut keep: BTreeSet<MemberId> = voters.iter().copied().take(enough).collect();
        if !keep.contains(&own) {
            // The leader stays a voter, so that the change does not end its leadership.
            keep.pop_last();
            keep.insert(own);
        }
        match voters.len() > enough {
            true => Step::Demote(voters.difference(&keep).copied().collect()),
            false => Step::Write(RosterChange::Formed),
        }
    }

    fn let_in(
        &self,
        membership: &StoredMembership,
        new: MemberId,
        address: &str,
        replaces: Option<DiskId>,
    ) -> Option<Step> {
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        let old =
            replaces.map(|disk| MemberId { disk, ..new }).filter(|old| membership.get_node(old).is_some());
        if membership.get_node(&new).is_none() {
            let member = Member { address: address.to_owned(), cluster: self.cluster_id() };
            return Some(Step::Change(ChangeMembers::AddNodes(BTreeMap::from([(new, member)]))));
        }
        match old {
            Some(old) if voters.contains(&old) => {
                let replaced = ChangeMembers::Batch(vec![
                    ChangeMembers::AddVoterIds(BTreeSet::from([new])),
                    ChangeMembers::RemoveVoters(BTreeSet::from([old])),
                ]);
                self.has_caught_up(new).then_some(Step::Change(replaced))
            }
            Some(old) => Some(Step::Change(ChangeMembers::RemoveNodes(BTreeSet::from([old])))),
            None => Some(Step::Write(RosterChange::Settled { node: new.node })),
        }
    }

    fn let_go(&self, membership: &StoredMembership, member: MemberId) -> Step {
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        if voters.contains(&member) {
            if member == self.member() && voters.len() > 1 {
                return Step::GiveLeadership;
            }
            return Step::Change(ChangeMembers::RemoveVoters(BTreeSet::from([member])));
        }
        match membership.get_node(&member) {
            Some(_) => Step::Change(ChangeMembers::RemoveNodes(BTreeSet::from([member]))),
            None => Step::Write(RosterChange::Settled { node: member.node }),
        }
    }

    /// Whether a learner has nearly everything that this leader has.
    pub(super) fn has_caught_up(&self, member: MemberId) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched =
            metrics.replication.as_ref().and_then(|r| r.get(&member)).and_then(|id| id.map(|id| id.index));
        let last = metrics.last_log_index.unwrap_or(0);
        matched.is_some_and(|matched| matched + CAUGHT_UP >= last)
    }

    pub(super) async fn change_membership(
        &self,
        change: ChangeMembers<MemberId, Member>,
        retain: bool,
    ) -> Result<(), ApiError> {
        match self.inner.raft.change_membership(change, retain).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                Err(ApiError::BadRequest(error.to_string()))
            }
            Err(error) => Err(ApiError::Unavailable(error.to_string())),
        }
    }

    /// Writes a change of the roster.
    pub(super) async fn write_roster(&self, change: RosterChange) -> Result<(), ApiError> {
        match self.propose(Mutation::Roster(change)).await {
            Ok(crate::model::Response::Refused(refusal)) => Err(ApiError::Refused(refusal)),
            Ok(_) => Ok(()),
            Err(super::calls::NotDone::NotLeader) => {
                Err(ApiError::Unavailable("the leadership is moving".to_owned()))
            }
            Err(super::calls::NotDone::Failed(error)) => Err(error),
        }
    }
}
