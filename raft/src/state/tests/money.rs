//! Money in the state.

use super::profiles::at_version;
use super::*;

const TERMS: AppTerms = AppTerms { limit: 1_000, cycle: CycleRule::Every { seconds: 3_600 }, margin: 300 };

/// A session's side of its reports of money.
struct Payer {
    session: SessionId,
    sequence: u64,
}

impl Tracker {
    fn limited(&mut self, limit: Option<u64>) -> CrawlId {
        self.submit(CrawlSpec { spend_limit: limit, ..spec("T") }, 1..=9)
    }

    fn payer(&mut self, node: &Node) -> Payer {
        let mut payer = Payer { session: node.session, sequence: 0 };
        assert_eq!(self.pay(&mut payer, Vec::new()), []);
        payer
    }

    fn answer(&mut self, payer: &mut Payer, changes: Vec<Change>) -> Response {
        payer.sequence += 1;
        let apps = if payer.sequence == 1 { vec![("one".into(), TERMS)] } else { Vec::new() };
        let dates = vec![("one".into(), 7_200)];
        let report = SpendReport { sequence: payer.sequence, apps, dates, changes };
        self.apply(Mutation::Spend { session: payer.session, report })
    }

    fn pay(&mut self, payer: &mut Payer, changes: Vec<Change>) -> Vec<Outcome> {
        match self.answer(payer, changes) {
            Response::Spent(answer) => answer.outcomes,
            other => panic!("{other:?}"),
        }
    }

    fn money_of(&self, crawl: CrawlId) -> Option<CrawlMoney> {
        self.state.money().of_crawl(crawl).cloned()
    }
}

fn want(crawl: CrawlId, amount: u64) -> Vec<Change> {
    vec![Change::Reserve { app: "one".into(), crawl, least: amount, wanted: amount }]
}

fn settle(crawl: CrawlId, spent: u64, returned: u64) -> Vec<Change> {
    vec![Change::Settle { app: "one".into(), crawl, spent, lost: 0, returned }]
}

const fn granted(amount: u64) -> [Outcome; 1] {
    [Outcome::Granted { amount }]
}

#[test]
fn twm_x2_a_crawl_spends_its_limit_and_is_granted_no_jobs_at_it() {
    let mut tracker = at_version(6);
    let crawl = tracker.limited(Some(100));
    let mut node = tracker.open(1);
    let mut payer = tracker.payer(&node);
    assert_eq!(tracker.pay(&mut payer, want(crawl, 60)), granted(60));
    assert_eq!(tracker.take(&mut node, 1).len(), 1);
    let refused = tracker.pay(&mut payer, want(crawl, 60));
    assert_eq!(refused, [Outcome::Wait { of: Exhausted::Crawl, until: None, held: true }]);
    assert_eq!(tracker.take(&mut node, 1), []);
    assert!(!tracker.state.has_work(node.session, &crate::state::Demand::from(Wants::any(1))));
    // Another crawl goes on.
    let other = tracker.limited(None);
    assert_eq!(tracker.take_one(&mut node).crawl, other);
    // What comes back can be spent.
    tracker.pay(&mut payer, settle(crawl, 10, 50));
    assert_eq!(tracker.take_one(&mut node).crawl, crawl);
    assert_eq!(tracker.pay(&mut payer, want(crawl, 60)), granted(60));
}

#[test]
fn twm_x1_what_an_ended_session_held_is_lost_however_it_ended() {
    let mut tracker = at_version(6);
    let crawl = tracker.limited(None);
    let (first, second) = (tracker.open(1), tracker.open(2));
    for (node, lost) in [(&first, 300), (&second, 600)] {
        let mut payer = tracker.payer(node);
        assert_eq!(tracker.pay(&mut payer, want(crawl, 300)), granted(300));
        match lost {
            300 => tracker.lose(node),
            _ => tracker.close(node),
        }
        let app = tracker.state.money().apps[0].1;
        assert_eq!((app.lost, app.held), (lost, 0));
        let late = tracker.answer(&mut payer, settle(crawl, 0, 300));
        assert_eq!(late, Response::Refused(Refusal::SessionOver(node.session)));
    }
    assert_eq!(tracker.money_of(crawl).unwrap().spent, 600);
    // A node that opens another session has lost what the one before held, too.
    let third = tracker.open(3);
    let mut payer = tracker.payer(&third);
    tracker.pay(&mut payer, want(crawl, 100));
    let again = OpenSession {
        node: 3,
        incarnation: OpenSession::incarnation(tracker.index, 1),
        storage: StorageId(3),
        workers: 4,
        shared: true,
        adopt: true,
    };
    assert!(matches!(tracker.apply(Mutation::OpenSession(again)), Response::SessionOpened(_)));
    assert_eq!(tracker.state.money().apps[0].1.lost, 700);
}

