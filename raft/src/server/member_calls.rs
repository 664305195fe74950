//! Operators' membership calls. Served by the leader; each call is idempotent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use openraft::ChangeMembers;
use tokio::time::{Instant, sleep};

use crate::command::RosterChange;
use crate::consensus::{Member, StoredMembership};
use crate::model::{DiskId, MemberId, NodeId};
use crate::state::RosterEntry;
use crate::wire::{ApiError, Candidate, Greeting, JoinAnswer, JoinRequest, MemberRequest, Purpose};

use super::members::MAX_VOTERS;
use super::tracker::Tracker;

/// How long a voter may take to show that it is alive.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a call waits for a change that the leader makes in steps.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(8);

/// Pause between two polls.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

impl Tracker {
    /// Makes the membership change that an operator requests.
    pub(super) async fn change_members(&self, request: &MemberRequest) -> Result<(), ApiError> {
        match request {
            MemberRequest::Add { node, address } => self.add_member(*node, address).await,
            MemberRequest::Replace { node, address } => {
                self.replace_member(*node, None, address.as_deref()).await
            }
            MemberRequest::ReplaceDisk { node, disk, address } => {
                self.replace_member(*node, Some(*disk), address.as_deref()).await
            }
            MemberRequest::Promote { node } => self.promote(*node).await,
            MemberRequest::Demote { node } => self.demote(*node).await,
            MemberRequest::Remove { node } => self.remove_member(*node).await,
            MemberRequest::SetAddress { node, address } => self.set_address(*node, address).await,
        }
    }

    /// The roster entry of a node, including everything that earlier leaders wrote.
    async fn confirmed_roster(&self, node: NodeId) -> Result<Option<RosterEntry>, ApiError> {
        let confirmed = self.confirm_leadership(openraft::raft::ReadPolicy::ReadIndex).await;
        if confirmed.is_err() {
            return Err(ApiError::Unavailable("the leadership is moving".to_owned()));
        }
        Ok(self.inner.replica.state().roster().entry(node).cloned())
    }

    async fn add_member(&self, node: NodeId, address: &str) -> Result<(), ApiError> {
        let _one_at_a_time = self.inner.membership.admit().await;
        let entry = self.confirmed_roster(node).await?;
        if let Some(member) = self.member_of(node) {
            let known = self.membership().0.get_node(&member).map(|m| m.address.clone()).unwrap_or_default();
            return match known == address {
                true => Ok(()),
                false => Err(ApiError::BadRequest(format!(
                    "node {node} is a member at {known}; for another address run `twm-ctl member set-address {node} \
                     {address}`, for a new disk `twm-ctl member replace {node}`"
                ))),
            };
        }
        // A repeated call: a disk has joined the roster, but not Raft's membership yet.
        if let Some(RosterEntry::Joins { disk: Some(disk), address: known, .. }) = entry {
            return match known == address {
                true => Ok(()),
                false => Err(ApiError::BadRequest(format!(
                    "node {node} is let in at {known} with disk {:016x}; for another address run `twm-ctl member \
                     set-address {node} {address}` once it is a member",
                    disk.0
                ))),
            };
        }
        self.write_roster(RosterChange::Admit { node, address: address.to_owned(), replaces: None }).await
    }

    /// Admits one new disk in place of the disk that an operator names, or of the node's current one.
    async fn replace_member(
        &self,
        node: NodeId,
        named: Option<DiskId>,
        moved: Option<&str>,
    ) -> Result<(), ApiError> {
        let not_a_member = || {
            ApiError::BadRequest(format!(
                "node {node} is no member; run `twm-ctl member add {node} HOST:PORT`"
            ))
        };
        let _one_at_a_time = self.inner.membership.admit().await;
        let entry = self.confirmed_roster(node).await?;
        let departed = named.and_then(|disk| self.inner.replica.state().roster().departed(disk));
        let (membership, _) = self.membership();
        let mut member = self.member_of(node).ok_or_else(not_a_member)?;
        let mut lost = member;
        if let Some(RosterEntry::Joins { disk: Some(disk), replaces, .. }) = entry {
            // A repeated call: the new disk has come.
            if named.is_some() && named == replaces {
                return Ok(());
            }
            let new = MemberId { node, disk };
            if membership.voter_ids().any(|voter| voter == new) {
                // The change was practically complete.
                self.write_roster(RosterChange::Settled { node }).await?;
                member = new;
            }
            if named == Some(disk) {
                lost = new;
            }
        }
        // So it is once the new disk has taken its place.
        if departed.is_some_and(|departed| departed.member.node == node) {
            return Ok(());
        }
        if let Some(disk) = named.filter(|disk| *disk != lost.disk && *disk != member.disk) {
            return Err(ApiError::BadRequest(format!(
                "node {node} is a member with disk {:016x}, not with {:016x}; `twm-ctl member list` shows it",
                member.disk.0, disk.0
            )));
        }
        if self.answers(lost).await || self.answers(member).await {
            return Err(ApiError::BadRequest(format!(
                "the disk of node {node} answers: only a member that is silent can be replaced; stop the node first"
            )));
        }
        let known = membership.get_node(&member).map(|m| m.address.clone()).ok_or_else(not_a_member)?;
        let address = moved.map_or(known, str::to_owned);
        self.write_roster(RosterChange::Admit { node, address, replaces: Some(member.disk) }).await
    }

