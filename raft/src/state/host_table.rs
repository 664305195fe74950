//! The hosts for which jobs wait, with their queues.
//!
//! A host is in the table while it takes no requests, or fewer than there are jobs for it. Its record says since when,
//! why, and when it is asked again; its queue holds jobs by crawl. Fresh accounts that wait for it are in their crawls
//! ([`Accounts`](super::crawl_accounts::Accounts)), which count them here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storage::dataset::SourceName;
use storage::planted::{Bug, planted};
use storage::state::StateStore;

use crate::model::{CrawlId, HostTrouble, JobId};

use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError, scan};
use super::saved::Saved;

/// Most hosts in the table. Jobs of further ones wait for a time of their own.
pub(super) const MAX_HOSTS: usize = if cfg!(test) { 70 } else { 20_000 };
/// Most hosts that are looked at for one that can be forgotten.
const LOOKED_AT: usize = 16;
/// How long it is remembered that a host was away for which nobody waits any more, cluster time in ms.
pub(super) const REMEMBERED: u64 = 900_000;
/// Longest reason that is kept, bytes.
pub(super) const MAX_REASON: usize = 256;
/// Most jobs of a host that are let out at once. They are part of its record.
pub(super) const MAX_WINDOW: usize = 256;
/// How long jobs that were let out may take to find anything, before others follow, cluster time in ms: they may be in a
/// paused crawl, or wait for a storage.
pub(super) const PATIENCE: u64 = 60_000;

/// The number of a host in the table. It is used again when the host has left the table and nothing refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub(super) struct HostId(pub(super) u64);

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostRecord {
    pub(super) source: SourceName,
    pub(super) name: String,
    pub(super) trouble: Trouble,
    /// Since when it has this trouble, cluster time in ms.
    pub(super) since: u64,
    /// Not asked before this time.
    pub(super) until: u64,
    /// The rest after the next failure, ms.
    pub(super) rest: u64,
    /// How many jobs may be let out at once.
    pub(super) window: u32,
    /// The jobs that were let out and have found nothing yet.
    pub(super) out: BTreeSet<JobId>,
    /// When the last of them was.
    pub(super) out_at: u64,
    /// The crawl whose job was let out last: another one is next.
    pub(super) last_crawl: CrawlId,
}

impl HostRecord {
    /// A host that was given up is away as before: the next probe decides.
    pub(super) fn ask_again(&mut self) {
        if let Trouble::Gone { reason, gone_after_ms } = &mut self.trouble {
            let (reason, gone_after_ms) = (std::mem::take(reason), *gone_after_ms);
            self.trouble = Trouble::Away { reason, gone_after_ms };
        }
    }

    /// When a host for which nobody waits is forgotten.
    pub(super) fn forgotten_at(&self) -> u64 {
        self.until.saturating_add(match self.trouble {
            Trouble::None | Trouble::Limited => 0,
            Trouble::Away { .. } => REMEMBERED,
            Trouble::Gone { gone_after_ms, .. } => gone_after_ms,
        })
    }
}

/// Why jobs wait for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trouble {
    /// It answers; jobs are let out by its window.
    None,
    /// A node has enough requests in flight to it, or its budget is spent.
    Limited,
    /// It cannot be reached.
    Away { reason: String, gone_after_ms: u64 },
    /// It has been away for too long: its accounts fail.
    Gone { reason: String, gone_after_ms: u64 },
}

impl Trouble {
    /// Whether it is the state of a host that a finding with this trouble finds.
    pub(super) fn is_of(&self, found: &HostTrouble) -> bool {
        match self {
            Self::None => false,
            Self::Limited => matches!(found, HostTrouble::Busy | HostTrouble::Limited),
            Self::Away { .. } | Self::Gone { .. } => matches!(found, HostTrouble::Away { .. }),
        }
    }
}

