//! The live sessions.

use std::collections::{BTreeMap, btree_map};

use storage::state::StateStore;

use crate::model::{NodeId, SessionId, StorageId};

use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError, scan};
use super::session::Session;

/// The live sessions, and which records the next checkpoint has to remove.
#[derive(Default)]
pub(super) struct SessionTable {
    live: BTreeMap<SessionId, Session>,
    ended: Vec<SessionId>,
}

impl SessionTable {
    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut table = Self::default();
        for entry in scan(store, keys::of_tag(keys::SESSION)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("session", &key);
            let id = SessionId(keys::number_at(&key, 1).ok_or_else(damaged)?);
            table.live.insert(id, Session::load(id, &value)?);
        }
        Ok(table)
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        for id in self.ended.drain(..) {
            changes.delete(keys::session(id));
        }
        for (&id, session) in &mut self.live {
            session.freeze(id, changes);
        }
    }

    pub(super) fn open(&mut self, id: SessionId, session: Session) {
        self.live.insert(id, session);
    }

    /// Removes a session that has ended.
    pub(super) fn end(&mut self, id: SessionId) -> Option<Session> {
        let session = self.live.remove(&id)?;
        self.ended.push(id);
        Some(session)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.live.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.live.get_mut(&id)
    }

    /// A node's session (TWM-S1).
    pub(super) fn of_node(&self, node: NodeId) -> Option<(SessionId, &Session)> {
        self.iter().find(|(_, session)| session.node() == node)
    }

    /// The oldest session with this storage.
    pub(super) fn of_storage(&self, storage: StorageId) -> Option<SessionId> {
        self.iter().find(|(_, session)| session.storage() == storage).map(|(id, _)| id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.live.iter().map(|(&id, session)| (id, session))
    }

    pub(super) fn values(&self) -> btree_map::Values<'_, SessionId, Session> {
        self.live.values()
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn sum(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, session) in &self.live {
            session.add_to(sum.record(id));
        }
        sum.finish()
    }
}
