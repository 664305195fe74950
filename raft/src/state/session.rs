//! A session: one incarnation of a node (TWM-S1).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{JobId, NodeId, SessionId, SessionStatus, StorageId};

use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError};
use super::saved::Saved;

/// A live session.
pub(super) struct Session {
    record: Saved<SessionRecord>,
    /// The jobs that it holds a lease of.
    leased: BTreeSet<JobId>,
    /// Publications that it adopted from an ended session.
    adopted: BTreeSet<JobId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SessionRecord {
    node: NodeId,
    incarnation: u64,
    storage: StorageId,
    workers: u32,
    /// Sequence number of the last report.
    last_sequence: u64,
    /// What that report was granted, for the answer to a repeated one (TWM-S2).
    last_granted: Vec<JobId>,
    /// Which of its findings were refused as stale, for the same purpose.
    last_stale: Positions,
    completed: u64,
}

/// A set of positions in a report, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Positions(Vec<u8>);

impl Positions {
    /// Most bytes, so that a session's record fits in one value of the state store. Higher positions, in a
    /// report of up to 65,536 findings, are not recorded.
    const MAX_BYTES: usize = 8 * 1024;

    pub(super) fn insert(&mut self, at: usize) {
        let byte = at / 8;
        if byte >= Self::MAX_BYTES {
            return;
        }
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        self.0[byte] |= 1 << (at % 8);
    }

    fn contains(&self, at: usize) -> bool {
        self.0.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
    }
}

/// What becomes of a report.
pub(super) enum Turn {
    /// It is the next one.
    Next,
    /// It is the last one again.
    Repeated,
    /// This one is expected.
    OutOfOrder { expected: u64 },
}

impl Session {
    pub(super) fn opened(node: NodeId, incarnation: u64, storage: StorageId, workers: u32) -> Self {
        Self::of(Saved::new(SessionRecord {
            node,
            incarnation,
            storage,
            workers,
            last_sequence: 0,
            last_granted: Vec::new(),
            last_stale: Positions::default(),
            completed: 0,
        }))
    }

    /// Loads a session; its jobs are added with [`Self::lease`] and [`Self::adopt`].
    pub(super) fn load(id: SessionId, record: &[u8]) -> Result<Self, LoadError> {
        let damaged = |_| LoadError::damaged("session", &keys::session(id));
        Ok(Self::of(Saved::loaded(postcard::from_bytes(record).map_err(damaged)?)))
    }

    fn of(record: Saved<SessionRecord>) -> Self {
        Self { record, leased: BTreeSet::new(), adopted: BTreeSet::new() }
    }

    pub(super) fn freeze(&mut self, id: SessionId, changes: &mut Changes) {
        if let Some(record) = self.record.take_changed() {
            changes.put_record("session", keys::session(id), record);
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.record.node
    }

    pub(super) fn storage(&self) -> StorageId {
        self.record.storage
    }

    /// Whether it is this incarnation of the node.
    pub(super) fn is_of(&self, node: NodeId, incarnation: u64) -> bool {
        self.record.node == node && self.record.incarnation == incarnation
    }

    /// The session as operators see it; the leader adds the time since the last report.
    pub(super) fn status(&self, id: SessionId) -> SessionStatus {
        SessionStatus {
            id,
            node: self.record.node,
            storage: self.record.storage,
            workers: self.record.workers,
            leased: self.leased.len() as u64,
            completed: self.record.completed,
            silent_ms: 0,
        }
    }

    /// Adds what all replicas have to agree on.
    pub(super) fn add_to(&self, sum: &mut Checksum) {
        sum.record(&*self.record).record(&self.leased).record(&self.adopted);
    }
}

/// Jobs.
impl Session {
    /// The jobs that it holds a lease of.
    pub(super) fn leased(&self) -> &BTreeSet<JobId> {
        &self.leased
    }

    /// Publications that it adopted from an ended session.
    pub(super) fn adopted(&self) -> &BTreeSet<JobId> {
        &self.adopted
    }

    pub(super) fn lease(&mut self, job: JobId) {
        self.leased.insert(job);
    }

    pub(super) fn adopt(&mut self, job: JobId) {
        self.adopted.insert(job);
    }

    /// Counts an operation that has completed.
    pub(super) fn count_completed(&mut self) {
        self.record.change().completed += 1;
    }

    /// A job that it held a lease of waits for its publication.
    pub(super) fn wait_for_publication(&mut self, job: JobId) {
        self.leased.remove(&job);
    }

    /// A job is neither leased to it nor published by it any more.
    pub(super) fn release(&mut self, job: JobId) {
        self.leased.remove(&job);
        self.adopted.remove(&job);
    }
}

/// Reports (TWM-S2).
impl Session {
    /// What becomes of a report with this sequence number.
    pub(super) fn expects(&self, sequence: u64) -> Turn {
        let last = self.record.last_sequence;
        match last.saturating_add(1) {
            _ if sequence == last && sequence > 0 => Turn::Repeated,
            expected if sequence == expected => Turn::Next,
            expected => Turn::OutOfOrder { expected },
        }
    }

    /// A report is being applied.
    pub(super) fn begin_report(&mut self, sequence: u64) {
        self.record.change().last_sequence = sequence;
    }

    /// Remembers the answer to the report: the jobs granted, and the positions of stale findings.
    pub(super) fn remember_answer(&mut self, granted: Vec<JobId>, stale: Positions) {
        let record = self.record.change();
        record.last_granted = granted;
        record.last_stale = stale;
    }

    /// The jobs that the last report was granted.
    pub(super) fn last_granted(&self) -> &[JobId] {
        &self.record.last_granted
    }

    /// Whether the finding at this position of the last report was stale.
    pub(super) fn was_stale(&self, at: usize) -> bool {
        self.record.last_stale.contains(at)
    }
}

#[cfg(test)]
impl Session {
    /// A session with a record of the largest size.
    pub(super) fn largest() -> Self {
        let most = u64::MAX;
        let mut stale = Positions::default();
        (0..1_000_000).for_each(|at| stale.insert(at));
        Self::of(Saved::new(SessionRecord {
            node: most,
            incarnation: most,
            storage: StorageId(most),
            workers: u32::MAX,
            last_sequence: most,
            last_granted: vec![JobId(most); crate::model::LeaseId::SLOTS],
            last_stale: stale,
            completed: most,
        }))
    }

    /// The stored form of the record.
    pub(super) fn stored(&self) -> Vec<u8> {
        postcard::to_stdvec(&*self.record).unwrap()
    }

    /// A second session of the same incarnation.
    pub(super) fn twin(&self) -> Self {
        Self::of(self.record.clone())
    }

    /// Whether all but its id is that of another replica's session.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&*self.record, &self.leased, &self.adopted) == (&*other.record, &other.leased, &other.adopted)
    }

    /// Remembers one more job as granted.
    pub(super) fn pretend_granted(&mut self, job: JobId) {
        self.record.change().last_granted.push(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_that_were_inserted_up_to_the_most_that_a_record_takes() {
        // Of a report of up to 65,536 findings.
        let last = 65_535;
        let inserted = [0, 1, 7, 8, 13, 500, last, last + 1, usize::MAX];
        let mut positions = Positions::default();
        inserted.iter().for_each(|at| positions.insert(*at));
        for at in (0..600).chain([last - 1, last, last + 1, usize::MAX]) {
            assert_eq!(positions.contains(at), inserted.contains(&at) && at <= last, "{at}");
        }
    }
}
