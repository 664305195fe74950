//! What happens to discovered accounts.

use super::*;

/// Crawls one account with two followers each up to a depth; returns the accounts in the order of their
/// analyses, and the crawl's frontier.
fn order(traversal: Traversal, depth: Option<u32>) -> (Vec<u64>, Vec<u64>, CrawlView) {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(CrawlSpec { traversal, depth, ..spec("FA") }, [1, 2]);
    let mut node = tracker.open(1);
    let mut order = Vec::new();
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        if job.operation == Operation::Analysis {
            let UserId::Number(n) = job.user else { panic!() };
            order.push(n);
            let next = if job.depth < 3 { ids([n * 10 + 1, n * 10 + 2]) } else { Vec::new() };
            let known = ids([1, 2]);
            let admitted = [next, known].concat();
            let found = Finding::Discovered { admitted, discarded: ids([n + 5_000]), progress: cursor("4") };
            tracker.tell(&mut node, &job, found);
        }
        tracker.finish(&mut node, &job);
    }
    let frontier = tracker.state.frontier(crawl, 0).unwrap();
    assert_eq!(frontier.next, None);
    let number = |user: UserId| user.to_string().parse().unwrap();
    (order, frontier.users.into_iter().map(number).collect(), tracker.view(crawl))
}

#[test]
fn a_default_crawl_puts_discoveries_into_its_frontier() {
    let (order, frontier, view) = order(Traversal::Default, None);
    assert_eq!((order, frontier), (vec![1, 2], vec![11, 12, 21, 22]));
    let counters = view.counters;
    assert_eq!((counters.discovered, counters.admitted, counters.frontier), (6, 4, 4));
    assert_eq!(counters.users.accepted, 2);
    assert_eq!(view.phase, CrawlPhase::Finished);
}

#[test]
fn breadth_first_crawls_level_by_level_to_the_depth() {
    let (order, frontier, view) = order(Traversal::Bfs, Some(1));
    assert_eq!(order, [1, 2, 11, 12, 21, 22]);
    assert_eq!(frontier, [111, 112, 121, 122, 211, 212, 221, 222]);
    let users = view.counters.users;
    assert_eq!((users.accepted, users.completed, view.counters.frontier), (6, 6, 8));
}

#[test]
fn depth_first_crawls_each_branch_to_its_end() {
    let (order, frontier, _) = order(Traversal::Dfs, Some(2));
    assert_eq!(order, [1, 11, 111, 112, 12, 121, 122, 2, 21, 211, 212, 22, 221, 222]);
    assert_eq!(frontier.len(), 16);
}

#[test]
fn without_a_limit_everything_is_crawled_once() {
    for traversal in [Traversal::Bfs, Traversal::Dfs] {
        let (mut order, frontier, view) = order(traversal, None);
        assert_eq!((order.len(), frontier.len()), (30, 0));
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), 30);
        assert_eq!(view.counters.users.completed, 30);
    }
}

#[test]
fn twm_c2_an_account_is_discovered_once() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("FA"), [1, 2]);
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 2) {
        tracker.finish(&mut node, &job);
    }
    let found = |progress: &str| Finding::Discovered {
        admitted: ids([5, 6, 5, 7]),
        discarded: ids([7, 8, 8]),
        progress: cursor(progress),
    };
    let jobs = tracker.take(&mut node, 2);
    for job in &jobs {
        tracker.tell(&mut node, job, found("1"));
        tracker.tell(&mut node, job, found("2"));
    }
    let counters = tracker.view(crawl).counters;
    assert_eq!((counters.discovered, counters.admitted, counters.frontier), (4, 2, 2));
    assert_eq!(tracker.state.frontier(crawl, 0).unwrap().users, ids([5, 6]));
    tracker.tell(&mut node, &jobs[0], Finding::HandedBack { progress: None });
    assert_eq!(tracker.take_one(&mut node).progress, Some(cursor("2")), "a discovery is also progress");
}

#[test]
fn a_frontier_is_read_in_pages() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("A"), [1]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    for chunk in 0..50 {
        let admitted = ids((0..500).map(|n| 1_000 + (chunk * 500 + n) * 7_919_191_919));
        tracker.tell(
            &mut node,
            &job,
            Finding::Discovered { admitted, discarded: vec![], progress: cursor("1") },
        );
    }
    tracker.restart();
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let page = tracker.state.frontier(crawl, from).unwrap();
        all.extend(page.users);
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(all, ids((0..25_000).map(|n| 1_000 + n * 7_919_191_919)));
    assert_eq!(from, 20_000, "at most 10,000 a page");
}
