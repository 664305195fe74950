//! Who may become a member, and who may no longer.
//!
//! Raft's own membership says who *is* a member. The roster holds the operator's intent until Raft's membership
//! agrees with it, so that a new leader continues a change that the old one has begun; and it holds the disks that
//! must never come back.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use storage::state::StateStore;

use crate::command::RosterChange;
use crate::model::{DiskId, MemberId, NodeId};

use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError};
use super::saved::Saved;

/// Most changes in progress.
const MAX_ENTRIES: usize = 64;

/// Longest address, bytes: a host name of 253 and a port.
const MAX_ADDRESS: usize = 260;

/// How many departed disks are remembered. At 24 bytes each the record stays far below a value's limit.
const MAX_DEPARTED: usize = 1_000;

/// The roster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    record: Saved<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Record {
    formed: bool,
    entries: BTreeMap<NodeId, RosterEntry>,
    /// Oldest first.
    departed: Vec<Departed>,
}

/// A membership change that is requested or in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterEntry {
    /// One new disk of the node may join.
    Joins {
        /// Where it is reached.
        address: String,
        /// The disk; absent until it has contacted the cluster.
        disk: Option<DiskId>,
        /// The disk that it replaces.
        replaces: Option<DiskId>,
    },
    /// The member leaves.
    Leaves {
        /// Its disk.
        disk: DiskId,
    },
}

/// A disk that is no longer a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// The member.
    pub member: MemberId,
    /// The disk that replaced it; absent if the node was removed.
    pub successor: Option<DiskId>,
}

impl fmt::Display for Departed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemberId { node, disk } = self.member;
        match self.successor {
            Some(new) => write!(
                f,
                "disk {:016x} of node {node} was replaced by disk {:016x} and cannot come back: what the cluster \
                 acknowledged since then is not on it. Keep its data directory aside, or remove it",
                disk.0, new.0
            ),
            None => write!(
                f,
                "node {node} was removed from the cluster, and its disk {:016x} cannot come back; to let the node in \
                 again run `twm-ctl member add {node} HOST:PORT` and start it with an empty data directory",
                disk.0
            ),
        }
    }
}

impl Roster {
    /// Whether the first voters were chosen.
    pub fn is_formed(&self) -> bool {
        self.record.formed
    }

    /// A checksum of the roster.
    pub(super) fn sum(&self) -> u64 {
        Checksum::default().record(&*self.record).finish()
    }

    /// The requested change of a node.
    pub fn entry(&self, node: NodeId) -> Option<&RosterEntry> {
        self.record.entries.get(&node)
    }

    /// All requested changes, by node.
    pub fn entries(&self) -> impl Iterator<Item = (NodeId, &RosterEntry)> {
        self.record.entries.iter().map(|(&node, entry)| (node, entry))
    }

    /// The departure of a disk that was replaced or removed.
    pub fn departed(&self, disk: DiskId) -> Option<Departed> {
        self.record.departed.iter().rev().find(|departed| departed.member.disk == disk).copied()
    }

    pub(super) fn change(&mut self, change: RosterChange) -> Result<(), String> {
        match change {
            RosterChange::Formed => self.record.change().formed = true,
            RosterChange::Admit { node, address, replaces } => self.admit(node, address, replaces)?,
            RosterChange::Bind { node, disk } => self.bind(node, disk)?,
            RosterChange::Withdraw { node } => self.withdraw(node)?,
            RosterChange::Leave { member } => self.leave(member)?,
            RosterChange::Settled { node } => self.settled(node),
        }
        Ok(())
    }

    fn admit(&mut self, node: NodeId, address: String, replaces: Option<DiskId>) -> Result<(), String> {
        if address.is_empty() || address.len() > MAX_ADDRESS {
            return Err(format!("an address has 1 to {MAX_ADDRESS} bytes, this one {}", address.len()));
        }
        match self.record.entries.get(&node) {
            Some(RosterEntry::Leaves { .. }) => {
                return Err(format!(
                    "node {node} is about to leave; wait until `twm-ctl member list` shows it no more"
                ));
            }
            // The admitted disk is lost as well, or the leader would have settled the change first.
            Some(&RosterEntry::Joins { disk: Some(lost), .. }) => {
                self.note_departed(Departed { member: MemberId { node, disk: lost }, successor: None });
            }
            // An unused admission may be corrected.
            Some(RosterEntry::Joins { disk: None, .. }) => {}
            None if self.record.entries.len() >= MAX_ENTRIES => {
                return Err(format!("{MAX_ENTRIES} changes of members are under way; wait for one of them"));
            }
            None => {}
        }
        self.record.change().entries.insert(node, RosterEntry::Joins { address, disk: None, replaces });
        Ok(())
    }

