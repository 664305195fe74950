//! Writes the state to the state store and loads it.
//!
//! A checkpoint has two parts: [`State::freeze`] collects what changed since the last one, between two
//! commands and without I/O; [`write_checkpoint`] then writes it as one durable batch while commands
//! continue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use storage::planted::{Bug, planted};
use storage::state::{Entries, MAX_KEY_BYTES, MAX_VALUE_BYTES, StateError, StateStore, WriteBatch};

use crate::model::{CLUSTER_VERSION, CrawlId, FIRST_CLUSTER_VERSION, Limits};

use super::broken::StateFailure;
use super::crawl::Crawl;
use super::crawl_table::CrawlTable;
use super::host_table::HostTable;
use super::invariants::Checks;
use super::job::Phase;
use super::jobs::JobTable;
use super::outbox::Outbox;
use super::outcomes::AccountOutcomes;
use super::profiles::Profiles;
use super::requests::Requests;
use super::retention::{self, Deleted};
use super::roster::Roster;
use super::session_table::SessionTable;
use super::shares::Shares;
use super::spend::Spend;
use super::writers::FileWriters;
use super::{Head, State, keys, seal, seen_runs};

/// Records to write and to delete.
#[derive(Default)]
pub(super) struct Changes {
    records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The first record that was too large for the store.
    refused: Option<String>,
}

impl Changes {
    /// Adds a record. What is too large for the store must have been refused when its parts came in, because no
    /// restart would get past it; therefore it stops the replica with its name. The largest record of each kind is
    /// listed in [`keys`].
    pub(super) fn put(&mut self, kind: &'static str, key: Vec<u8>, value: Vec<u8>) {
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            let what = format!(
                "the {kind} (key {}) has {} bytes, its key {}; the state store takes {MAX_VALUE_BYTES} and {MAX_KEY_BYTES}",
                keys::text(&key),
                value.len(),
                key.len(),
            );
            self.refused.get_or_insert(what);
            return;
        }
        self.records.push((key, Some(value)));
    }

    /// Adds a record in its stored form.
    pub(super) fn put_record<R: Serialize>(&mut self, kind: &'static str, key: Vec<u8>, record: &R) {
        match postcard::to_stdvec(record) {
            Ok(value) => self.put(kind, key, value),
            Err(error) => {
                let what = format!("the {kind} (key {}) has no stored form: {error}", keys::text(&key));
                self.refused.get_or_insert(what);
            }
        }
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.records.push((key, None));
    }

    /// Moves the changes to a batch, in order.
    pub(super) fn add_to(self, batch: &mut WriteBatch) {
        for (key, value) in self.records {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
    }
}

/// What a checkpoint writes.
pub struct Frozen {
    changes: Changes,
    outcomes: Arc<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// New numbers of each crawl's seen-set, unsorted: sorting them must not delay commands.
    seen: Vec<(CrawlId, Vec<u64>)>,
    /// Crawls whose records have to leave the store.
    deleted: Vec<CrawlId>,
}

/// The state cannot be read from the state store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A record is not what this version writes.
    #[error(
        "the state store holds a damaged {what} (key {key}); stop this node, move its data directory away, run `twm-ctl member replace` for it and start it again"
    )]
    Damaged {
        /// Kind of record.
        what: &'static str,
        /// Its key, hexadecimal.
        key: String,
    },
    /// The cluster has a version that this program does not support.
    #[error(
        "the state on disk belongs to a cluster of version {cluster} and this program knows versions up to {known}; install the release that ran here before or a newer one"
    )]
    TooNew {
        /// The cluster's version.
        cluster: u32,
        /// The newest version that this program supports.
        known: u32,
    },
    /// The store lacks some of what the last checkpoint left in it, or contains something else.
    #[error(
        "the state on disk is not what the last checkpoint wrote: this disk loses data; stop this node, move its data directory away, run `twm-ctl member replace` for it and start it again"
    )]
    Unsealed,
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StateError),
}

impl LoadError {
    pub(crate) fn damaged(what: &'static str, key: &[u8]) -> Self {
        Self::Damaged { what, key: keys::text(key) }
    }
}

