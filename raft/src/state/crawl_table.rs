//! All crawls, and which of them are not over.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use crate::model::CrawlId;

use super::checksum::Checksum;
use super::crawl::Crawl;

/// All crawls. Those that are not over are also listed by themselves, because there are few of them.
#[derive(Default)]
pub(super) struct CrawlTable {
    all: BTreeMap<CrawlId, Crawl>,
    active: BTreeSet<CrawlId>,
}

impl CrawlTable {
    /// Adds a crawl, which is active unless it is over.
    pub(super) fn insert(&mut self, id: CrawlId, crawl: Crawl) {
        if !crawl.phase().is_over() {
            self.active.insert(id);
        }
        self.all.insert(id, crawl);
    }

    /// Removes a crawl that is over.
    pub(super) fn remove(&mut self, id: CrawlId) {
        self.all.remove(&id);
    }

    /// A crawl has ended.
    pub(super) fn deactivate(&mut self, id: CrawlId) {
        self.active.remove(&id);
    }

    /// A crawl that had ended has jobs again.
    pub(super) fn reactivate(&mut self, id: CrawlId) {
        self.active.insert(id);
    }

    /// The crawls that are not over, oldest first.
    pub(super) fn active(&self) -> impl Iterator<Item = (CrawlId, &Crawl)> {
        self.active.iter().filter_map(|id| Some((*id, self.all.get(id)?)))
    }

    /// Whether a crawl is listed as active.
    pub(super) fn is_active(&self, id: CrawlId) -> bool {
        self.active.contains(&id)
    }

    /// Whether every crawl that is listed as active exists.
    pub(super) fn has_all_active(&self) -> bool {
        self.active.iter().all(|id| self.all.contains_key(id))
    }

    pub(super) fn get(&self, id: CrawlId) -> Option<&Crawl> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: CrawlId) -> Option<&mut Crawl> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CrawlId, &Crawl)> {
        self.all.iter().map(|(&id, crawl)| (id, crawl))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (CrawlId, &mut Crawl)> {
        self.all.iter_mut().map(|(&id, crawl)| (id, crawl))
    }

    pub(super) fn values(&self) -> btree_map::Values<'_, CrawlId, Crawl> {
        self.all.values()
    }

    pub(super) fn values_mut(&mut self) -> btree_map::ValuesMut<'_, CrawlId, Crawl> {
        self.all.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn sum(&self) -> u64 {
        let mut sum = Checksum::default();
        for (id, crawl) in &self.all {
            crawl.add_to(sum.record(id));
        }
        sum.record(&self.active).finish()
    }
}
