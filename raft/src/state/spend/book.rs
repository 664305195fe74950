//! The books of apps and crawls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::planted::{Bug, planted};

use crate::model::{AppName, AppStatus, AppTerms, CrawlId, CrawlMoney, MAX_APPS, Mark};

/// The marks that were reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Said {
    most: bool,
    all: bool,
}

impl Said {
    /// 80 % are spent: true the first time.
    fn most_of(&mut self, spent: u64, limit: u64) -> bool {
        let passed = limit > 0 && u128::from(spent) * 10 >= u128::from(limit) * 8;
        passed && !std::mem::replace(&mut self.most, true)
    }

    /// The limit refuses: true the first time.
    fn all(&mut self) -> bool {
        !std::mem::replace(&mut self.all, true)
    }
}

/// An app's book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AppBook {
    terms: AppTerms,
    /// The latest `Date`.
    latest: u64,
    cycle: Option<u64>,
    spent: u64,
    lost: u64,
    /// Lost before the turn; its requests can have been billed after it.
    lost_before: u64,
    held: u64,
    /// What may have been spent in the cycle before, until the margin after the turn is over.
    closing: Option<u64>,
    /// Spent beyond what was held, in this cycle and in the one that is closing.
    excess: u64,
    /// The largest limit since the cycle began, or what was carried into it: a lowered one does not break an invariant.
    largest_limit: u64,
    said: Said,
    /// Sessions name different cycles: nothing is granted.
    pub(super) disputed: bool,
}

impl AppBook {
    pub(super) fn new(terms: AppTerms) -> Self {
        Self {
            terms,
            latest: 0,
            cycle: None,
            spent: 0,
            lost: 0,
            lost_before: 0,
            held: 0,
            closing: None,
            excess: 0,
            largest_limit: terms.limit,
            said: Said::default(),
            disputed: false,
        }
    }

    /// Other terms. Another rule of cycles begins with the cycle that the next `Date` names; what was spent stays in it.
    pub(super) fn set_terms(&mut self, terms: AppTerms) {
        if terms.cycle != self.terms.cycle {
            (self.cycle, self.latest) = (None, 0);
        }
        if terms.limit > self.terms.limit {
            self.said = Said::default();
        }
        self.largest_limit = self.largest_limit.max(terms.limit);
        self.terms = terms;
    }

    /// A `Date` of the network.
    pub(super) fn see(&mut self, date: u64) {
        let back = planted(Bug::CycleTurnsBack);
        if date <= self.latest && !back {
            return;
        }
        self.latest = date;
        let number = self.terms.cycle.number(date);
        match self.cycle {
            None => self.cycle = Some(number),
            Some(cycle) if number > cycle || back && number != cycle => self.turn(number),
            Some(_) => {}
        }
        let settled = self.terms.cycle.start(number).saturating_add(self.terms.margin);
        if date >= settled {
            self.closing = None;
        }
    }

    fn turn(&mut self, number: u64) {
        // A turn within the margin of the last one, if cycles are that short, leaves both to close.
        self.closing = Some(self.total().max(self.closing.unwrap_or(0)));
        self.cycle = Some(number);
        self.spent = 0;
        self.lost_before = std::mem::take(&mut self.lost);
        self.excess = 0;
        self.largest_limit = self.terms.limit.max(self.total());
        self.said = Said::default();
    }