impl State {
    /// Loads the state of the last checkpoint.
    pub fn load(store: Arc<dyn StateStore>) -> Result<Self, LoadError> {
        Self::load_knowing(store, CLUSTER_VERSION)
    }

    /// The same, for a program that supports cluster versions up to `known`.
    pub fn load_knowing(store: Arc<dyn StateStore>, known: u32) -> Result<Self, LoadError> {
        let mut state = Self::empty(Arc::clone(&store), known);
        if let Some(value) = store.get(keys::HEAD)? {
            state.head = postcard::from_bytes(&value).map_err(|_| LoadError::damaged("head", keys::HEAD))?;
            let cluster = state.head.version;
            if cluster > known {
                return Err(LoadError::TooNew { cluster, known });
            }
        }
        state.profiles = Profiles::load(&*store)?;
        state.shares = Shares::load(&*store)?;
        state.requests = Requests::load(&*store)?;
        state.spend = Spend::load(&*store)?;
        state.roster = Roster::load(&*store)?;
        state.outbox = Outbox::load(&*store)?;
        state.deleted = Deleted::load(&*store)?;
        state.load_crawls(&*store)?;
        state.sessions = SessionTable::load(&*store)?;
        state.hosts = HostTable::load(&*store)?;
        state.load_jobs(&*store)?;
        state.load_parked();
        Ok(state)
    }

    /// Keeps the observers and checks of another state of this replica.
    pub fn observed_like(mut self, other: &Self) -> Self {
        self.outbox.continue_with(Arc::clone(other.outbox.live()));
        self.check_after_commands(other.checks.on());
        self
    }

    fn empty(store: Arc<dyn StateStore>, known: u32) -> Self {
        Self {
            known,
            head: Head { version: FIRST_CLUSTER_VERSION, ..Head::default() },
            requests: Requests::default(),
            crawls: CrawlTable::default(),
            jobs: JobTable::default(),
            sessions: SessionTable::default(),
            writers: FileWriters::default(),
            outcomes: AccountOutcomes::over(store),
            deleted: Deleted::default(),
            roster: Roster::default(),
            outbox: Outbox::default(),
            profiles: Profiles::default(),
            spend: Spend::default(),
            shares: Shares::default(),
            hosts: HostTable::default(),
            limits: Limits::default(),
            index: 0,
            failure: None,
            checks: Checks::as_built(),
        }
    }

    fn load_crawls(&mut self, store: &dyn StateStore) -> Result<(), LoadError> {
        for entry in scan(store, keys::of_tag(keys::CRAWL)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("crawl", &key);
            let id = CrawlId(keys::number_at(&key, 1).ok_or_else(damaged)?);
            self.crawls.insert(id, Crawl::load(store, id, &value)?);
        }
        Ok(())
    }

    /// Loads jobs and rebuilds everything that is derived from them.
    fn load_jobs(&mut self, store: &dyn StateStore) -> Result<(), LoadError> {
        for entry in scan(store, keys::of_tag(keys::JOB)) {
            let (key, value) = entry?;
            let id = self.jobs.load(&key, &value)?;
            let Some(record) = self.jobs.get(id) else { continue };
            let damaged = || LoadError::damaged("job", &key);
            self.crawls.get_mut(record.crawl()).ok_or_else(damaged)?.load_job(id, record);
            if let Some(file) = self.file_of(record).filter(|_| record.lease().is_some()) {
                self.writers.reserve(file, id);
            }
            match *record.phase() {
                Phase::Delayed { until } if !planted(Bug::DelaysNotSaved) => {
                    self.jobs.enqueue_delayed(until, id);
                }
                Phase::Leased { session, .. } => {
                    self.sessions.get_mut(session).ok_or_else(damaged)?.lease(id);
                }
                Phase::Publishing { session: Some(session), adopted: true, .. } => {
                    self.sessions.get_mut(session).ok_or_else(damaged)?.adopt(id);
                }
                Phase::AtHost { host, order } if !planted(Bug::HostsNotSaved) => {
                    let loaded = self.hosts.enqueue(host, record.crawl(), order, id);
                    loaded.then_some(()).ok_or_else(damaged)?;
                }
                Phase::Ready { .. }
                | Phase::Delayed { .. }
                | Phase::AtHost { .. }
                | Phase::Publishing { .. } => {}
            }
        }
        Ok(())
    }

