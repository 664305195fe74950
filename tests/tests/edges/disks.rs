//! Disks that are full, missing or read-only.

use std::fs;

use api::TrackerApi;
use api::model::CrawlId;
use twm_tests::cluster::{Cluster, Tmpfs, Truth, eventually};
use twm_tests::emulator::Emulator;

use crate::world::{Test, accounts, everyone, no_outage_is_shown, shown, slow};

const MIB: u64 = 1 << 20;

/// A cluster of one node, with the dataset on its own small disk.
async fn on_a_small_disk(emulator: &Emulator, bytes: u64) -> anyhow::Result<(Tmpfs, Cluster)> {
    let mut cluster = Cluster::builder().crawling(emulator).prepare()?;
    let disk = Tmpfs::mount(&cluster.output(1), bytes)?;
    cluster.start_all()?;
    cluster.ready().await?;
    Ok((disk, cluster))
}

/// The crawl completes all its accounts, and none was counted as failed.
async fn ends_well(cluster: &mut Cluster, crawl: CrawlId, emulator: &Emulator) -> Test {
    let view = cluster.finished(crawl).await?;
    let targets = everyone(emulator);
    assert_eq!(view.counters.users.completed, targets.len() as u64, "{:?}", view.counters);
    let retried: u64 = view.counters.operations.iter().map(|operation| operation.retried).sum();
    assert_eq!(retried, 0, "a disk in trouble is no account's failure: {:?}", view.counters);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(emulator).timelines(targets.clone()).followers(targets)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_dataset_disk_makes_jobs_wait_until_there_is_room() -> Test {
    let emulator = accounts(40).start().await?;
    let (disk, mut cluster) = on_a_small_disk(&emulator, 16 * MIB).await?;
    disk.fill(150_000)?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    let node = cluster.node(1)?;
    node.says("the dataset cannot be written, jobs wait").await?;
    node.says("free space on its volume").await?;
    let meanwhile = cluster.crawl_until(crawl, "some jobs wait", |crawl| crawl.delayed > 0).await?;
    assert_eq!(meanwhile.counters.users.failed, 0, "{:?}", meanwhile.counters);
    // While small files still fit, outages start and end repeatedly.
    disk.fill(0)?;
    eventually("nothing can be written any more", async || {
        Ok((cluster.node(1)?.page("/readyz").await?.status == 503).then_some(()))
    })
    .await?;
    shown(&mut cluster, "dataset", "free space on its volume").await?;
    assert_eq!(cluster.node(1)?.page("/readyz").await?.status, 503);
    disk.free()?;
    ends_well(&mut cluster, crawl, &emulator).await?;
    no_outage_is_shown(&mut cluster).await?;
    drop(disk);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_folder_that_vanishes_and_comes_back_loses_nothing() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    // The state when the volume is no longer mounted.
    let (output, away) = (cluster.output(1), cluster.folder().join("away"));
    fs::rename(&output, &away)?;
    let node = cluster.node(1)?;
    node.says("the dataset cannot be written, jobs wait").await?;
    node.says("its volume may not be mounted").await?;
    assert_eq!(node.page("/livez").await?.status, 200);
    assert!(!output.exists(), "nothing is written beside the volume");
    fs::rename(&away, &output)?;
    ends_well(&mut cluster, crawl, &emulator).await?;
    cluster.finish().await
}

/// A node restarts while the volume of its output is missing. Without the fix, the node created an empty folder in
/// its place, counted missing drafts as published, and removed the real ones when the volume was back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_the_volume_of_the_output_makes_nothing_in_its_place_and_loses_nothing() -> Test {
    let emulator = accounts(60).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    let (output, away) = (cluster.output(1), cluster.folder().join("away"));
    cluster.node(1)?.kill().await?;
    fs::rename(&output, &away)?;
    for empty in [false, true] {
        if empty {
            fs::create_dir(&output)?;
        }
        let node = cluster.node(1)?;
        node.start()?;
        assert_eq!(node.ended_by_itself().await?, Some(1));
        let log = node.log()?;
        let last = log.lines().rev().find(|line| line.contains("node stops")).unwrap_or_default();
        assert!(last.contains("the volume may not be mounted") && last.contains("--adopt-output"), "{last}");
        assert_eq!(output.exists(), empty);
    }
    assert_eq!(fs::read_dir(&output)?.count(), 0, "nothing is made in an empty mount point");
    fs::remove_dir(&output)?;
    fs::rename(&away, &output)?;
    cluster.restart(1).await?;
    ends_well(&mut cluster, crawl, &emulator).await?;
    cluster.finish().await
}