    fn bind(&mut self, node: NodeId, new: DiskId) -> Result<(), String> {
        if self.departed(new).is_some() {
            return Err(format!("disk {:016x} was a member's before and cannot come back", new.0));
        }
        match self.record.change().entries.get_mut(&node) {
            Some(RosterEntry::Joins { disk: Some(bound), .. }) if *bound != new => Err(format!(
                "node {node} was let in with disk {:016x}, not with {:016x}; if that one is lost, run `twm-ctl member \
                 remove {node}` first",
                bound.0, new.0
            )),
            Some(RosterEntry::Joins { disk, .. }) => {
                *disk = Some(new);
                Ok(())
            }
            _ => Err(format!("node {node} was not let in; run `twm-ctl member add {node} HOST:PORT`")),
        }
    }

    fn withdraw(&mut self, node: NodeId) -> Result<(), String> {
        match self.record.entries.get(&node) {
            Some(RosterEntry::Joins { disk: None, .. }) => {
                self.record.change().entries.remove(&node);
                Ok(())
            }
            _ => Err(format!("there is no admission of node {node} that could be taken back")),
        }
    }

    fn leave(&mut self, member: MemberId) -> Result<(), String> {
        match self.record.entries.get(&member.node) {
            None if self.record.entries.len() >= MAX_ENTRIES => {
                return Err(format!("{MAX_ENTRIES} changes of members are under way; wait for one of them"));
            }
            Some(&RosterEntry::Joins { disk: Some(new), .. }) if new != member.disk => {
                self.note_departed(Departed { member: MemberId { disk: new, ..member }, successor: None });
            }
            _ => {}
        }
        self.record.change().entries.insert(member.node, RosterEntry::Leaves { disk: member.disk });
        Ok(())
    }

    fn settled(&mut self, node: NodeId) {
        match self.record.change().entries.remove(&node) {
            Some(RosterEntry::Joins { disk: Some(disk), replaces: Some(old), .. }) => {
                self.note_departed(Departed { member: MemberId { node, disk: old }, successor: Some(disk) });
            }
            Some(RosterEntry::Leaves { disk }) => {
                self.note_departed(Departed { member: MemberId { node, disk }, successor: None });
            }
            // Joined without a predecessor, or settled by an earlier leader already.
            Some(RosterEntry::Joins { .. }) | None => {}
        }
    }

