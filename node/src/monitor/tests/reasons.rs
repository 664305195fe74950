//! What holds crawls up.

use api::documents::{Pace, Rates};
use api::model::*;
use raft::state::{AwaitedHost, PinnedJobs, WaitSummary};

use super::world::Fake;
use crate::monitor::money;
use crate::monitor::reasons::{Weight, of_cluster, of_crawl};

fn kinds(crawl: &CrawlView, waits: &WaitSummary, cluster: &ClusterStatus) -> Vec<&'static str> {
    of_crawl(crawl, waits, Some(cluster)).iter().map(|reason| reason.kind).collect()
}

#[test]
fn a_crawl_that_stands_still_says_why() {
    let fake = Fake::default();
    let (mut cluster, mut crawl, none) = (fake.status(), fake.crawl(), WaitSummary::default());
    assert_eq!(kinds(&crawl, &none, &cluster), [""; 0]);
    crawl.phase = CrawlPhase::Paused;
    assert_eq!(kinds(&crawl, &none, &cluster), ["paused"]);
    crawl.phase = CrawlPhase::Loading;
    assert_eq!(kinds(&crawl, &none, &cluster), ["loading"]);
    crawl.phase = CrawlPhase::Running;
    cluster.nodes[0].drained = true;
    assert_eq!(kinds(&crawl, &none, &cluster), ["drained"]);
    cluster.nodes[0].drained = false;
    (crawl.leased, cluster.sessions[0].leased) = (0, 8);
    assert_eq!(kinds(&crawl, &none, &cluster), ["crowded"]);
    // The only address has spent a budget, and idle workers take no jobs.
    cluster.sessions[0].leased = 0;
    assert_eq!(kinds(&crawl, &none, &cluster), ["spent"]);
    cluster.sessions.clear();
    assert_eq!(kinds(&crawl, &none, &cluster), ["no-workers"]);
    assert_eq!(of_crawl(&crawl, &none, None)[0].kind, "no-leader");
    crawl.phase = CrawlPhase::Finished;
    assert_eq!(of_crawl(&crawl, &none, None), []);
}

#[test]
fn jobs_whose_files_are_elsewhere_are_named_with_the_place() {
    let fake = Fake::default();
    let (cluster, crawl) = (fake.status(), fake.crawl());
    let pinned = |storage, absent_since| PinnedJobs { storage: StorageId(storage), jobs: 3, absent_since };
    let waits = WaitSummary {
        pinned: vec![pinned(1, Some(41_000)), pinned(u64::MAX, None)],
        ..WaitSummary::default()
    };
    let reasons = of_crawl(&crawl, &waits, Some(&cluster));
    assert_eq!(
        reasons.iter().map(|r| (r.kind, r.weight)).collect::<Vec<_>>(),
        [("absent", Weight::Warning), ("pinned", Weight::Info)]
    );
    assert!(reasons[0].text.contains("storage 0000000000000001, whose node has been away for 1 min 0 s"));
    assert!(reasons[1].text.contains("wait for a worker of node 1"), "{}", reasons[1].text);
}

#[test]
fn hosts_that_are_waited_for_are_named_with_how_many_accounts_since_when_and_why() {
    let fake = Fake::default();
    let (cluster, crawl) = (fake.status(), fake.crawl());
    let now = cluster.now.max(crawl.now);
    let host = |n: u64, away: Option<&str>, gone| AwaitedHost {
        name: format!("host{n}.example"),
        accounts: 10 * n,
        since: now - 60_000,
        until: now + 5_000,
        away: away.map(str::to_owned),
        gone,
    };
    let hosts =
        vec![host(9, Some("timed out"), false), host(1, None, false), host(2, Some("no route"), true)];
    let waits = WaitSummary { hosts: (hosts, 3), at_hosts: 120, ..WaitSummary::default() };
    let texts = |waits: &WaitSummary| -> Vec<String> {
        of_crawl(&crawl, waits, Some(&cluster)).into_iter().map(|reason| reason.text).collect()
    };
    assert_eq!(
        texts(&waits),
        [
            "90 accounts wait for host9.example, which has been away for 1 min 0 s: timed out; it is asked again in 5 s",
            "10 accounts wait for host1.example, which takes no more requests for 5 s",
            "20 accounts wait for host2.example, which is given up after 1 min 0 s: no route; they fail now",
        ]
    );
    let many = WaitSummary {
        hosts: ((0..20).map(|_| host(1, None, false)).collect(), 4_000),
        at_hosts: 90_000,
        ..WaitSummary::default()
    };
    let said = texts(&many);
    assert_eq!((said.len(), said[5].as_str()), (6, "89950 accounts wait for 3995 other hosts"));
}

#[test]
fn a_cluster_names_nodes_that_are_down_and_the_majority_at_risk() {
    let mut cluster = Fake::default().status();
    let kinds = |cluster: &ClusterStatus| of_cluster(cluster).iter().map(|r| r.kind).collect::<Vec<_>>();
    // One of two voters is no majority.
    assert_eq!(kinds(&cluster), ["node-down", "majority"]);
    cluster.nodes[1].voter = false;
    assert_eq!(kinds(&cluster), ["node-down"]);
    cluster.nodes.truncate(1);
    assert_eq!(kinds(&cluster), [""; 0]);
    cluster.nodes[0].drained = true;
    assert_eq!(kinds(&cluster), ["node-drained"]);
}

#[test]
fn a_rate_looks_back_a_while_and_nobody_knows_the_end_while_nothing_moves() {
    let mut crawl = Fake::default().crawl();
    crawl.counters = CrawlCounters::default();
    let mut pace = Pace::default();
    for second in 0..100 {
        // Slow for a minute, then ten per second.
        crawl.counters.users.completed += if second < 60 { 1 } else { 10 };
        pace.take(std::time::Duration::from_secs(second), std::slice::from_ref(&crawl));
    }
    assert_eq!(pace.of(&crawl).users, 10.0);
    crawl.counters.users.waiting = 70;
    assert_eq!(pace.of(&crawl).estimate(&crawl), Some(7.0));
    assert_eq!(Rates::default().estimate(&crawl), None);
    // Accounts that are retried are taken back.
    crawl.counters.users.completed = 0;
    pace.take(std::time::Duration::from_secs(101), std::slice::from_ref(&crawl));
    assert_eq!(pace.of(&crawl).users, 0.0);
}

#[test]
fn a_crawl_that_waits_for_money_says_for_which_and_until_when() {
    let mut crawl = Fake::default().crawl();
    let waits_for = vec![("main".into(), Some(1_795_422_061)), ("new".into(), None)];
    let mut money =
        CrawlMoney { limit: Some(12_500_000), spent: 9_000_000, held: 0, at_limit: false, waits_for };
    let said = money::of_crawl(&crawl, Some(&money));
    assert_eq!(said[0].text, "the app main has reached its limit until 2026-11-23 08:21:01 UTC");
    assert!(said[1].text.contains("the app new") && said[1].weight == Weight::Warning, "{said:?}");
    money.at_limit = true;
    let said = money::of_crawl(&crawl, Some(&money));
    assert!(said[0].text.contains("its limit of 12.50") && said[0].weight == Weight::Trouble, "{said:?}");
    assert_eq!(money::of_crawl(&crawl, None), []);
    crawl.phase = CrawlPhase::Cancelled;
    assert_eq!(money::of_crawl(&crawl, Some(&money)), []);
}