struct Host {
    record: Saved<HostRecord>,
    on_disk: bool,
    /// Jobs with a record, by crawl, in the order of their arrival.
    waiting: BTreeMap<CrawlId, BTreeMap<u64, JobId>>,
    waiting_len: u64,
    /// Number of fresh accounts that wait, in their crawls.
    parked: u64,
    /// When it is looked at next, as in [`HostTable::due`].
    due: u64,
}

impl Host {
    fn is_idle(&self) -> bool {
        !self.has_waiting() && self.record.out.is_empty()
    }

    fn has_waiting(&self) -> bool {
        self.waiting_len + self.parked > 0
    }

    /// When there is something to do.
    fn next(&self) -> u64 {
        let record = &*self.record;
        match &record.trouble {
            Trouble::Gone { .. } if self.has_waiting() => record.until,
            // What is known of it stays a while, so that accounts found later need not wait as long again.
            Trouble::Away { .. } | Trouble::Gone { .. } if self.is_idle() => record.forgotten_at(),
            _ if self.has_waiting() && record.out.len() < record.window as usize => record.until,
            _ if planted(Bug::HostNeverReleased) && !record.out.is_empty() => u64::MAX,
            _ if !record.out.is_empty() => record.out_at.saturating_add(PATIENCE).max(record.until),
            _ => record.until,
        }
    }
}

/// All hosts for which jobs wait.
#[derive(Default)]
pub(super) struct HostTable {
    hosts: BTreeMap<HostId, Host>,
    names: BTreeMap<SourceName, BTreeMap<String, HostId>>,
    /// The host that let out a job.
    out: BTreeMap<JobId, HostId>,
    /// When each is looked at next.
    due: BTreeSet<(u64, HostId)>,
    removed: Vec<HostId>,
}

impl HostTable {
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    pub(super) fn find(&self, source: &SourceName, name: &str) -> Option<HostId> {
        self.names.get(source)?.get(name).copied()
    }

    pub(super) fn get(&self, id: HostId) -> Option<&HostRecord> {
        self.hosts.get(&id).map(|host| &*host.record)
    }