    /// Collects what changed since the last checkpoint. Call [`Self::checkpoint_written`] before the next
    /// one.
    pub fn freeze(&mut self) -> Result<Frozen, StateFailure> {
        if let Some(failure) = self.failure.clone() {
            return Err(failure);
        }
        let mut changes = Changes::default();
        match planted(Bug::DrainedNotSaved) {
            true => {
                let head = Head { drained: BTreeSet::new(), ..self.head.clone() };
                changes.put_record("head", keys::HEAD.to_vec(), &head);
            }
            false => changes.put_record("head", keys::HEAD.to_vec(), &self.head),
        }
        self.profiles.freeze(&mut changes);
        self.shares.freeze(&mut changes);
        self.requests.freeze(&mut changes);
        self.spend.freeze(&mut changes);
        let mut seen = Vec::new();
        for (id, crawl) in self.crawls.iter_mut() {
            let numbers = crawl.freeze(id, &mut changes);
            if !numbers.is_empty() {
                seen.push((id, numbers));
            }
        }
        self.sessions.freeze(&mut changes);
        let deleted = self.deleted.freeze(&mut changes);
        self.jobs.freeze(&mut changes);
        self.roster.freeze(&mut changes);
        self.hosts.freeze(&mut changes);
        self.outbox.freeze(&mut changes);
        if let Some(what) = changes.refused.take() {
            self.broken("the largest size of a record", what);
        }
        let outcomes = self.outcomes.freeze();
        match self.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(Frozen { changes, outcomes, seen, deleted }),
        }
    }

    /// The last [`Frozen`] is durable. Returns what is no longer needed: dropping it takes a while, and no command
    /// should wait for that.
    pub fn checkpoint_written(&mut self) -> impl Send + use<> {
        (self.outcomes.written(), self.put_away_ended())
    }
}

/// Writes a checkpoint as one durable batch, together with records of the caller's own (the applied log id, the
/// membership). The first of them is the stamp of its [seal](super::check_seal); without any, there is no seal.
pub fn write_checkpoint(
    store: &dyn StateStore,
    frozen: Frozen,
    own: Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<(), LoadError> {
    let mut batch = WriteBatch::default();
    let stamp = own.first().map(|(key, _)| key.clone());
    for (key, value) in own {
        batch.put(key, value);
    }
    frozen.changes.add_to(&mut batch);
    for (key, value) in frozen.outcomes.iter() {
        match value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        }
    }
    for (crawl, mut numbers) in frozen.seen {
        numbers.sort_unstable();
        seen_runs::add(store, crawl, numbers, &mut batch)?;
    }
    let removed_all = retention::remove(store, &frozen.deleted, &mut batch)?;
    if let Some(stamp) = stamp {
        seal::seal(store, &mut batch, &stamp)?;
    }
    store.write(batch)?;
    if removed_all {
        retention::shrink(store)?;
    }
    Ok(())
}

pub(super) fn scan(store: &dyn StateStore, (start, end): (Vec<u8>, Vec<u8>)) -> Entries {
    store.scan(&start, Some(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_large_as_the_store_takes_and_a_larger_one_is_named() {
        for (key, value, fits) in [
            (MAX_KEY_BYTES, MAX_VALUE_BYTES, true),
            (MAX_KEY_BYTES + 1, 0, false),
            (MAX_KEY_BYTES + 9, 0, false),
            (1, MAX_VALUE_BYTES + 1, false),
            (1, MAX_VALUE_BYTES + 9, false),
        ] {
            let mut changes = Changes::default();
            changes.put("crawl", vec![7; key], vec![0; value]);
            assert_eq!(
                (changes.records.len(), changes.refused.is_none()),
                (usize::from(fits), fits),
                "{key} {value}"
            );
            let said = changes.refused.unwrap_or_default();
            assert!(fits || said.starts_with("the crawl (key 07"), "{said}");
        }
    }
}
