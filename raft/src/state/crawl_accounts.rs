//! The accounts of a crawl: those that wait, the frontier, and all that it knows.
//!
//! The seen-set and the frontier of an ended crawl are on disk only ([`retention`](super::retention)).

use std::collections::BTreeMap;

use storage::ids::UserId;
use storage::state::StateStore;

use crate::model::{CrawlId, SubmitSummary, Traversal};

use super::checksum::Checksum;
use super::hosts::HostId;
use super::persist::{Changes, LoadError, scan};
use super::queue::SegmentQueue;
use super::seen::SeenSet;
use super::{keys, seen_runs};

/// The order of this many accounts at the head of a queue is covered by a checksum; the others are covered by their
/// number and sum.
const ORDERED: usize = 1_000;

/// The accounts of a crawl.
#[derive(Default)]
pub(super) struct Accounts {
    queue: SegmentQueue,
    /// Accounts that wait for their host, in front of no others.
    parked: BTreeMap<HostId, SegmentQueue>,
    /// Number of these.
    parked_len: u64,
    frontier: SegmentQueue,
    seen: SeenSet,
    /// Whether the seen-set and the frontier are on disk only.
    put_away: bool,
}

/// What became of discovered accounts.
pub(super) struct Discovered {
    /// New accounts that the follow rule admitted.
    pub(super) admitted: u64,
    /// New accounts that it discarded.
    pub(super) discarded: u64,
}

impl Accounts {
    /// Adds targets at the end of the queue, or seeds, which only count as seen (TWM-C2).
    pub(super) fn submit(&mut self, users: Vec<UserId>, seeds: bool) -> SubmitSummary {
        let named = users.len() as u64;
        let new = self.seen.insert(users);
        if !seeds {
            new.iter().for_each(|user| self.queue.push_back(user, 0));
        }
        SubmitSummary { accepted: new.len() as u64, duplicates: named - new.len() as u64 }
    }

    /// Adds discovered accounts: the admitted ones to the frontier or, if the traversal crawls them, to the queue.
    /// Not while they are put away.
    pub(super) fn discover(
        &mut self,
        admitted: Vec<UserId>,
        discarded: Vec<UserId>,
        depth: u32,
        traversal: Traversal,
    ) -> Discovered {
        let discarded = self.seen.insert(discarded).len() as u64;
        let admitted = self.seen.insert(admitted);
        match traversal {
            Traversal::Default => admitted.iter().for_each(|user| self.frontier.push_back(user, depth)),
            Traversal::Bfs => admitted.iter().for_each(|user| self.queue.push_back(user, depth)),
            Traversal::Dfs => self.queue.push_front(&admitted, depth),
        }
        Discovered { admitted: admitted.len() as u64, discarded }
    }

    /// Takes the account at the head of the queue, with its depth.
    pub(super) fn pop_waiting(&mut self) -> Option<(UserId, u32)> {
        self.queue.pop_front()
    }

    /// Drops the accounts that wait.
    pub(super) fn clear_waiting(&mut self) {
        self.queue.clear();
        self.parked.values_mut().for_each(SegmentQueue::clear);
        self.parked_len = 0;
    }

    /// Number of accounts that wait, for a worker or for their host.
    pub(super) fn waiting(&self) -> u64 {
        self.queue.len() + self.parked_len
    }

    /// Whether an account waits for nothing but a worker.
    pub(super) fn has_queued(&self) -> bool {
        self.queue.len() > 0
    }

    /// The account at the head of the queue.
    pub(super) fn first_queued(&self) -> Option<UserId> {
        self.queue.first()
    }

    /// The account at the head of the queue waits for its host from now on.
    pub(super) fn park_first(&mut self, host: HostId) {
        let Some((user, depth)) = self.queue.pop_front() else { return };
        self.parked.entry(host).or_default().push_back(&user, depth);
        self.parked_len += 1;
    }

    /// Takes the first account that waits for a host, with its depth.
    pub(super) fn pop_parked(&mut self, host: HostId) -> Option<(UserId, u32)> {
        let account = self.parked.get_mut(&host)?.pop_front()?;
        self.parked_len -= 1;
        Some(account)
    }

    /// Number of accounts that wait for a host.
    pub(super) fn parked(&self, host: HostId) -> u64 {
        self.parked.get(&host).map_or(0, SegmentQueue::len)
    }

    /// The hosts for which accounts wait, with their number.
    pub(super) fn all_parked(&self) -> impl Iterator<Item = (HostId, u64)> {
        let parked = self.parked.iter().map(|(&host, queue)| (host, queue.len()));
        parked.filter(|&(_, accounts)| accounts > 0)
    }

    /// The first accounts that wait, at most `limit`.
    pub(super) fn first_waiting(&self, limit: usize) -> Vec<UserId> {
        self.queue.page(0, limit)
    }

    /// Number of accounts that the crawl knows; fewer while they are put away.
    pub(super) fn seen(&self) -> u64 {
        self.seen.len()
    }

    /// Those of these accounts that the crawl does not know, in their order; all while they are put away.
    pub(super) fn unseen(&self, users: Vec<UserId>) -> Vec<UserId> {
        match self.put_away {
            true => users,
            false => users.into_iter().filter(|user| !self.seen.contains(user)).collect(),
        }
    }

