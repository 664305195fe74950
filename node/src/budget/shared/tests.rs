//! What a node makes of its shares, with the state's side beside it.

use std::time::Duration;

use api::model::{SessionId, ShareReport};
use raft::state::shares::{Moment, Shares};

use super::*;
use crate::budget::settings::BudgetSettings;
use crate::rate::{Delivery, RateInfo};

const SESSION: SessionId = SessionId(7);
const SECOND: Duration = Duration::from_secs(1);

/// A node and the state.
struct Pair {
    node: SharedBudgets,
    state: Shares,
    now: Duration,
    sequence: u64,
}

impl Pair {
    fn new(nat: Option<&str>) -> Self {
        let mut node = SharedBudgets::none();
        node.begin(nat.map(str::to_owned));
        node.begin_session(SESSION);
        node.decide(true);
        Self { node, state: Shares::default(), now: SECOND, sequence: 0 }
    }

    fn id(&mut self, scope: &BudgetScope) -> u64 {
        self.node.id(scope, self.now)
    }

    /// Reports what is due; returns how many budgets were in it.
    fn report(&mut self) -> usize {
        let views = self.node.wanted(self.now).into_iter().map(|(id, name)| (id, self.state.budget(&name)));
        let views = views.collect();
        self.node.look(views);
        let Some(pending) = self.node.due(SESSION, self.now) else { return 0 };
        self.sequence += 1;
        let budgets = pending.encode(self.now);
        let count = budgets.len();
        let report = ShareReport { session: SESSION, sequence: self.sequence, budgets };
        let at = u64::try_from(self.now.as_millis()).unwrap();
        let answer = self.state.report(&report, Moment { term: 1, process: 1, at }).unwrap();
        self.node.answered(SESSION, &pending, self.now, &answer);
        count
    }

    fn is_ready(&mut self, id: u64) -> bool {
        let budget = self.node.get_mut(id).unwrap();
        let ready = budget.is_ready(self.now);
        if !ready {
            budget.wish(self.now);
        }
        ready
    }

    /// Sends a request that is answered like this.
    fn send(&mut self, id: u64, rate: &RateInfo) {
        assert!(self.is_ready(id));
        let budget = self.node.get_mut(id).unwrap();
        let taken = budget.take(self.now);
        budget.settle(taken, rate, self.now, &BudgetSettings::default(), 0.0);
    }

    fn capacity(&mut self, id: u64) -> usize {
        self.node.get_mut(id).unwrap().capacity(self.now)
    }
}

fn token() -> BudgetScope {
    BudgetScope::new("token", Per::Source)
}

fn answer(remaining: Option<u64>) -> RateInfo {
    RateInfo {
        delivery: Delivery::Answered(200),
        limit: remaining.map(|_| 300),
        remaining,
        reset_in: remaining.map(|_| SECOND * 60),
        window: remaining.map(|_| 1_700_000_060),
        ..RateInfo::not_sent()
    }
}

#[test]
fn a_probe_sets_the_window_and_then_requests_come_in_small_shares() {
    let mut pair = Pair::new(None);
    let id = pair.id(&token());
    assert_eq!(pair.capacity(id), 1, "somebody has to probe");
    assert!(!pair.is_ready(id));
    assert_eq!(pair.report(), 1);
    pair.send(id, &answer(Some(299)));
    assert!(!pair.is_ready(id), "one at a time");
    assert_eq!(pair.report(), 1);
    assert!(pair.capacity(id) >= 298);
    for _ in 0..5 {
        pair.node.count_waiter(id, true);
    }
    pair.now += SECOND / 10;
    assert!(!pair.is_ready(id) || pair.node.get(id).unwrap().share.free() == 1);
    pair.report();
    assert!((2..=5).contains(&pair.node.get(id).unwrap().share.free()));
    // What nobody uses goes back.
    for _ in 0..5 {
        pair.node.count_waiter(id, false);
    }
    pair.now += SECOND * 2;
    assert_eq!(pair.report(), 1);
    assert_eq!((pair.node.get(id).unwrap().share.held(), pair.state.budget("token").unwrap().held), (0, 0));
    assert_eq!(pair.state.budget("token").unwrap().left, Some(299));
}

