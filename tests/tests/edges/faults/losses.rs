//! Lost or duplicated jobs, files and discoveries: faults 1, 2, 3, 5, 7 and 10.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Emulator, SyntheticOptions};

use crate::world::{Test, accounts, everyone, followers, frontier, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_1_a_crash_with_many_jobs_in_flight_needs_a_restart_and_nothing_else() -> Test {
    let emulator = accounts(40).faults(slow(30)).start().await?;
    let mut cluster = Cluster::builder().workers(8).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "many are in flight", |crawl| crawl.leased > 4).await?;
    cluster.node(1)?.kill().await?;
    cluster.restart(1).await?;
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 40);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_2_and_10_a_worker_killed_at_any_moment_doubles_nothing_and_leaves_no_file() -> Test {
    let emulator = accounts(60).faults(slow(5)).start().await?;
    let mut cluster = Cluster::builder().workers(8).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    for done in [5, 15, 30, 45] {
        cluster.crawl_until(crawl, "more are done", |crawl| crawl.counters.users.completed >= done).await?;
        cluster.node(1)?.kill().await?;
        cluster.restart(1).await?;
    }
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 60);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_3_who_was_seen_is_known_over_kills_and_no_frontier_entry_is_lost() -> Test {
    let emulator = accounts(120).faults(slow(10)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).workers(8).crawling(&emulator).start().await?;
    let targets = emulator.users(0, 40);
    let crawl = cluster.submit(&targets, &["-F", "-A"]).await?;
    for done in [5, 15, 25] {
        cluster.crawl_until(crawl, "more are done", |crawl| crawl.counters.users.completed >= done).await?;
        // The leader has the seen-set; workers on the other nodes keep querying it in the meantime.
        let leader = cluster.leader().await?;
        cluster.node(leader)?.kill().await?;
        cluster.restart(leader).await?;
    }
    let view = cluster.finished(crawl).await?;
    let found = followers(&emulator, &targets);
    let overlap: usize = targets.iter().map(|user| emulator.expected_followers(*user).len()).sum();
    assert!(overlap > found.len() + 10, "lists share accounts: {overlap} entries, {} accounts", found.len());
    assert_eq!((view.counters.users.completed, view.counters.discovered), (40, found.len() as u64));
    let mut frontier = frontier(&cluster, crawl).await?;
    frontier.sort_unstable();
    assert_eq!(frontier, found.into_iter().collect::<Vec<_>>(), "each once, and nobody else");

    // Another crawl of the same accounts discovers the same number of accounts.
    let again = cluster.submit(&targets, &["-F", "-A"]).await?;
    assert_eq!(cluster.finished(again).await?.counters.discovered, frontier.len() as u64);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_5_a_saved_frontier_is_loaded_again_and_so_is_one_of_the_original() -> Test {
    let emulator = accounts(60).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = emulator.users(0, 6);
    let crawl = cluster.submit(&targets, &["-F", "-A"]).await?;
    cluster.finished(crawl).await?;
    let found = followers(&emulator, &targets);
    cluster.ctl_json(&["frontier", "export", &crawl.to_string(), "--file", "saved.gz"]).await?;
    let lines: String = found.iter().map(|user| format!("T,{user},0\n")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes())?;
    fs::write(cluster.folder().join("original.gz"), gzip.finish()?)?;
    fs::write(cluster.folder().join("original"), lines)?;
    for list in ["saved.gz", "original.gz", "original"] {
        let next = cluster.submit_list(list, &["-T"]).await?;
        let users = cluster.finished(next).await?.counters.users;
        assert_eq!((users.accepted, users.completed), (found.len() as u64, found.len() as u64), "{list}");
    }
    cluster.holds(&Truth::of(&emulator).followers(targets).timelines(found)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_7_eighty_thousand_discovered_ids_are_delivered() -> Test {
    const FOLLOWERS: u64 = 85_000;
    let population = SyntheticOptions {
        celebrity: Some(FOLLOWERS),
        tweets_mean: 1.0,
        followers_mean: 1.0,
        ..SyntheticOptions::new(100_000, 7)
    };
    let emulator = Emulator::builder().synthetic(population).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let celebrity = emulator.users(0, 1);
    let found = emulator.expected_followers(celebrity[0]).len() as u64;
    assert!(found > 80_000, "{found}");
    let crawl = cluster.submit(&celebrity, &["-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.discovered, view.counters.users.completed), (found, 1));
    assert_eq!(frontier(&cluster, crawl).await?.len() as u64, found);
    cluster.finish().await
}
