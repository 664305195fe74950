//! A network that charges, and how a model node pays it.
//!
//! All nodes spend by one app. The network bills at once, by the world's time, and its hosts disagree a little about it.
//! What it bills in a cycle must never be over the limit (TWM-X1). Its seconds are the world's milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, ClientError};
use storage::env::{Entropy, SeededEntropy};
use tokio::time::timeout;

use crate::model::{
    AppName, AppTerms, Change, CycleRule, NO_CRAWL, NodeId, Outcome, SessionId, SpendAnswer, SpendReport,
};
use crate::server::Tracker;
use crate::state::spend::Share;

use super::workforce::WorldClock;

/// The cluster version from which on money is counted.
const FIRST_MONEY: u32 = 6;
/// A billing cycle.
const CYCLE: u64 = 10_000;
/// What may be spent in one: the nodes would like more.
const LIMIT: u64 = 2_500;
/// Hosts disagree by at most this, either way.
const SKEW: u64 = 200;
/// Twice the difference of the hosts, and a session's time to live.
const MARGIN: u64 = 4 * SKEW + 4_000;
/// Longest wait for an answer; the report is sent again later.
const PATIENCE: Duration = Duration::from_millis(150);

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Bank {
    books: Arc<Mutex<Books>>,
    clock: WorldClock,
}

#[derive(Default)]
struct Books {
    /// By cycle.
    billed: BTreeMap<u64, u64>,
    wrong: Option<String>,
}

impl Bank {
    pub(super) fn new(clock: WorldClock) -> Self {
        Self { books: Arc::default(), clock }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by one of the hosts.
    fn date(&self, dice: &SeededEntropy) -> u64 {
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        100 * CYCLE + now - SKEW + dice.next_u64() % (2 * SKEW + 1)
    }

    fn bill(&self, date: u64, amount: u64) {
        let mut books = self.books();
        let billed = books.billed.entry(date / CYCLE).or_default();
        *billed += amount;
        let billed = *billed;
        if billed > LIMIT {
            let wrong = format!("TWM-X1: {billed} of {LIMIT} were billed in a cycle");
            books.wrong.get_or_insert(wrong);
        }
    }

    fn complain(&self, wrong: String) {
        self.books().wrong.get_or_insert(wrong);
    }

    /// What went wrong.
    pub(super) fn wrong(&self) -> Option<String> {
        self.books().wrong.clone()
    }
}

/// What a session holds.
#[derive(Default)]
pub(super) struct Purse {
    share: Share,
    sequence: u64,
    /// The newest date that the node has seen.
    date: u64,
    unanswered: Option<SpendReport>,
    over: bool,
}

impl Purse {
    /// Sends some requests and a report.
    pub(super) async fn step(
        &mut self,
        (node, session): (NodeId, SessionId),
        tracker: &Tracker,
        bank: &Bank,
        dice: &SeededEntropy,
    ) {
        if self.over || tracker.cluster_version() < FIRST_MONEY {
            return;
        }
        for _ in 0..dice.next_u64() % 6 {
            self.send(bank, dice);
        }
        let report = match self.unanswered.clone() {
            Some(report) => report,
            None => self.report(bank, dice),
        };
        self.unanswered = Some(report.clone());
        let repeats = dice.next_u64() % 8 == 0;
        let Ok(answer) = timeout(PATIENCE, tracker.spend(node, session, report.clone())).await else {
            return;
        };
        match answer {
            Ok(answer) => {
                if repeats {
                    let again = timeout(PATIENCE, tracker.spend(node, session, report.clone())).await;
                    if let Ok(Ok(again)) = again {
                        if again != answer {
                            bank.complain(format!(
                                "a repeated report of money got {again:?}, not {answer:?}"
                            ));
                        }
                    }
                }
                self.follow(answer, bank);
            }
            Err(ClientError::Api(ApiError::Refused(_))) => self.over = true,
            Err(_) => {}
        }
    }

    fn send(&mut self, bank: &Bank, dice: &SeededEntropy) {
        let worst = (10 * (1 + dice.next_u64() % 8)).min(self.share.free());
        let Some(taken) = self.share.take(worst).filter(|_| worst > 0) else { return };
        let (date, is_lost) = (bank.date(dice), dice.next_u64() % 8 == 0);
        if is_lost {
            bank.bill(date, worst);
            return self.share.unanswered(taken);
        }
        let cost = worst - dice.next_u64() % (worst / 2 + 1);
        bank.bill(date, cost);
        self.share.answered(taken, cost);
        self.date = self.date.max(date);
    }

    fn report(&mut self, bank: &Bank, dice: &SeededEntropy) -> SpendReport {
        let app: AppName = "one".into();
        // Who has nothing left asks for the date now and then.
        if dice.next_u64() % 10 == 0 {
            self.date = self.date.max(bank.date(dice));
        }
        if dice.next_u64() % 6 == 0 {
            self.share.give_back(0);
        }
        self.sequence += 1;
        let mut changes: Vec<Change> = self.share.settlement(&app, NO_CRAWL).into_iter().collect();
        let wanted = 40 + dice.next_u64() % 300;
        changes.push(Change::Reserve { app: app.clone(), crawl: NO_CRAWL, least: 10, wanted });
        let terms = AppTerms { limit: LIMIT, cycle: CycleRule::Every { seconds: CYCLE }, margin: MARGIN };
        let apps = if self.sequence == 1 { vec![(app.clone(), terms)] } else { Vec::new() };
        SpendReport { sequence: self.sequence, apps, dates: vec![(app, self.date)], changes }
    }

    fn follow(&mut self, answer: SpendAnswer, bank: &Bank) {
        self.unanswered = None;
        for outcome in answer.outcomes {
            match outcome {
                Outcome::Granted { amount } => self.share.granted(amount),
                Outcome::Settled { excess: excess @ 1.. } => {
                    bank.complain(format!("TWM-X1: {excess} were spent beyond what was held"));
                }
                Outcome::Settled { .. } | Outcome::Wait { .. } | Outcome::Unknown | Outcome::Full => {}
            }
        }
    }
}
