//! Errors that stopped workers, starved jobs or discarded good answers: faults 4, 6, 8 and 9.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tokio::time::timeout;
use twm_tests::cluster::{Cluster, FileName, Truth};
use twm_tests::emulator::{Endpoint, Fault, FaultRule, RateLimits};

use crate::world::{Test, accounts, everyone, followers, frontier};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_4_one_bad_api_body_of_any_kind_and_endpoint_ends_no_worker() -> Test {
    let emulator = accounts(300).start().await?;
    let faults = [
        Fault::Empty,
        Fault::Truncated,
        Fault::NotUtf8,
        Fault::WrongTypes,
        Fault::MissingFields,
        Fault::Endless,
        Fault::GzipBomb(1 << 33),
        Fault::Babble(1 << 20),
        Fault::Crowded(1_000_000),
    ];
    let endpoints = [Endpoint::Timeline, Endpoint::Followers, Endpoint::Lookup];
    let all: Vec<u64> = everyone(&emulator)
        .into_iter()
        .filter(|user| !emulator.expected_followers(*user).is_empty())
        .collect();
    let targets = &all[..90];
    let mut rules = Vec::new();
    let mut bad: Vec<(u64, Endpoint)> = Vec::new();
    // A profile is requested by whichever worker finds the account first, so only profiles of accounts that follow
    // exactly one target are damaged.
    let mut followed = targets.iter().flat_map(|user| emulator.expected_followers(*user)).collect::<Vec<_>>();
    followed.sort_unstable();
    let alone =
        |user: &u64| followed.iter().filter(|other| *other == user).count() == 1 && !targets.contains(user);
    let mut takers = targets.iter().copied();
    for fault in faults {
        for endpoint in endpoints {
            let spoilt = takers.by_ref().find_map(|target| match endpoint {
                Endpoint::Lookup => emulator
                    .expected_followers(target)
                    .into_iter()
                    .find(alone)
                    .map(|follower| (target, follower)),
                _ => Some((target, target)),
            });
            let (target, user) = spoilt.expect("enough accounts");
            rules.push(FaultRule::new(fault).user(user).at(endpoint));
            // In a look-up, these faults damage one additional entry that was not requested and is ignored.
            let harmless = matches!(fault, Fault::WrongTypes | Fault::MissingFields);
            if endpoint != Endpoint::Lookup || !harmless {
                bad.push((target, endpoint));
            }
        }
    }
    emulator.set_faults(rules).map_err(anyhow::Error::msg)?;
    // There is only one worker: if it died, the remaining jobs would not be done.
    let flags = ["--max-attempts=2"];
    let mut cluster = Cluster::builder().workers(1).flags(flags).crawling(&emulator).start().await?;
    let process = cluster.node(1)?.process_id()?;
    let crawl = cluster.submit(targets, &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    let errors = cluster.ctl_json(&["errors", "list", &crawl.to_string()]).await?;
    let failed: BTreeSet<String> =
        errors.iter().filter_map(|error| error["user"].as_str().map(str::to_owned)).collect();
    assert_eq!(failed, bad.iter().map(|(user, _)| user.to_string()).collect(), "{errors:?}");
    assert_eq!(view.counters.users.completed, (targets.len() - bad.len()) as u64, "{:?}", view.counters);
    assert_eq!(cluster.node(1)?.process_id()?, process);
    let without =
        |at: Endpoint| targets.iter().copied().filter(|user| !bad.contains(&(*user, at))).collect::<Vec<_>>();
    let truth =
        Truth::of(&emulator).timelines(without(Endpoint::Timeline)).followers(without(Endpoint::Followers));
    cluster.drafts_removed().await?;
    cluster.holds(&truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_4_one_unreadable_file_ends_no_worker_and_is_made_again() -> Test {
    let emulator = accounts(60).start().await?;
    let mut cluster = Cluster::builder().workers(1).crawling(&emulator).start().await?;
    let targets = emulator.users(0, 20);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.finished(crawl).await?;
    let damaged = targets.iter().copied().find(|user| {
        !emulator.expected_followers(*user).is_empty() && !emulator.expected_timeline(*user).is_empty()
    });
    let damaged = damaged.expect("such an account");
    let paths = [FileName::Timeline(damaged), FileName::Followers(damaged)]
        .map(|file| cluster.output(1).join(file.path()));
    for path in &paths {
        fs::write(path, b"\x1f\x8b\x08 once a file")?;
    }
    let crawl = cluster.submit(&targets, &["-U", "-A"]).await?;
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 20);
    let found: Vec<u64> = followers(&emulator, &targets).into_iter().collect();
    let mut frontier = frontier(&cluster, crawl).await?;
    frontier.sort_unstable();
    assert_eq!(frontier, found, "the list that was made again was analysed");
    for path in &paths {
        let aside = format!("{}.unreadable", path.display());
        assert_eq!(fs::read(&aside)?, b"\x1f\x8b\x08 once a file", "nothing is thrown away");
        fs::remove_file(&aside)?;
    }
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.node(1)?.says("set aside").await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_6_a_target_listed_twice_is_crawled_once() -> Test {
    let emulator = accounts(20).count_users(true).start().await?;
    let targets = everyone(&emulator);
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[&targets[..], &targets[..]].concat(), &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.accepted, view.counters.users.completed), (20, 20));
    let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
    assert_eq!(asked.len(), 20);
    for (user, requests) in asked {
        let pages = emulator.expected_timeline(user).len().div_ceil(200) as u64;
        assert!(
            requests <= pages + 1,
            "{user}: {requests} requests for {pages} pages and the end of the walk"
        );
    }
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_6_a_404_on_the_timeline_drops_neither_the_followers_nor_the_analysis() -> Test {
    let emulator = accounts(60).start().await?;
    let targets = emulator.users(0, 10);
    let rules = [404, 401]
        .into_iter()
        .zip(&targets)
        .map(|(status, user)| FaultRule::new(Fault::Status(status)).user(*user).at(Endpoint::Timeline));
    emulator.set_faults(rules.collect()).map_err(anyhow::Error::msg)?;
    let only = |user: &u64| {
        followers(&emulator, &targets).len()
            > followers(&emulator, &targets.iter().copied().filter(|other| other != user).collect::<Vec<_>>())
                .len()
    };
    assert!(targets[..2].iter().any(only), "the lost accounts have followers of their own");
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 10, "{:?}", view.counters);
    let mut frontier = frontier(&cluster, crawl).await?;
    frontier.sort_unstable();
    assert_eq!(frontier, followers(&emulator, &targets).into_iter().collect::<Vec<_>>());
    let truth = Truth::of(&emulator).timelines(targets[2..].iter().copied()).followers(targets.clone());
    cluster.holds(&truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_8_a_lasting_500_starves_nobody() -> Test {
    let emulator = accounts(20).start().await?;
    let targets = everyone(&emulator);
    let rules = targets[..8].iter().map(|user| FaultRule::new(Fault::Status(500)).user(*user));
    emulator.set_faults(rules.collect()).map_err(anyhow::Error::msg)?;
    let cluster =
        Cluster::builder().workers(2).flags(["--max-attempts=3"]).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    let view =
        cluster.crawl_until(crawl, "all others are done", |c| c.counters.users.completed == 12).await?;
    assert_eq!(view.counters.users.failed, 0, "the others are done first");
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (12, 8));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_9_an_empty_queue_puts_nobody_to_sleep() -> Test {
    let emulator = accounts(6).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    for target in everyone(&emulator) {
        // Between two crawls the queue is empty.
        let crawl = cluster.submit(&[target], &["-T", "-F"]).await?;
        timeout(Duration::from_secs(10), cluster.finished(crawl)).await??;
    }
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_9_a_good_answer_with_none_remaining_counts() -> Test {
    let limits: RateLimits = "timeline=2/1s".parse().map_err(anyhow::Error::msg)?;
    let emulator = accounts(4).rate_limits(limits).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    cluster.finished(crawl).await?;
    let stats = emulator.stats();
    let pages = |user: &u64| if emulator.expected_timeline(*user).is_empty() { 1 } else { 2 };
    let needed: u64 = targets.iter().map(pages).sum();
    assert_eq!(stats.requests_to(Endpoint::Timeline), needed, "no answer was thrown away");
    assert_eq!(stats.total_violations(), 0);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets)).await?;
    cluster.finish().await
}
