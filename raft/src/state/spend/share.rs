//! A session's own view of what it holds of one app for one crawl.

use std::collections::BTreeMap;

use crate::model::{AppName, Change, CrawlId};

/// An amount that was taken for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken(u64);

/// What a session holds of one app for one crawl. It lives in memory only: what is not reported when the process ends
/// counts as lost.
#[derive(Debug, Clone, Default)]
pub struct Share {
    free: u64,
    /// The worst case of each request under way.
    under_way: BTreeMap<Taken, u64>,
    next: u64,
    spent: u64,
    lost: u64,
    returned: u64,
}

impl Share {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A grant of the ledger. It is added once for each report that was answered.
    pub fn granted(&mut self, amount: u64) {
        self.free = self.free.saturating_add(amount);
    }

    /// What can be taken.
    pub fn free(&self) -> u64 {
        self.free
    }

    /// The worst cases of the requests under way.
    pub fn under_way(&self) -> u64 {
        self.under_way.values().sum()
    }

    /// Takes the worst case of a request before it is sent; `None` if that much is not free.
    pub fn take(&mut self, worst: u64) -> Option<Taken> {
        self.free = self.free.checked_sub(worst)?;
        self.next += 1;
        self.under_way.insert(Taken(self.next), worst);
        Some(Taken(self.next))
    }

    /// The answer came: this is what it cost. A second outcome of a request changes nothing.
    pub fn answered(&mut self, taken: Taken, cost: u64) {
        let Some(worst) = self.under_way.remove(&taken) else { return };
        self.spent = self.spent.saturating_add(cost);
        match worst.checked_sub(cost) {
            Some(rest) => self.free = self.free.saturating_add(rest),
            // The network sent more than was asked for. What is free here pays for it before the budget is exceeded.
            None => self.free = self.free.saturating_sub(cost - worst),
        }
    }

    /// The request was certainly never sent.
    pub fn not_sent(&mut self, taken: Taken) {
        let worst = self.under_way.remove(&taken).unwrap_or(0);
        self.free = self.free.saturating_add(worst);
    }

    /// No answer came, and none will be waited for.
    pub fn unanswered(&mut self, taken: Taken) {
        let worst = self.under_way.remove(&taken).unwrap_or(0);
        self.lost = self.lost.saturating_add(worst);
    }

    /// Gives back what is free beyond `keep`.
    pub fn give_back(&mut self, keep: u64) {
        let back = self.free.saturating_sub(keep);
        self.free -= back;
        self.returned = self.returned.saturating_add(back);
    }

    /// Whether there is something to report.
    pub fn has_unreported(&self) -> bool {
        self.spent > 0 || self.lost > 0 || self.returned > 0
    }

    /// What has to be reported, once; `None` if nothing has. The caller repeats a report until it has an answer.
    pub fn settlement(&mut self, app: &AppName, crawl: CrawlId) -> Option<Change> {
        let (spent, lost, returned) = (self.spent, self.lost, self.returned);
        (self.spent, self.lost, self.returned) = (0, 0, 0);
        let anything = spent > 0 || lost > 0 || returned > 0;
        anything.then(|| Change::Settle { app: app.clone(), crawl, spent, lost, returned })
    }
}
