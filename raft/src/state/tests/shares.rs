//! Shared budgets in the replicated state; what they grant is tested with them.

use super::profiles::at_version;
use super::*;
use crate::state::shares::Moment;

impl Tracker {
    /// A report about one budget.
    fn share(&mut self, node: &mut Node, events: Vec<ShareEvent>, wanted: u32) -> Response {
        node.sequence += 1;
        let (session, sequence) = (node.session, node.sequence);
        let budgets = vec![BudgetReport { budget: "token".into(), events, wanted }];
        let moment = Moment { term: 1, process: 1, at: self.now };
        self.apply(Mutation::Shares { report: ShareReport { session, sequence, budgets }, moment })
    }

    fn granted(&mut self, node: &mut Node, events: Vec<ShareEvent>, wanted: u32) -> u32 {
        match self.share(node, events, wanted) {
            Response::Shares(answer) => answer.budgets[0].granted,
            other => panic!("{other:?}"),
        }
    }
}

/// The answer to the first probe left so many requests for a minute.
fn probed(remaining: u64) -> Vec<ShareEvent> {
    let (epoch, window) = (1, Some(1_700_000_000));
    let seen = WindowSeen { epoch, remaining, limit: Some(300), ends_in_ms: 60_000, window };
    vec![ShareEvent::Spent { epoch, requests: 1, window }, ShareEvent::Seen(seen)]
}

#[test]
fn budgets_are_shared_from_the_version_on_that_knows_them() {
    let mut tracker = at_version(5);
    let mut node = tracker.open(1);
    let refused = tracker.share(&mut node, Vec::new(), 1);
    assert!(matches!(refused, Response::Refused(Refusal::NeedsVersion { needs: 6, .. })), "{refused:?}");
    let before = tracker.state.digest();
    assert_eq!(tracker.apply(Mutation::RaiseVersion { to: 6 }), Response::Done);
    assert_eq!(tracker.state.digest().differences(&before), ["cluster"]);
    node.sequence = 0;
    assert_eq!(tracker.granted(&mut node, Vec::new(), 5), 1, "a probe");
    assert_eq!(
        tracker.state.shared_budget("token").map(|budget| (budget.held, budget.open)),
        Some((1, false))
    );
}

#[test]
fn twm_b1_a_session_that_ends_in_any_way_takes_its_share_along() {
    for graceful in [false, true] {
        let mut tracker = at_version(6);
        let (mut one, mut two) = (tracker.open(1), tracker.open(2));
        assert_eq!(tracker.granted(&mut one, Vec::new(), 1), 1);
        assert_eq!(tracker.granted(&mut two, Vec::new(), 1), 0, "one probes at a time");
        assert_eq!(tracker.granted(&mut one, probed(6), 1), 1);
        let left = |tracker: &Tracker| tracker.state.shared_budget("token").unwrap().left;
        assert_eq!(left(&tracker), Some(5));
        let session = one.session;
        assert_eq!(tracker.apply(Mutation::EndSession { session, graceful }), Response::Done);
        assert_eq!(left(&tracker), Some(5), "it may have been sent");
        let over = tracker.share(&mut one, Vec::new(), 1);
        assert_eq!(over, Response::Refused(Refusal::SessionOver(session)));
        let granted: u32 = (0..9).map(|_| tracker.granted(&mut two, Vec::new(), 1)).sum();
        assert_eq!((granted, left(&tracker)), (5, Some(0)));
    }
}

#[test]
fn twm_s2_a_report_on_shares_that_is_repeated_grants_nothing_more() {
    let mut tracker = at_version(6);
    let mut node = tracker.open(1);
    tracker.granted(&mut node, Vec::new(), 1);
    let first = tracker.share(&mut node, probed(100), 1);
    node.sequence -= 1;
    tracker.wait(5_000);
    assert_eq!(tracker.share(&mut node, probed(100), 1), first);
    assert_eq!(tracker.state.shared_budget("token").unwrap().left, Some(99));
    node.sequence += 1;
    let refused = tracker.share(&mut node, Vec::new(), 1);
    assert!(matches!(refused, Response::Refused(Refusal::OutOfOrder { expected: 3, .. })), "{refused:?}");
}