    fn note_departed(&mut self, departed: Departed) {
        if self.record.departed.len() >= MAX_DEPARTED {
            self.record.change().departed.remove(0);
        }
        self.record.change().departed.push(departed);
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        if let Some(record) = self.record.take_changed() {
            changes.put_record("roster", keys::ROSTER.to_vec(), record);
        }
    }

    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let Some(value) = store.get(keys::ROSTER)? else { return Ok(Self::default()) };
        let record = postcard::from_bytes(&value).map_err(|_| LoadError::damaged("roster", keys::ROSTER))?;
        Ok(Self { record: Saved::loaded(record) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: DiskId = DiskId(1);
    const NEW: DiskId = DiskId(2);

    fn admit(node: NodeId, replaces: Option<DiskId>) -> RosterChange {
        RosterChange::Admit { node, address: "10.0.0.4:8000".to_owned(), replaces }
    }

    #[test]
    fn one_new_disk_is_let_in_once_and_its_predecessor_never_again() {
        let mut roster = Roster::default();
        let bind = |disk| RosterChange::Bind { node: 3, disk };
        assert!(roster.change(bind(NEW)).is_err(), "nobody let it in");
        roster.change(admit(3, Some(OLD))).unwrap();
        roster.change(bind(NEW)).unwrap();
        roster.change(bind(NEW)).unwrap();
        assert!(roster.change(bind(DiskId(9))).is_err());
        assert_eq!(roster.departed(OLD), None);
        roster.change(RosterChange::Settled { node: 3 }).unwrap();
        assert_eq!(roster.departed(OLD).and_then(|gone| gone.successor), Some(NEW));
        assert_eq!(roster.entry(3), None);
        roster.change(admit(3, Some(NEW))).unwrap();
        assert!(roster.change(bind(OLD)).is_err(), "it was a member's before");
    }

    #[test]
    fn a_new_disk_that_is_lost_before_it_took_its_place_can_be_replaced_too() {
        let mut roster = Roster::default();
        roster.change(admit(3, Some(OLD))).unwrap();
        roster.change(RosterChange::Bind { node: 3, disk: NEW }).unwrap();
        roster.change(admit(3, Some(OLD))).unwrap();
        assert!(roster.departed(NEW).is_some());
        assert!(roster.change(RosterChange::Bind { node: 3, disk: NEW }).is_err());
        roster.change(RosterChange::Bind { node: 3, disk: DiskId(3) }).unwrap();
        roster.change(RosterChange::Settled { node: 3 }).unwrap();
        assert_eq!(roster.departed(OLD).and_then(|gone| gone.successor), Some(DiskId(3)));
    }

    #[test]
    fn a_member_that_left_is_known_and_its_node_may_come_back_with_another_disk() {
        let mut roster = Roster::default();
        let member = MemberId { node: 4, disk: OLD };
        roster.change(RosterChange::Leave { member }).unwrap();
        roster.change(RosterChange::Settled { node: 4 }).unwrap();
        assert_eq!(roster.departed(OLD), Some(Departed { member, successor: None }));
        roster.change(admit(4, None)).unwrap();
        roster.change(RosterChange::Bind { node: 4, disk: NEW }).unwrap();
    }

    #[test]
    fn an_admission_has_an_address_that_fits_and_can_be_taken_back_until_a_disk_came() {
        let mut roster = Roster::default();
        assert!(!roster.is_formed());
        roster.change(RosterChange::Formed).unwrap();
        assert!(roster.is_formed());
        for (length, fits) in [(0, false), (1, true), (MAX_ADDRESS, true), (MAX_ADDRESS + 1, false)] {
            let address = "h".repeat(length);
            let admitted = roster.change(RosterChange::Admit { node: 3, address, replaces: None });
            assert_eq!(admitted.is_ok(), fits, "{length}");
        }
        let withdraw = || RosterChange::Withdraw { node: 3 };
        let nodes: Vec<NodeId> = roster.entries().map(|(node, _)| node).collect();
        assert_eq!((nodes, roster.entry(4)), (vec![3], None));
        roster.change(withdraw()).unwrap();
        assert_eq!((roster.entry(3), roster.entries().count()), (None, 0));
        assert!(roster.change(withdraw()).unwrap_err().contains("node 3"));
        roster.change(admit(3, None)).unwrap();
        roster.change(RosterChange::Bind { node: 3, disk: NEW }).unwrap();
        assert!(roster.change(withdraw()).is_err());
        assert!(matches!(roster.entry(3), Some(RosterEntry::Joins { disk: Some(NEW), .. })));
    }

    #[test]
    fn a_node_that_leaves_takes_the_disk_along_that_was_let_in_in_its_place() {
        let mut roster = Roster::default();
        roster.change(admit(3, Some(OLD))).unwrap();
        roster.change(RosterChange::Bind { node: 3, disk: NEW }).unwrap();
        roster.change(RosterChange::Leave { member: MemberId { node: 3, disk: OLD } }).unwrap();
        assert_eq!(roster.departed(NEW).map(|gone| gone.member), Some(MemberId { node: 3, disk: NEW }));
        // A new disk that has become the member leaves as the member.
        roster.change(admit(4, Some(DiskId(7)))).unwrap();
        roster.change(RosterChange::Bind { node: 4, disk: DiskId(8) }).unwrap();
        roster.change(RosterChange::Leave { member: MemberId { node: 4, disk: DiskId(8) } }).unwrap();
        assert_eq!(roster.departed(DiskId(8)), None, "it has not left yet");
        for node in 100..100 + MAX_ENTRIES as u64 {
            let _full = roster.change(RosterChange::Leave { member: MemberId { node, disk: OLD } });
        }
        assert_eq!(roster.entries().count(), MAX_ENTRIES);
        roster.change(RosterChange::Leave { member: MemberId { node: 4, disk: DiskId(8) } }).unwrap();
    }

    #[test]
    fn a_disk_that_comes_back_is_told_why_it_cannot() {
        let member = MemberId { node: 3, disk: DiskId(0xa) };
        let replaced = Departed { member, successor: Some(DiskId(0xb)) }.to_string();
        assert!(
            replaced.contains("disk 000000000000000a of node 3 was replaced by disk 000000000000000b"),
            "{replaced}"
        );
        let removed = Departed { member, successor: None }.to_string();
        assert!(
            removed.contains("disk 000000000000000a") && removed.contains("twm-ctl member add 3 "),
            "{removed}"
        );
    }

    #[test]
    fn a_roster_is_the_same_after_a_restart() {
        let (mut roster, store) = (Roster::default(), storage::state::MemoryStore::new());
        roster.change(admit(3, Some(OLD))).unwrap();
        roster.change(RosterChange::Bind { node: 3, disk: NEW }).unwrap();
        let (mut changes, mut batch) = (Changes::default(), storage::state::WriteBatch::new());
        roster.freeze(&mut changes);
        changes.add_to(&mut batch);
        store.write(batch).unwrap();
        let loaded = Roster::load(&store).unwrap();
        assert_eq!((loaded.entry(3), loaded.sum()), (roster.entry(3), roster.sum()));
        assert_ne!(loaded.sum(), Roster::default().sum());
    }

    #[test]
    fn the_largest_roster_fits_into_a_value_of_the_store() {
        let mut roster = Roster::default();
        for node in 0..MAX_DEPARTED as u64 + 5 {
            let member = MemberId { node: u64::MAX - node, disk: DiskId(u64::MAX - node) };
            roster.note_departed(Departed { member, successor: Some(DiskId(u64::MAX)) });
        }
        for node in 0..MAX_ENTRIES as u64 {
            let (address, replaces) = ("h".repeat(MAX_ADDRESS), Some(DiskId(u64::MAX)));
            roster.change(RosterChange::Admit { node: u64::MAX - node, address, replaces }).unwrap();
        }
        assert!(roster.change(admit(1, None)).is_err());
        assert!(postcard::to_stdvec(&*roster.record).unwrap().len() < 64 << 10);
    }
}
