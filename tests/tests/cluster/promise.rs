//! The guarantees, sentence by sentence.

use std::fs;
use std::time::Duration;

use twm_tests::cluster::{Cluster, LoopDisk, Truth, eventually};
use twm_tests::emulator::{Endpoint, Fault, FaultRule};
use twm_tests::power::cuts;

use crate::world::{Test, accounts, everyone, mend, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_target_ends_in_exactly_one_final_state() -> Test {
    let emulator = accounts(60).protected([5, 6, 7]).missing([8, 9]).start().await?;
    let targets = everyone(&emulator);
    let failing = &targets[20..24];
    let broken =
        failing.iter().map(|user| FaultRule::new(Fault::Status(500)).user(*user).at(Endpoint::Timeline));
    let rules = broken.chain(slow(30)).collect();
    emulator.set_faults(rules).map_err(anyhow::Error::msg)?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).flags(["--max-attempts=2"]);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let listed: Vec<u64> = targets.iter().chain(&targets[..15]).copied().collect();
    let crawl = cluster.submit(&listed, &["-T", "-F"]).await?;
    for (id, done) in [(1, 5), (2, 15), (3, 25)] {
        let enough = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        cluster.node(id)?.kill().await?;
        cluster.restart(id).await?;
    }
    let users = cluster.finished(crawl).await?.counters.users;
    assert_eq!((users.accepted, users.duplicates), (60, 15));
    assert_eq!((users.completed, users.gone, users.failed, users.cancelled), (51, 5, 4, 0));
    let named = async |flags: &[&str]| -> anyhow::Result<Vec<u64>> {
        let crawl = crawl.to_string();
        let listed = cluster.ctl_json(&[&["errors", "list", &crawl], flags].concat()).await?;
        listed.iter().map(|entry| Ok(entry["user"].as_str().unwrap_or_default().parse()?)).collect()
    };
    let (mut failed, mut gone) = (named(&[]).await?, named(&["--gone"]).await?);
    failed.sort_unstable();
    gone.sort_unstable();
    assert_eq!((&failed[..], &gone[..]), (failing, &[5, 6, 7, 8, 9][..]));
    cluster.drafts_removed().await?;
    let timelines = targets.iter().copied().filter(|user| !failing.contains(user));
    cluster.holds(&Truth::of(&emulator).timelines(timelines).followers(targets.clone())).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dataset_file_holds_each_tweet_and_each_follower_once() -> Test {
    let rule = |fault, probability| FaultRule::new(fault).probability(probability);
    let faults = vec![
        rule(Fault::Duplicates, 0.2),
        rule(Fault::Reset, 0.3).times(4),
        rule(Fault::Cut, 0.3).times(4),
        rule(Fault::Truncated, 0.3).times(4),
        rule(Fault::Status(503), 0.3).times(4),
        rule(Fault::LatencyMs(30), 1.0),
    ];
    let emulator = accounts(60).faults(faults).start().await?;
    let builder =
        Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).flags(["--max-attempts=20"]);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let listed: Vec<u64> = targets.iter().chain(&targets).copied().collect();
    let crawl = cluster.submit(&listed, &["-T", "-F"]).await?;
    for done in [5, 15, 25] {
        let enough = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        let leader = cluster.leader().await?;
        cluster.node(leader)?.kill().await?;
        let frozen = cluster.ids().into_iter().find(|id| *id != leader);
        let frozen = frozen.expect("another node");
        cluster.restart(leader).await?;
        cluster.node(frozen)?.freeze()?;
        crate::world::session(&cluster, frozen, false).await?;
        cluster.node(frozen)?.thaw()?;
    }
    cluster.finished(crawl).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    let verified = cluster.ctl_json(&["dataset", "verify", &cluster.output(1).to_string_lossy()]).await?;
    assert_eq!(verified[0]["unsound"], 0, "{verified:?}");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_submit_survives_dead_disks_of_a_minority() -> Test {
    let emulator = accounts(30).faults(slow(200)).start().await?;
    let mut cluster = Cluster::builder().nodes(5).workers(2).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let leader = cluster.leader().await?;
    cluster.kill_all().await?;
    let other = cluster.ids().into_iter().find(|id| *id != leader).expect("another node");
    for id in [leader, other] {
        fs::remove_dir_all(cluster.data_dir(id))?;
    }
    mend(&emulator)?;
    // The other three are a majority of the old members; the empty disks do not count until they have replaced the
    // lost ones.
    let empty = |id: &u64| [leader, other].contains(id);
    for id in cluster.ids().into_iter().filter(|id| !empty(id)) {
        cluster.node(id)?.start()?;
    }
    for id in [leader, other] {
        cluster.replaced(id).await?;
        cluster.node(id)?.start()?;
    }
    cluster.ready().await?;
    eventually("the new disks have taken their places", async || {
        Ok(cluster.status().await?.changes.is_empty().then_some(()))
    })
    .await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.accepted, view.counters.users.completed), (30, 30));
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    // Both are full members again: two others can fail now.
    for id in cluster.ids().into_iter().filter(|id| ![leader, other].contains(id)).take(2).collect::<Vec<_>>()
    {
        cluster.node(id)?.kill().await?;
    }
    assert_eq!(cluster.crawl(crawl).await?.counters.users.completed, 30);
    cluster.start_all()?;
    cluster.ready().await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_submit_survives_any_number_of_kills() -> Test {
    let emulator = accounts(60).faults(slow(30)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let mut crawls = Vec::new();
    for round in 0..6 {
        crawls.push(cluster.submit(&emulator.users(round * 10, 10), &["-T", "-F"]).await?);
        cluster.kill_all().await?;
        cluster.start_all()?;
    }
    cluster.ready().await?;
    for crawl in crawls {
        let users = cluster.finished(crawl).await?.counters.users;
        assert_eq!((users.accepted, users.completed), (10, 10));
    }
    let targets = everyone(&emulator);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_submit_survives_any_number_of_power_cuts() -> Test {
    let emulator = accounts(60).faults(slow(30)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).prepare()?;
    let mut disks = Vec::new();
    for folder in cluster.ids().into_iter().map(|id| cluster.data_dir(id)).chain(cluster.outputs()) {
        disks.push(LoopDisk::mount(&folder).await?);
    }
    cluster.start_all()?;
    cluster.ready().await?;
    let mut crawls = Vec::new();
    for round in 0..4 {
        crawls.push(cluster.submit(&emulator.users(round * 15, 15), &["-T", "-F"]).await?);
        cluster.kill_all().await?;
        for disk in &mut disks {
            disk.cut().await?;
        }
        cluster.start_all()?;
        cluster.ready().await?;
    }
    for crawl in crawls {
        let users = cluster.finished(crawl).await?.counters.users;
        assert_eq!((users.accepted, users.completed), (15, 15));
    }
    let targets = everyone(&emulator);
    cluster.drafts_removed().await?;
    for output in cluster.outputs() {
        fs::remove_dir(output.join("lost+found"))?;
    }
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.kill_all().await?;
    drop(disks);
    cluster.finish().await
}

/// Power cuts of one node or of all, at moments drawn from a seed: `ops/power-cuts` makes more of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_submit_survives_power_cuts_in_the_middle_of_the_load() -> Test {
    let seen = cuts::run(&cuts::Arguments { cuts: 6, seed: 3, nodes: 3, ids: 0 }).await?;
    assert!(seen.at_risk() > 0, "nothing was unsynced when power went: {seen}");
    Ok(())
}