    async fn promote(&self, node: NodeId) -> Result<(), ApiError> {
        let (membership, member) = self.need_member(node)?;
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        if voters.contains(&member) {
            return Ok(());
        }
        if voters.len() >= MAX_VOTERS {
            return Err(ApiError::BadRequest(format!(
                "{} nodes vote already, and more would only make every write slower; demote another one first",
                voters.len()
            )));
        }
        if !self.has_caught_up(member) {
            return Err(ApiError::Unavailable(format!("node {node} has not caught up with the leader yet")));
        }
        let _one_at_a_time = self.inner.membership.change().await;
        self.change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([member])), true).await
    }

    async fn demote(&self, node: NodeId) -> Result<(), ApiError> {
        let (membership, member) = self.need_member(node)?;
        if !membership.voter_ids().any(|voter| voter == member) {
            return Ok(());
        }
        self.need_majority_without(&membership, member).await?;
        if member == self.member() {
            self.give_leadership(None).await?;
            return Err(ApiError::Unavailable(
                "the leadership is moving, so that its node can be demoted".to_owned(),
            ));
        }
        let _one_at_a_time = self.inner.membership.change().await;
        self.change_membership(ChangeMembers::RemoveVoters(BTreeSet::from([member])), true).await
    }

    async fn remove_member(&self, node: NodeId) -> Result<(), ApiError> {
        let entry = self.inner.replica.state().roster().entry(node).cloned();
        match (self.member_of(node), entry) {
            (None, Some(RosterEntry::Joins { disk: None, .. })) => {
                return self.write_roster(RosterChange::Withdraw { node }).await;
            }
            (None, Some(RosterEntry::Joins { disk: Some(disk), .. })) => {
                self.write_roster(RosterChange::Leave { member: MemberId { node, disk } }).await?;
            }
            (None, _) => return Ok(()),
            (Some(_), Some(RosterEntry::Leaves { .. })) => {}
            (Some(member), _) => {
                let (membership, _) = self.membership();
                if membership.voter_ids().any(|voter| voter == member) {
                    self.need_majority_without(&membership, member).await?;
                }
                self.write_roster(RosterChange::Leave { member }).await?;
            }
        }
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        while Instant::now() < deadline {
            if self.member_of(node).is_none() && self.inner.replica.state().roster().entry(node).is_none() {
                return Ok(());
            }
            if !self.leads() {
                return Err(ApiError::Unavailable(
                    "the leadership is moving, so that its node can leave".to_owned(),
                ));
            }
            sleep(SETTLE_PAUSE).await;
        }
        Err(ApiError::Unavailable(format!(
            "node {node} is leaving; the change waits for a majority of the voters"
        )))
    }

    async fn set_address(&self, node: NodeId, address: &str) -> Result<(), ApiError> {
        let (membership, member) = self.need_member(node)?;
        if membership.get_node(&member).is_some_and(|known| known.address == address) {
            return Ok(());
        }
        let greeting = Greeting::of_member(Purpose::Api, self.cluster_id(), self.member(), member);
        if let Err(error) = self.inner.options.dial.dial(address, &greeting).await {
            return Err(ApiError::BadRequest(format!(
                "member {member} does not answer at {address}: {error}; start node {node} there first"
            )));
        }
        let moved = Member { address: address.to_owned(), cluster: self.cluster_id() };
        let _one_at_a_time = self.inner.membership.change().await;
        self.change_membership(ChangeMembers::SetNodes(BTreeMap::from([(member, moved)])), true).await?;
        self.learn_addresses();
        Ok(())
    }

    fn need_member(&self, node: NodeId) -> Result<(StoredMembership, MemberId), ApiError> {
        let member = self.member_of(node).ok_or_else(|| {
            ApiError::BadRequest(format!("node {node} is no member; `twm-ctl member list` shows them"))
        })?;
        Ok((self.membership().0, member))
    }

    /// Refuses a change after which the responsive voters would not be a majority: nothing could be written any more,
    /// not even a reversal.
    async fn need_majority_without(
        &self,
        membership: &StoredMembership,
        gone: MemberId,
    ) -> Result<(), ApiError> {
        let rest: Vec<MemberId> = membership.voter_ids().filter(|&voter| voter != gone).collect();
        let alive = join_all(rest.iter().map(async |&voter| self.answers(voter).await)).await;
        let alive = alive.into_iter().filter(|alive| *alive).count();
        if rest.is_empty() || alive <= rest.len() / 2 {
            return Err(ApiError::BadRequest(format!(
                "without node {} only {alive} of {} voters would answer, which is no majority; start or replace the others \
                 first",
                gone.node,
                rest.len()
            )));
        }
        Ok(())
    }

    /// Whether a member answers now.
    async fn answers(&self, member: MemberId) -> bool {
        member == self.member() || self.status_of(member, ALIVE_TIMEOUT).await.is_some()
    }

    /// Answers a node that is not a member; a member may have forwarded its request once.
    pub(super) async fn answer_join(&self, request: JoinRequest, forwarded: bool) -> JoinAnswer {
        match request {
            JoinRequest::Probe => JoinAnswer::Probed(self.probe()),
            JoinRequest::Begin(cluster) if cluster == self.cluster_id() => JoinAnswer::Done,
            JoinRequest::Begin(_) | JoinRequest::Prepare(_) => {
                JoinAnswer::Never(format!("it is a member of cluster {}", self.cluster_id()))
            }
            JoinRequest::Join(candidate) => self.join_or_forward(candidate, forwarded).await,
        }
    }

    async fn join_or_forward(&self, candidate: Candidate, forwarded: bool) -> JoinAnswer {
        if self.leads() {
            return self.admit(candidate).await.unwrap_or_else(|error| match error {
                ApiError::Unavailable(why) => JoinAnswer::NotNow(why),
                other => JoinAnswer::Never(other.to_string()),
            });
        }
        if forwarded {
            return JoinAnswer::NotNow("the leadership is moving".to_owned());
        }
        let Some(leader) = self.leading_member().filter(|leader| *leader != self.member()) else {
            return JoinAnswer::NotNow("no leader is known; a majority of the voters has to run".to_owned());
        };
        let forwarded = async {
            let connection =
                self.inner.peers.get(leader, Purpose::Joining).await.map_err(|e| e.to_string())?;
            connection.join(ALIVE_TIMEOUT, JoinRequest::Join(candidate)).await.map_err(|e| e.to_string())
        };
        forwarded.await.unwrap_or_else(JoinAnswer::NotNow)
    }

    /// Admits a new disk, if an operator has allowed it.
    async fn admit(&self, candidate: Candidate) -> Result<JoinAnswer, ApiError> {
        let MemberId { node, disk } = candidate.member;
        let cluster = self.cluster_id();
        let never = |why: String| Ok(JoinAnswer::Never(why));
        if candidate.name != self.inner.options.cluster {
            return never(format!("this is cluster {:?}", self.inner.options.cluster));
        }
        let _one_at_a_time = self.inner.membership.admit().await;
        let entry = self.confirmed_roster(node).await?;
        let departed = self.inner.replica.state().roster().departed(disk);
        let (membership, _) = self.membership();
        if membership.get_node(&candidate.member).is_some() {
            return Ok(JoinAnswer::Admitted(cluster));
        }
        if departed.is_some() {
            return never(format!(
                "the disk {:016x} of node {node} was replaced or removed and cannot come back",
                disk.0
            ));
        }
        match entry {
            Some(RosterEntry::Joins { disk: bound, replaces, .. })
                if bound.is_none_or(|bound| bound == disk) =>
            {
                if let Some(old) = replaces.map(|disk| MemberId { node, disk }) {
                    if membership.get_node(&old).is_some() && self.answers(old).await {
                        return Ok(JoinAnswer::NotNow(format!(
                            "the old disk of node {node} answers; stop it first"
                        )));
                    }
                }
                if candidate.bind {
                    self.write_roster(RosterChange::Bind { node, disk }).await?;
                }
                Ok(JoinAnswer::Admitted(cluster))
            }
            Some(RosterEntry::Joins { disk: Some(bound), .. }) => never(format!(
                "one new disk of node {node} was allowed, and another one ({:016x}) was let in; if that one is lost, run \
                 `twm-ctl member replace {node}` again",
                bound.0
            )),
            _ => match self.member_of(node) {
                Some(member) => never(format!(
                    "node {node} is a member of cluster {cluster} with another data directory (disk {:016x}), and this \
                     one is empty: its volume may not be mounted. Mount it; or, if the disk is lost, allow one new \
                     disk: `twm-ctl member replace {node}`",
                    member.disk.0
                )),
                None => Ok(JoinAnswer::NotNow(format!(
                    "node {node} is no member of cluster {cluster}; run `twm-ctl member add {node} HOST:PORT`"
                ))),
            },
        }
    }
}