    /// A page of the frontier; `None` while it is put away.
    pub(super) fn frontier_page(&self, from: u64, limit: usize) -> Option<Vec<UserId>> {
        (!self.put_away).then(|| self.frontier.page(from, limit))
    }

    pub(super) fn is_put_away(&self) -> bool {
        self.put_away
    }

    /// Resident bytes of the queue and the frontier.
    pub(super) fn queue_bytes(&self) -> usize {
        let parked: usize = self.parked.values().map(SegmentQueue::memory_bytes).sum();
        self.queue.memory_bytes() + self.frontier.memory_bytes() + parked
    }

    /// Resident bytes of the seen-set.
    pub(super) fn seen_bytes(&self) -> usize {
        self.seen.memory_bytes()
    }

    /// Adds what all replicas have to agree on. Those of a reopened crawl may be put away on one replica and in memory
    /// on another, so they are read from the store; without it, this replica differs from the others.
    pub(super) fn add_to(&self, store: &dyn StateStore, id: CrawlId, sum: &mut Checksum) {
        if self.put_away {
            if let Ok(stored) = Self::load(store, id, false) {
                stored.add_to(store, id, sum);
            }
            return;
        }
        sum.number(self.seen.sum()).number(self.seen.len());
        for queue in [&self.queue, &self.frontier] {
            sum.number(queue.sum()).number(queue.len()).record(&queue.page(0, ORDERED));
        }
        for (host, queue) in self.parked.iter().filter(|(_, queue)| queue.len() > 0) {
            sum.record(host).number(queue.sum()).number(queue.len()).record(&queue.page(0, ORDERED));
        }
    }

    /// Adds what has changed since the last checkpoint; returns new numbers of the seen-set, unsorted.
    pub(super) fn freeze(&mut self, id: CrawlId, changes: &mut Changes) -> Vec<u64> {
        self.queue.freeze(|number| keys::segment(keys::QUEUE, id, number), changes);
        self.frontier.freeze(|number| keys::segment(keys::FRONTIER, id, number), changes);
        for (&host, queue) in &mut self.parked {
            queue.freeze(|number| keys::parked(id, host, number), changes);
        }
        self.parked.retain(|_, queue| queue.len() > 0);
        let (numbers, texts) = self.seen.take_new();
        texts
            .iter()
            .for_each(|text| changes.put("id of the seen-set", keys::seen_text(id, text), Vec::new()));
        numbers
    }

    /// Loads the accounts of a crawl; those of an ended one stay put away.
    pub(super) fn load(store: &dyn StateStore, id: CrawlId, is_over: bool) -> Result<Self, LoadError> {
        let mut accounts = Self { put_away: true, ..Self::default() };
        for entry in scan(store, keys::of_crawl(keys::QUEUE, id)) {
            let (key, value) = entry?;
            accounts.queue.load(&key, &value)?;
        }
        for entry in scan(store, keys::of_crawl(keys::PARKED, id)) {
            let (key, value) = entry?;
            let host = keys::number_at(&key, 9).ok_or_else(|| LoadError::damaged("queue segment", &key))?;
            accounts.parked.entry(HostId(host)).or_default().load(&key, &value)?;
        }
        accounts.parked_len = accounts.parked.values().map(SegmentQueue::len).sum();
        if !is_over {
            accounts.take_out(store, id)?;
        }
        Ok(accounts)
    }

    /// Removes accounts that a checkpoint has from memory; returns them, because dropping them can take a while.
    /// Only for a crawl whose accounts nobody changes any more.
    pub(super) fn put_away(&mut self) -> Option<impl Send + use<>> {
        let has_new = self.seen.has_new() || self.frontier.has_new() || self.queue.has_new();
        let has_new = has_new || self.parked.values().any(SegmentQueue::has_new);
        if self.put_away || has_new {
            return None;
        }
        Some(std::mem::replace(self, Self { put_away: true, ..Self::default() }))
    }

    /// Loads what was put away, if anything.
    pub(super) fn take_out(&mut self, store: &dyn StateStore, id: CrawlId) -> Result<(), LoadError> {
        if !self.put_away {
            return Ok(());
        }
        for entry in scan(store, keys::of_crawl(keys::FRONTIER, id)) {
            let (key, value) = entry?;
            self.frontier.load(&key, &value)?;
        }
        seen_runs::load(store, id, &mut self.seen)?;
        self.put_away = false;
        Ok(())
    }
}

#[cfg(test)]
impl Accounts {
    /// The seen-set and the frontier, in memory or put away.
    pub(super) fn seen_and_frontier(
        &self,
        store: &dyn StateStore,
        id: CrawlId,
    ) -> (Vec<UserId>, Vec<UserId>) {
        let stored = self.put_away.then(|| Self::load(store, id, false).unwrap());
        let of = stored.as_ref().unwrap_or(self);
        (of.seen.iter().collect(), of.frontier.page(0, usize::MAX))
    }

    /// Forgets what was seen.
    pub(super) fn forget_seen(&mut self) {
        self.seen = SeenSet::default();
    }
}
