//! Money in the random worlds: nodes spend by one app, a network bills, and answers are lost.

use std::collections::BTreeMap;

use super::world::World;
use crate::model::*;
use crate::state::spend::Share;

/// A cycle of the network's time, s; a step takes two of them on average.
const CYCLE: u64 = 150;
/// Hosts of the network disagree by at most this, s, either way.
const SKEW: u64 = 3;
const LIMIT: u64 = 900;
const TERMS: AppTerms =
    AppTerms { limit: LIMIT, cycle: CycleRule::Every { seconds: CYCLE }, margin: 4 * SKEW };

/// What nodes hold, and what the network has billed.
#[derive(Default)]
pub(super) struct Money {
    purses: [Purse; 4],
    /// By cycle.
    billed: BTreeMap<u64, u64>,
    /// The network's time when something was billed last.
    now: u64,
}

#[derive(Default)]
struct Purse {
    share: Share,
    sequence: u64,
    /// The newest date that the node has seen.
    date: u64,
}

impl Money {
    fn bill(&mut self, date: u64, amount: u64) {
        let billed = self.billed.entry(date / CYCLE).or_default();
        *billed += amount;
        assert!(*billed <= LIMIT, "TWM-X1: {billed} of {LIMIT} were billed in a cycle");
    }

    /// The node at this place has lost its session, after it has sent what it could and told nobody.
    pub(super) fn session_ended(&mut self, at: usize) {
        let purse = std::mem::take(&mut self.purses[at]);
        self.bill(self.now, purse.share.free() + purse.share.under_way());
        self.purses[at].date = purse.date;
    }
}

impl World {
    fn date(&self) -> u64 {
        let of_all = 1_000 * CYCLE + self.now() / 10;
        of_all - SKEW + self.below(2 * SKEW + 1)
    }

    /// Some nodes spend and report.
    pub(super) fn spend(&mut self) {
        for _ in 0..6 {
            let at = self.below(4) as usize;
            let Some(session) = self.session_at(at) else { continue };
            self.money.now = self.date();
            for _ in 0..self.below(4) {
                self.send_request(at);
            }
            self.report_money(at, session);
        }
    }

    fn send_request(&mut self, at: usize) {
        let worst = 10 * (1 + self.below(8));
        let worst = worst.min(self.money.purses[at].share.free());
        let Some(taken) = self.money.purses[at].share.take(worst).filter(|_| worst > 0) else { return };
        let (date, cost) = (self.date(), worst - self.below(worst / 2 + 1));
        if self.one_in(8) {
            return self.money.purses[at].share.not_sent(taken);
        }
        self.money.bill(date, cost);
        let lost = self.one_in(6);
        let purse = &mut self.money.purses[at];
        if lost {
            return purse.share.unanswered(taken);
        }
        purse.share.answered(taken, cost);
        purse.date = purse.date.max(date);
    }

    fn report_money(&mut self, at: usize, session: SessionId) {
        let (app, crawl): (AppName, _) = ("one".into(), NO_CRAWL);
        let (give_back, asked) = (self.one_in(4), self.one_in(4));
        if asked {
            let date = self.date();
            self.money.purses[at].date = self.money.purses[at].date.max(date);
        }
        let wanted = 20 + self.below(200);
        let purse = &mut self.money.purses[at];
        if give_back {
            purse.share.give_back(0);
        }
        purse.sequence += 1;
        let mut changes: Vec<Change> = purse.share.settlement(&app, crawl).into_iter().collect();
        changes.push(Change::Reserve { app: app.clone(), crawl, least: 10, wanted });
        let apps = if purse.sequence == 1 { vec![(app.clone(), TERMS)] } else { Vec::new() };
        let report = SpendReport { sequence: purse.sequence, apps, dates: vec![(app, purse.date)], changes };
        let mutation = Mutation::Spend { session, report };
        let response = self.apply(mutation.clone());
        if self.one_in(4) {
            // Its answer was lost.
            assert_eq!(self.apply(mutation), response, "TWM-X1: a repeated report gets another answer");
        }
        let Response::Spent(answer) = response else { panic!("{response:?}") };
        if let Some(Outcome::Granted { amount }) = answer.outcomes.last() {
            self.money.purses[at].share.granted(*amount);
        }
        assert!(!answer.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Settled { excess: 1.. })));
    }
}
