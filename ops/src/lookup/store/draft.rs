//! Dependent changes that are written together.

use std::collections::BTreeMap;

use storage::state::{StateStore, WriteBatch};

use super::{StoreError, damaged, name_key, profile_key};
use crate::lookup::profile::Profile;
use crate::stream::Stamp;

/// Changes over a store.
pub(super) struct Draft<'a> {
    store: &'a dyn StateStore,
    /// `None` deletes.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Number of accounts that had no profile.
    new: u64,
}

impl<'a> Draft<'a> {
    pub(super) fn new(store: &'a dyn StateStore) -> Self {
        Self { store, changes: BTreeMap::new(), new: 0 }
    }

    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.changes.insert(key.to_vec(), Some(value));
    }

    /// The batch to write, and the number of additional profiles.
    pub(super) fn finish(self) -> (WriteBatch, u64) {
        let mut batch = WriteBatch::new();
        for (key, value) in self.changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        (batch, self.new)
    }

    /// Adds a profile unless a newer one of its account exists.
    pub(super) fn offer(&mut self, profile: &Profile, stamp: Stamp) -> Result<bool, StoreError> {
        let key = profile_key(&profile.id);
        if let Some(old) = self.get(&key)? {
            let (old_stamp, old_json) = split(&key, &old)?;
            if old_stamp > stamp {
                return Ok(false);
            }
            let old_name = Profile::parse_of(Some(&profile.id), old_json).ok().and_then(|old| old.name);
            if let Some(old_name) = old_name.filter(|old| profile.name.as_ref() != Some(old)) {
                self.give_up_name(&old_name, &profile.id)?;
            }
        } else {
            self.new += 1;
        }
        if let Some(name) = &profile.name {
            self.take_name(name, &profile.id, stamp)?;
        }
        let value = [&stamp.to_bytes()[..], &profile.json].concat();
        self.changes.insert(key, Some(value));
        Ok(true)
    }

    /// A name belongs to the newest profile with it: accounts change their names, and others take the old ones.
    fn take_name(&mut self, name: &str, id: &str, stamp: Stamp) -> Result<(), StoreError> {
        let key = name_key(name);
        if let Some(holder) = self.get(&key)?.filter(|holder| holder != id.as_bytes()) {
            let holder_key = profile_key(&String::from_utf8_lossy(&holder));
            if let Some(profile) = self.get(&holder_key)? {
                if split(&holder_key, &profile)?.0 > stamp {
                    return Ok(());
                }
            }
        }
        self.changes.insert(key, Some(id.as_bytes().to_vec()));
        Ok(())
    }

    fn give_up_name(&mut self, name: &str, id: &str) -> Result<(), StoreError> {
        let key = name_key(name);
        if self.get(&key)?.is_some_and(|holder| holder == id.as_bytes()) {
            self.changes.insert(key, None);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => Ok(self.store.get(key)?),
        }
    }
}

fn split<'v>(key: &[u8], value: &'v [u8]) -> Result<(Stamp, &'v [u8]), StoreError> {
    let (stamp, json) = value.split_first_chunk::<{ Stamp::BYTES }>().ok_or_else(|| damaged(key))?;
    Ok((Stamp::from_bytes(*stamp), json))
}