/// The contents of a lost output are fetched again once an operator declares it lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_output_is_begun_anew_when_an_operator_says_so() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    cluster.node(1)?.kill().await?;
    fs::remove_dir_all(cluster.output(1))?;
    cluster.node(1)?.start_with(&["--adopt-output"])?;
    cluster.ready().await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 40, "{:?}", view.counters);
    cluster.drafts_removed().await?;
    // Files from before the loss are gone with their disk; a second crawl fetches them again.
    let again = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    ends_well(&mut cluster, again, &emulator).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_do_not_share_an_output() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut first = Cluster::builder().crawling(&emulator).start().await?;
    let output = format!("--output={}", first.output(1).display());
    let crawl = first.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    first.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    let mut second = Cluster::builder().crawling(&emulator).start().await?;
    second.node(1)?.stop().await?;
    let node = second.node(1)?;
    node.start_with(&[&output])?;
    assert_eq!(node.ended_by_itself().await?, Some(1));
    let log = node.log()?;
    let last = log.lines().rev().find(|line| line.contains("node stops")).unwrap_or_default();
    assert!(last.contains("belongs to cluster") && last.contains("--adopt-output"), "{last}");
    ends_well(&mut first, crawl, &emulator).await?;
    first.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_disk_that_turns_read_only_makes_jobs_wait() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let (disk, mut cluster) = on_a_small_disk(&emulator, 64 * MIB).await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    cluster.ctl_json(&["crawl", "pause", &crawl.to_string()]).await?;
    disk.read_only(true).await?;
    cluster.ctl_json(&["crawl", "resume", &crawl.to_string()]).await?;
    cluster.node(1)?.says("mount its volume for writing").await?;
    disk.read_only(false).await?;
    ends_well(&mut cluster, crawl, &emulator).await?;
    drop(disk);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_full_data_disk_stops_with_the_reason_and_goes_on_once_there_is_room() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).prepare()?;
    let disk = Tmpfs::mount(&cluster.data_dir(1), 64 * MIB)?;
    cluster.start_all()?;
    cluster.ready().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 5).await?;
    disk.fill(0)?;
    let node = cluster.node(1)?;
    assert_eq!(node.ended_by_itself().await?, Some(1));
    let last =
        node.log()?.lines().rev().find(|line| line.contains("node stops")).unwrap_or_default().to_owned();
    assert!(last.contains("see whether the disk of") && last.contains("data-1 is full"), "{last}");
    assert!(last.contains("No space left") && !last.contains("channel"), "{last}");

    // While the disk is still full, the node does not start and reports the reason.
    node.start()?;
    assert_eq!(node.ended_by_itself().await?, Some(1));
    assert!(node.log()?.contains("bytes free, and a node needs"), "{}", node.log()?);
    disk.free()?;
    cluster.restart(1).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 40, "{:?}", view.counters);
    cluster.drafts_removed().await?;
    let targets = everyone(&emulator);
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.node(1)?.stop().await?;
    drop(disk);
    cluster.finish().await
}

/// A database that has lost its newest segments opens as an older or an empty one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_lacks_what_the_log_builds_on_is_named_with_the_remedy() -> Test {
    let emulator = accounts(30).start().await?;
    let mut cluster = Cluster::builder().flags(["--log-kept=100"]).crawling(&emulator).start().await?;
    // The log is purged in batches of 256 entries, up to 100 entries before a checkpoint, and before the next
    // checkpoint is taken.
    let mut checkpoints = 0;
    for round in 0.. {
        let crawl = cluster.submit(&everyone(&emulator), &[["-T"], ["-F"]][round % 2]).await?;
        cluster.finished(crawl).await?;
        let applied = cluster.client().node_status().await?.applied;
        eventually("all of it is in a checkpoint", async || {
            Ok((cluster.client().node_status().await?.checkpoint >= applied).then_some(()))
        })
        .await?;
        checkpoints += u32::from(applied > 600);
        if checkpoints == 2 {
            break;
        }
    }
    cluster.node(1)?.kill().await?;
    let state = cluster.data_dir(1).join("state");
    let lost = fs::read_dir(&state)?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_dir());
    let lost = lost.expect("the folder of a database");
    fs::remove_dir_all(&lost)?;
    fs::create_dir(&lost)?;
    cluster.node(1)?.start()?;
    assert_eq!(cluster.node(1)?.ended_by_itself().await?, Some(1));
    let words = cluster.node(1)?.log()?;
    let named =
        format!("the Raft log and the state in {} do not fit together", cluster.data_dir(1).display());
    assert!(words.contains(&named) && words.contains("run `twm-ctl member replace`"), "{words}");
    cluster.finish().await
}
