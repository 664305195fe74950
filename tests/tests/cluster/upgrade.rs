//! An older build and this one in one cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use api::model::CLUSTER_VERSION;
use twm_tests::cluster::{Cluster, Program, Truth, ended, eventually};

use crate::world::{Test, accounts, everyone, slow};

/// Queries the cluster's status with the `twm-ctl` of one build.
async fn status_by(cluster: &Cluster, build: Option<&Path>) -> Test {
    let mut command = match build {
        Some(folder) => Program::Ctl.command_in(folder)?,
        None => Program::Ctl.command()?,
    };
    let output = ended(command.args(["--endpoints", &cluster.endpoints(), "status"])).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn change_build(cluster: &mut Cluster, node: u64, build: Option<&Path>) -> Test {
    cluster.node(node)?.stop().await?;
    cluster.node(node)?.use_build(build);
    cluster.restart(node).await.with_context(|| format!("node {node} with {build:?}"))?;
    // The `twm-ctl` of both builds works with nodes of both.
    status_by(cluster, None).await?;
    Ok(())
}

/// `TWM_OLD_BUILD` is the folder of the older programs: see `ops/upgrade-test`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an older build, by ops/upgrade-test"]
async fn nodes_are_upgraded_one_by_one_and_one_goes_back_in_between() -> Test {
    let old = std::env::var_os("TWM_OLD_BUILD").map(PathBuf::from).context("TWM_OLD_BUILD is not set")?;
    let old = Some(old.as_path());
    let emulator = accounts(120).faults(slow(60)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).workers(2).crawling(&emulator).prepare()?;
    for id in cluster.ids() {
        cluster.node(id)?.use_build(old);
    }
    cluster.start_all()?;
    cluster.ready().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 2).await?;

    let leader = cluster.leader().await?;
    let followers: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    for &follower in &followers {
        change_build(&mut cluster, follower, None).await?;
        status_by(&cluster, old).await?;
    }
    // While the last node runs the old build, the version does not rise: other nodes can return to the old
    // build.
    change_build(&mut cluster, followers[0], old).await?;
    change_build(&mut cluster, followers[0], None).await?;
    change_build(&mut cluster, leader, None).await?;
    status_by(&cluster, old).await?;
    eventually("all nodes know this build's version", async || {
        let status = cluster.status().await?;
        let known = |version| version >= CLUSTER_VERSION;
        let all =
            status.nodes.iter().all(|node| node.node.as_ref().is_some_and(|n| known(n.cluster_version)));
        Ok(all.then_some(()))
    })
    .await?;

    let running = cluster.crawl(crawl).await?.counters.users;
    ensure!(running.completed < 120, "the crawl ended before the upgrade did: {running:?}");
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 120);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}
