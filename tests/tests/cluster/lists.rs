//! What target lists and accounts can be like.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_listed_twice_is_crawled_once_and_a_bad_line_stops_nothing() -> Test {
    let emulator = accounts(10).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let mut list = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(list, "# accounts\n\nT,{},0\nnot an account!\n{}", targets[0], targets[0])?;
    for target in targets.iter().chain(&targets) {
        writeln!(list, "{target}")?;
    }
    std::fs::write(cluster.folder().join("list.gz"), list.finish()?)?;
    let crawl = cluster.submit_list("list.gz", &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.accepted, view.counters.users.duplicates), (10, 12));
    assert_eq!(view.counters.users.completed, 10);
    let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
    assert!(asked.values().all(|requests| *requests <= 2), "a page and the end of the walk: {asked:?}");
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_out_of_reach_are_recorded_with_the_reason_and_what_still_works_is_done() -> Test {
    let emulator = accounts(20).protected([3, 4]).missing([7]).start().await?;
    let targets = everyone(&emulator);
    // The timeline of one account is not there, and its followers are.
    let half = targets.iter().copied().find(|user| emulator.expected_followers(*user).len() > 1 && *user > 7);
    let half = half.expect("an account with followers");
    let rules = vec![FaultRule::new(Fault::Status(404)).user(half).at(Endpoint::Timeline)];
    emulator.set_faults(rules).map_err(anyhow::Error::msg)?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.gone), (17, 3));

    let gone = cluster.ctl_json(&["errors", "list", &crawl.to_string(), "--gone"]).await?;
    let reason = |user: u64| {
        let entry = gone.iter().find(|entry| entry["user"].as_str() == Some(user.to_string().as_str()));
        entry.and_then(|entry| entry["why"][0]["reason"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!([3, 4, 7].map(reason), ["protected", "protected", "not found"]);
    let timelines = targets.iter().copied().filter(|user| *user != half);
    cluster.holds(&Truth::of(&emulator).timelines(timelines).followers(targets.clone()))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_are_known_and_not_crawled() -> Test {
    let emulator = accounts(20).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let everyone = everyone(&emulator);
    let (targets, seeds) = everyone.split_at(3);
    let list: String = seeds.iter().map(|seed| format!("{seed}\n")).collect();
    cluster.file("seeds", &list)?;
    let flags = ["-F", "-A", "--seeds", "seeds", "--traverse", "bfs"];
    let crawl = cluster.submit(targets, &flags).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.discovered), (3, 0));
    cluster.holds(&Truth::of(&emulator).followers(targets.iter().copied()))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_crawl_rests_and_a_cancelled_one_ends() -> Test {
    let emulator = accounts(60).faults(crate::world::slow(30)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 3).await?;
    cluster.ctl_json(&["crawl", "pause", &crawl.to_string()]).await?;
    let rests = cluster.crawl_until(crawl, "nothing runs", |crawl| crawl.leased == 0).await?;
    let requests = emulator.stats().total_requests();
    let other = cluster.submit(&targets[..2], &["-F"]).await?;
    cluster.finished(other).await?;
    let timelines = |stats: twm_tests::emulator::Stats| stats.requests_to(Endpoint::Timeline);
    assert!(timelines(emulator.stats()) <= requests, "nothing was fetched for it meanwhile");
    assert_eq!(cluster.crawl(crawl).await?.counters.users, rests.counters.users);
    cluster.ctl_json(&["crawl", "resume", &crawl.to_string()]).await?;
    let more = |view: &raft::model::CrawlView| view.counters.users.completed > rests.counters.users.completed;
    cluster.crawl_until(crawl, "more are done", more).await?;
    cluster.ctl_json(&["crawl", "cancel", &crawl.to_string()]).await?;
    let over = cluster.crawl_until(crawl, "nothing runs", |crawl| crawl.leased == 0).await?;
    let users = over.counters.users;
    assert_eq!(users.completed + users.cancelled, 60, "{users:?}");
    cluster.drafts_removed().await?;
    cluster.finish().await
}