#[test]
fn a_crawl_that_is_reopened_has_what_its_limit_has_left() {
    let mut tracker = at_version(6);
    let crawl = tracker.submit(CrawlSpec { spend_limit: Some(100), ..spec("T") }, [1]);
    let mut node = tracker.open(1);
    let mut payer = tracker.payer(&node);
    let job = tracker.take_one(&mut node);
    tracker.pay(&mut payer, want(crawl, 90));
    tracker.pay(&mut payer, settle(crawl, 90, 0));
    tracker.tell(&mut node, &job, failed("no", false));
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
    let request = RequestId { client: 7, sequence: 7 };
    tracker.apply(Mutation::RetryErrors { request, crawl, user: None, limit: 9 });
    assert_eq!(tracker.phase(crawl), CrawlPhase::Running);
    let refused = tracker.pay(&mut payer, want(crawl, 20));
    assert!(matches!(refused[0], Outcome::Wait { of: Exhausted::Crawl, .. }), "{refused:?}");
}

#[test]
fn the_book_of_a_cancelled_crawl_stays_and_that_of_a_deleted_one_goes_for_good() {
    let mut tracker = at_version(6);
    let crawl = tracker.limited(Some(100));
    let node = tracker.open(1);
    let mut payer = tracker.payer(&node);
    tracker.pay(&mut payer, want(crawl, 50));
    tracker.apply(Mutation::CancelCrawl { crawl });
    assert_eq!(tracker.pay(&mut payer, want(crawl, 1)), [Outcome::Unknown]);
    tracker.apply(Mutation::DeleteCrawl { crawl });
    assert_eq!(tracker.money_of(crawl).unwrap().held, 50);
    tracker.pay(&mut payer, settle(crawl, 50, 0));
    assert_eq!(tracker.money_of(crawl), None);
    assert_eq!(tracker.pay(&mut payer, want(crawl, 1)), [Outcome::Unknown]);
    assert_eq!(tracker.pay(&mut payer, want(CrawlId(99), 1)), [Outcome::Unknown]);
    assert_eq!(tracker.pay(&mut payer, want(NO_CRAWL, 1)), granted(1), "look-ups of names");
}

#[test]
fn marks_are_events_once() {
    let mut tracker = at_version(6);
    tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
    let crawl = tracker.limited(Some(100));
    let node = tracker.open(1);
    let mut payer = tracker.payer(&node);
    tracker.pay(&mut payer, want(crawl, 85));
    for _ in 0..2 {
        tracker.pay(&mut payer, want(crawl, 40));
    }
    tracker.pay(&mut payer, settle(crawl, 85, 0));
    tracker.pay(&mut payer, settle(crawl, 1, 0));
    let events = tracker.state.events_after(EventId::default(), usize::MAX).read();
    let marks = events.into_iter().filter_map(|event| match event.kind {
        EventKind::Money(mark) => Some(mark),
        _ => None,
    });
    let mark = |percent| Mark::Crawl { crawl, percent };
    assert_eq!(marks.collect::<Vec<_>>(), [mark(100), mark(80)]);
}

#[test]
fn an_older_cluster_counts_no_money() {
    let mut tracker = at_version(5);
    let request = RequestId { client: 1, sequence: 1 };
    let spec = CrawlSpec { spend_limit: Some(1), ..spec("T") };
    let node = tracker.open(1);
    let report = SpendReport { sequence: 1, apps: Vec::new(), dates: Vec::new(), changes: Vec::new() };
    for mutation in
        [Mutation::CreateCrawl { request, spec }, Mutation::Spend { session: node.session, report }]
    {
        let refused = tracker.apply(mutation);
        let as_expected =
            matches!(refused, Response::Refused(Refusal::NeedsVersion { needs: 6, cluster: 5, .. }));
        assert!(as_expected, "{refused:?}");
    }
}