    /// What may have been spent in this cycle.
    fn total(&self) -> u64 {
        let parts = [self.spent, self.lost, self.lost_before, self.held];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// What can still be granted.
    pub(super) fn left(&self) -> u64 {
        if self.disputed {
            return 0;
        }
        self.terms.limit.saturating_sub(self.total().max(self.closing.unwrap_or(0)))
    }

    pub(super) fn hold(&mut self, amount: u64) {
        self.held = self.held.saturating_add(amount);
        // It can be billed in the old cycle too.
        self.closing = self.closing.map(|total| total.saturating_add(amount));
    }

    /// Books what became of `released`, which was held, and of `excess`, which was not.
    pub(super) fn settle(&mut self, released: u64, spent: u64, lost: u64, excess: u64) {
        self.held = self.held.saturating_sub(released);
        self.spent = self.spent.saturating_add(spent);
        self.lost = self.lost.saturating_add(lost);
        self.excess = self.excess.saturating_add(excess);
        self.closing = self.closing.map(|total| total.saturating_add(excess));
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The latest `Date`, Unix seconds.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Whether nothing that was spent or lost counts any more at this date.
    pub(super) fn is_over_at(&self, date: u64) -> bool {
        let over = |cycle: u64| self.terms.cycle.start(cycle + 2).saturating_add(self.terms.margin) <= date;
        self.held == 0 && (self.cycle.is_some_and(over) || self.total() == 0)
    }

    pub(super) fn next_cycle(&self) -> Option<u64> {
        let margin = self.terms.margin;
        self.cycle.map(|cycle| match self.closing {
            // The old cycle's limit refuses, and only until the margin is over.
            Some(total) if total > self.total() => self.terms.cycle.start(cycle).saturating_add(margin),
            _ => self.terms.cycle.start(cycle + 1),
        })
    }

    /// The mark of 80 %, once.
    pub(super) fn mark(&mut self, app: &str) -> Option<Mark> {
        let spent = self.spent.saturating_add(self.lost).saturating_add(self.lost_before);
        let passed = self.said.most_of(spent, self.terms.limit);
        passed.then(|| Mark::App { app: app.into(), cycle: self.cycle, percent: 80 })
    }

    /// The mark of the limit, once: a grant is refused.
    pub(super) fn refuse(&mut self, app: &str) -> Option<Mark> {
        if self.disputed {
            return None;
        }
        self.said.all().then(|| Mark::App { app: app.into(), cycle: self.cycle, percent: 100 })
    }

    pub(super) fn status(&self) -> AppStatus {
        AppStatus {
            limit: self.terms.limit,
            disputed: self.disputed,
            cycle: self.cycle,
            next_cycle: self.cycle.map(|cycle| self.terms.cycle.start(cycle + 1)),
            spent: self.spent,
            lost: self.lost.saturating_add(self.lost_before),
            held: self.held,
        }
    }

    pub(super) fn check(&self, name: &str, held: u64) -> Result<(), String> {
        if held != self.held {
            return Err(format!(
                "TWM-X1: sessions hold {held} of app {name}, and its book says {}",
                self.held
            ));
        }
        let allowed = self.largest_limit.saturating_add(self.excess).max(self.closing.unwrap_or(0));
        if self.total() > allowed {
            return Err(format!("TWM-X1: app {name} may have spent {} of {allowed}", self.total()));
        }
        Ok(())
    }
}

/// A crawl's book.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct CrawlBook {
    limit: Option<u64>,
    spent: u64,
    pub(super) held: u64,
    /// Spent beyond what was held or what a lowered limit allows.
    excess: u64,
    /// Nothing more is granted.
    pub(super) over: bool,
    /// The crawl is no longer in the state.
    pub(super) deleted: bool,
    said: Said,
    /// What the limit refused last, until something is granted.
    refused: Option<u64>,
    /// What apps refused last, until they grant something.
    waits: BTreeMap<AppName, u64>,
}

impl CrawlBook {
    pub(super) fn set_limit(&mut self, limit: Option<u64>) {
        if limit.is_none_or(|limit| self.limit.is_some_and(|old| limit > old)) {
            self.said = Said::default();
        }
        let total = self.spent.saturating_add(self.held);
        self.excess = limit.map_or(0, |limit| total.saturating_sub(limit));
        self.limit = limit;
    }

    pub(super) fn left(&self) -> u64 {
        let total = self.spent.saturating_add(self.held);
        self.limit.unwrap_or(u64::MAX).saturating_sub(total)
    }

    pub(super) fn hold(&mut self, app: &AppName, amount: u64) {
        self.held = self.held.saturating_add(amount);
        self.refused = None;
        self.waits.remove(app);
    }

    pub(super) fn settle(&mut self, released: u64, spent: u64) {
        self.held = self.held.saturating_sub(released);
        self.spent = self.spent.saturating_add(spent);
        self.excess = self.excess.saturating_add(spent.saturating_sub(released));
    }

    pub(super) fn mark(&mut self, crawl: CrawlId) -> Option<Mark> {
        let limit = self.limit?;
        self.said.most_of(self.spent, limit).then_some(Mark::Crawl { crawl, percent: 80 })
    }

    pub(super) fn refuse(&mut self, crawl: CrawlId, least: u64) -> Option<Mark> {
        self.refused = Some(least);
        self.said.all().then_some(Mark::Crawl { crawl, percent: 100 })
    }

    pub(super) fn is_at_limit(&self) -> bool {
        self.refused.is_some_and(|least| self.left() < least)
    }

    pub(super) fn wait_for(&mut self, app: &AppName, least: u64) {
        if self.waits.len() >= MAX_APPS && !self.waits.contains_key(app) {
            self.waits.pop_first();
        }
        self.waits.insert(app.clone(), least);
    }

    /// `wait` says until when an app does not have an amount left.
    pub(super) fn status(
        &self,
        wait: impl Fn(&AppName, u64) -> Option<(AppName, Option<u64>)>,
    ) -> CrawlMoney {
        CrawlMoney {
            limit: self.limit,
            spent: self.spent,
            held: self.held,
            at_limit: self.is_at_limit(),
            waits_for: self.waits.iter().filter_map(|(app, least)| wait(app, *least)).collect(),
        }
    }

    pub(super) fn check(&self, id: CrawlId, held: u64) -> Result<(), String> {
        if held != self.held {
            return Err(format!(
                "TWM-X2: sessions hold {held} of crawl {id}, and its book says {}",
                self.held
            ));
        }
        let total = self.spent.saturating_add(self.held);
        match self.limit {
            Some(limit) if total > limit.saturating_add(self.excess) => {
                Err(format!("TWM-X2: crawl {id} may have spent {total} of {limit}"))
            }
            _ => Ok(()),
        }
    }
}
