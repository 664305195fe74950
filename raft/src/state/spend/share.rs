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

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(share: &mut Share) -> Option<(u64, u64, u64)> {
        match share.settlement(&"app".into(), CrawlId(7))? {
            Change::Settle { app, crawl, spent, lost, returned } => {
                assert_eq!((&*app, crawl), ("app", CrawlId(7)));
                Some((spent, lost, returned))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_takes_its_worst_case_and_what_it_did_not_cost_is_free_again() {
        let mut share = Share::new();
        assert_eq!(share.take(1), None);
        share.granted(100);
        let (one, two) = (share.take(60).unwrap(), share.take(40).unwrap());
        assert_eq!((share.free(), share.under_way(), share.take(1)), (0, 100, None));
        share.answered(one, 25);
        assert_eq!((share.free(), share.under_way()), (35, 40));
        share.answered(one, 25);
        assert_eq!(share.free(), 35, "a second outcome changes nothing");
        share.not_sent(two);
        share.not_sent(two);
        assert_eq!((share.free(), share.under_way()), (75, 0));
        assert_eq!(settled(&mut share), Some((25, 0, 0)));
        assert_eq!(settled(&mut share), None, "it is reported once");
    }

    #[test]
    fn a_request_without_an_answer_is_lost_and_one_that_cost_too_much_is_paid_from_the_rest() {
        let mut share = Share::new();
        share.granted(100);
        let [lost, dear] = [share.take(30).unwrap(), share.take(20).unwrap()];
        share.unanswered(lost);
        share.unanswered(lost);
        assert_eq!((share.free(), settled(&mut share)), (50, Some((0, 30, 0))));
        share.answered(dear, 35);
        assert_eq!((share.free(), settled(&mut share)), (35, Some((35, 0, 0))));
        let dearest = share.take(10).unwrap();
        share.answered(dearest, 1_000);
        assert_eq!((share.free(), share.under_way()), (0, 0));
    }

    #[test]
    fn what_is_free_beyond_the_need_goes_back_once() {
        let mut share = Share::new();
        share.granted(100);
        share.give_back(60);
        assert_eq!(share.free(), 60);
        share.give_back(70);
        assert_eq!((share.free(), settled(&mut share)), (60, Some((0, 0, 40))));
        assert_eq!(settled(&mut share), None);
    }
}