    /// Changes a host; when it is looked at next follows.
    pub(super) fn change(&mut self, id: HostId, change: impl FnOnce(&mut HostRecord)) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        change(host.record.change());
        self.schedule(id);
    }

    fn schedule(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let next = host.next();
        if next != host.due {
            self.due.remove(&(host.due, id));
            host.due = next;
            self.due.insert((next, id));
        }
    }

    /// Adds a host; `None` if there are too many.
    pub(super) fn add(&mut self, source: &SourceName, name: &str, clock: u64) -> Option<HostId> {
        if self.hosts.len() >= MAX_HOSTS {
            // Those that are only remembered are looked at last.
            let last: Vec<HostId> = self.due.iter().rev().take(LOOKED_AT).map(|&(_, id)| id).collect();
            last.into_iter().find(|id| self.remove_idle(*id))?;
        }
        let id = HostId(self.hosts.last_key_value().map_or(0, |(last, _)| last.0) + 1);
        let record = HostRecord {
            source: source.clone(),
            name: name.to_owned(),
            trouble: Trouble::None,
            since: clock,
            until: clock,
            rest: 0,
            window: 1,
            out: BTreeSet::new(),
            out_at: clock,
            last_crawl: CrawlId(0),
        };
        // One that left the table since the last checkpoint is not removed from the disk after this one is written.
        let on_disk = self.removed.iter().position(|removed| *removed == id);
        if let Some(at) = on_disk {
            self.removed.swap_remove(at);
        }
        self.insert(id, Saved::new(record), on_disk.is_some());
        Some(id)
    }

    fn insert(&mut self, id: HostId, record: Saved<HostRecord>, on_disk: bool) {
        self.names.entry(record.source.clone()).or_default().insert(record.name.clone(), id);
        self.out.extend(record.out.iter().map(|job| (*job, id)));
        let (waiting, waiting_len, parked, due) = (BTreeMap::new(), 0, 0, record.until);
        self.hosts.insert(id, Host { record, on_disk, waiting, waiting_len, parked, due });
        self.due.insert((due, id));
        self.schedule(id);
    }

    /// Removes a host that nothing refers to; returns whether that was so.
    pub(super) fn remove_idle(&mut self, id: HostId) -> bool {
        if !self.hosts.get(&id).is_some_and(Host::is_idle) {
            return false;
        }
        let Some(host) = self.hosts.remove(&id) else { return false };
        self.due.remove(&(host.due, id));
        if let Some(names) = self.names.get_mut(&host.record.source) {
            names.remove(&host.record.name);
            if names.is_empty() {
                self.names.remove(&host.record.source);
            }
        }
        if host.on_disk {
            self.removed.push(id);
        }
        true
    }

    /// Adds a job to a host's queue; returns whether the host is there.
    #[must_use]
    pub(super) fn enqueue(&mut self, id: HostId, crawl: CrawlId, order: u64, job: JobId) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        host.waiting.entry(crawl).or_default().insert(order, job);
        host.waiting_len += 1;
        self.schedule(id);
        true
    }

    /// Takes a job out of a host's queue; returns whether it was there.
    #[must_use]
    pub(super) fn dequeue(&mut self, id: HostId, crawl: CrawlId, order: u64) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(jobs) = host.waiting.get_mut(&crawl) else { return false };
        let was_there = jobs.remove(&order).is_some();
        if jobs.is_empty() {
            host.waiting.remove(&crawl);
        }
        host.waiting_len -= u64::from(was_there);
        self.schedule(id);
        was_there
    }

    /// Some fresh accounts of a crawl wait for a host; returns whether the host is there.
    #[must_use]
    pub(super) fn park(&mut self, id: HostId, accounts: u64) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        host.parked += accounts;
        self.schedule(id);
        true
    }

    /// Some fresh accounts of a crawl no longer wait for a host; returns whether they did.
    #[must_use]
    pub(super) fn unpark(&mut self, id: HostId, accounts: u64) -> bool {
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        let Some(parked) = host.parked.checked_sub(accounts) else { return false };
        host.parked = parked;
        self.schedule(id);
        true
    }

    /// The crawls with jobs in a host's queue.
    pub(super) fn crawls_of(&self, id: HostId) -> impl Iterator<Item = CrawlId> + '_ {
        self.hosts.get(&id).into_iter().flat_map(|host| host.waiting.keys().copied())
    }

    /// The first job of a crawl in a host's queue.
    pub(super) fn first_of(&self, id: HostId, crawl: CrawlId) -> Option<JobId> {
        self.hosts.get(&id)?.waiting.get(&crawl)?.first_key_value().map(|(_, job)| *job)
    }

    pub(super) fn has_waiting(&self, id: HostId) -> bool {
        self.hosts.get(&id).is_some_and(Host::has_waiting)
    }

    /// Number of jobs and of fresh accounts of a crawl in a host's queue, without the latter.
    pub(super) fn waiting_of(&self, id: HostId, crawl: CrawlId) -> u64 {
        self.hosts.get(&id).and_then(|host| host.waiting.get(&crawl)).map_or(0, |jobs| jobs.len() as u64)
    }

    /// The host that let out a job.
    pub(super) fn of_out(&self, job: JobId) -> Option<HostId> {
        self.out.get(&job).copied()
    }

    /// A job of a host is let out.
    pub(super) fn let_out(&mut self, id: HostId, job: JobId, crawl: CrawlId, clock: u64) {
        self.out.insert(job, id);
        self.change(id, |record| {
            record.out.insert(job);
            record.out_at = clock;
            record.last_crawl = crawl;
        });
    }

    /// A job that may have been let out has found something, or is over.
    pub(super) fn forget(&mut self, job: JobId) {
        if planted(Bug::HostNeverReleased) {
            return;
        }
        let Some(id) = self.out.remove(&job) else { return };
        self.change(id, |record| {
            record.out.remove(&job);
        });
    }

    /// Jobs that were let out long ago are no longer waited for.
    pub(super) fn forget_all_out(&mut self, id: HostId) {
        let Some(host) = self.hosts.get(&id) else { return };
        let out: Vec<JobId> = host.record.out.iter().copied().collect();
        out.iter().for_each(|job| {
            self.out.remove(job);
        });
        self.change(id, |record| record.out.clear());
    }

    /// When the first host is looked at next.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|&(at, _)| at).filter(|&at| at < u64::MAX)
    }

    /// The hosts to look at, at most `most`.
    pub(super) fn due(&self, clock: u64, most: usize) -> Vec<HostId> {
        self.due.range(..=(clock, HostId(u64::MAX))).take(most).map(|&(_, id)| id).collect()
    }

    /// All hosts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (HostId, &HostRecord)> {
        self.hosts.iter().map(|(&id, host)| (id, &*host.record))
    }

    /// Looks at all hosts that do not rest for their own sake.
    pub(super) fn wake_all(&mut self, clock: u64) {
        let idle: Vec<HostId> = self
            .iter()
            .filter(|(_, record)| matches!(record.trouble, Trouble::None | Trouble::Gone { .. }))
            .map(|(id, _)| id)
            .collect();
        for id in idle {
            self.change(id, |record| record.until = record.until.min(clock));
        }
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        for id in self.removed.drain(..) {
            changes.delete(keys::host(id));
        }
        for (&id, host) in &mut self.hosts {
            if let Some(record) = host.record.take_changed() {
                host.on_disk = true;
                changes.put_record("host", keys::host(id), record);
            }
        }
    }

    /// Loads the hosts; their queues are rebuilt from the jobs and the crawls.
    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut table = Self::default();
        for entry in scan(store, keys::of_tag(keys::HOST)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("host", &key);
            let id = HostId(keys::number_at(&key, 1).ok_or_else(damaged)?);
            let record = postcard::from_bytes(&value).map_err(|_| damaged())?;
            table.insert(id, Saved::loaded(record), true);
        }
        Ok(table)
    }

    /// Adds what all replicas have to agree on; nothing for an empty table, as in clusters of older versions.
    pub(super) fn add_to(&self, sum: &mut Checksum) {
        for (id, host) in &self.hosts {
            sum.record(id).record(&*host.record).record(&host.waiting).number(host.parked);
        }
    }

    /// What is wrong with the table, if anything; `parked` and `waiting` are the numbers of accounts and jobs that name
    /// each host.
    pub(super) fn check(
        &self,
        parked: &BTreeMap<HostId, u64>,
        waiting: &BTreeMap<HostId, u64>,
    ) -> Result<(), String> {
        for (id, host) in &self.hosts {
            let record = &*host.record;
            let there = (waiting.get(id).copied().unwrap_or(0), parked.get(id).copied().unwrap_or(0));
            if (host.waiting_len, host.parked) != there {
                return Err(format!(
                    "{} counts {:?}; there are {there:?}",
                    record.name,
                    (host.waiting_len, host.parked)
                ));
            }
            if record.out.len() > MAX_WINDOW || record.out.iter().any(|job| self.out.get(job) != Some(id)) {
                return Err(format!("{} let out {:?}, which is not its", record.name, record.out));
            }
            if self.find(&record.source, &record.name) != Some(*id) || !self.due.contains(&(host.due, *id)) {
                return Err(format!("{} is not found by its name or its time", record.name));
            }
        }
        let known = |id: &&HostId| self.hosts.contains_key(id);
        match parked.keys().chain(waiting.keys()).find(|id| !known(id)) {
            Some(lost) => Err(format!("accounts wait for host {}, which is not there", lost.0)),
            None if self.due.len() != self.hosts.len() => Err("a host is due twice".to_owned()),
            None => Ok(()),
        }
    }
}