#[test]
fn an_exhausted_window_is_waited_for_and_asks_nothing_before_it_ends() {
    let mut pair = Pair::new(None);
    let id = pair.id(&token());
    assert!(!pair.is_ready(id));
    pair.report();
    pair.send(id, &answer(Some(0)));
    pair.report();
    assert_eq!((pair.is_ready(id), pair.capacity(id), pair.report()), (false, 0, 0));
    let until = pair.node.get_mut(id).unwrap().wish(pair.now).unwrap();
    assert!((SECOND * 61..SECOND * 64).contains(&(until - pair.now)), "{until:?}");
    pair.now = until;
    assert_eq!((pair.capacity(id), pair.is_ready(id), pair.report()), (1, false, 1));
    assert!(pair.is_ready(id), "another probe");
}

#[test]
fn nothing_of_a_session_that_is_over_is_sent() {
    let mut pair = Pair::new(None);
    let id = pair.id(&token());
    assert!(!pair.is_ready(id));
    pair.report();
    assert!(pair.is_ready(id));
    pair.node.drop_session();
    assert!(!pair.is_ready(id));
    assert!(pair.node.due(SESSION, pair.now).is_none(), "it reports nothing more");
}

#[test]
fn until_it_is_known_whether_budgets_are_shared_they_belong_to_nobody() {
    let mut node = SharedBudgets::none();
    assert!(!node.covers(&token()), "a ledger alone");
    node.begin(None);
    assert!(node.covers(&token()) && !node.is_decided());
    assert!(!node.covers(&BudgetScope::new("url", Per::Address)));
    node.decide(false);
    assert!(!node.covers(&token()));
    node.decide(true);
    assert!(node.covers(&token()) && node.is_decided());
    node.decide(false);
    assert!(node.covers(&token()), "a cluster's version never falls");
}

#[test]
fn behind_a_nat_budgets_of_addresses_are_shared_under_its_name() {
    let mut pair = Pair::new(Some("office"));
    let scope = BudgetScope::new("http://host/", Per::Network);
    assert!(pair.node.covers(&scope));
    let id = pair.id(&scope);
    assert!(!pair.is_ready(id));
    pair.report();
    assert_eq!(pair.state.budget("nat office: http://host/").unwrap().held, 1);
    let id = pair.id(&token());
    assert!(!pair.is_ready(id));
    pair.report();
    assert_eq!(pair.state.budget("token").unwrap().held, 1, "a token's does not belong to the address");
}

#[test]
fn a_server_without_limits_needs_no_report_for_each_request_and_a_refusal_stops_it() {
    let mut pair = Pair::new(None);
    let id = pair.id(&token());
    assert!(!pair.is_ready(id));
    pair.report();
    pair.send(id, &answer(None));
    pair.report();
    assert!(pair.capacity(id) > 1_000);
    for _ in 0..100 {
        pair.send(id, &answer(None));
    }
    assert_eq!(pair.report(), 0);
    let refused = RateInfo { delivery: Delivery::Answered(429), limited: true, ..answer(None) };
    pair.send(id, &RateInfo { retry_after: Some(SECOND * 7), ..refused });
    assert_eq!((pair.is_ready(id), pair.capacity(id), pair.report()), (false, 0, 1));
    pair.now += SECOND * 8;
    assert!(!pair.is_ready(id));
    pair.now += SECOND;
    assert!(!pair.is_ready(id), "somebody has to probe");
    pair.report();
    assert!(pair.is_ready(id));
}

#[test]
fn a_long_name_is_cut_and_stays_its_own() {
    let name = |end: &str| bounded(format!("http://{}{end}", "é".repeat(400)).into());
    let (one, two) = (name("1"), name("2"));
    assert!(one.len() <= MAX_BUDGET_NAME && two.len() <= MAX_BUDGET_NAME && one != two);
    assert_eq!(&*bounded("http://host/".into()), "http://host/");
}

#[test]
fn budgets_that_nobody_uses_are_forgotten() {
    let mut node = SharedBudgets::none();
    node.begin(Some("office".to_owned()));
    for host in 0..4 * SWEEP_EVERY {
        let now = SECOND * u32::try_from(host).unwrap() * 10;
        node.id(&BudgetScope::new(&format!("http://host{host}/"), Per::Network), now);
    }
    assert!(node.scopes.len() < 2 * SWEEP_EVERY, "{}", node.scopes.len());
    assert_eq!((node.by_scope.len(), node.by_name.len()), (node.scopes.len(), node.scopes.len()));
}
