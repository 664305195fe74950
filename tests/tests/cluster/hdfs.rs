//! Datasets on a real HDFS.

use std::time::Duration;

use anyhow::Context;
use storage::net::hdfs::Hdfs;
use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::hdfs_server::HdfsServer;

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, slow};

/// All files, as Hadoop's own tool reads them, against the truth.
async fn holds(server: &HdfsServer, truth: &Truth<'_>) -> Test {
    let copy = tempfile::tempdir()?;
    truth.check(&[server.download("data", copy.path()).await?])
}

/// All drafts were removed.
async fn no_draft_is_left(server: &HdfsServer) -> Test {
    let hdfs = server.open("data").await?;
    eventually("no draft is left", async || {
        let hdfs = hdfs.clone();
        let drafts = tokio::task::spawn_blocking(move || drafts(&hdfs)).await??;
        Ok((drafts == 0).then_some(()))
    })
    .await
}

/// The drafts of the owner, finished or not.
fn drafts(hdfs: &Hdfs) -> anyhow::Result<usize> {
    let mut count = 0;
    for owner in hdfs.list(".tmp")?.context("no folder of drafts")? {
        let (owner, _) = owner?;
        // What is written at once, such as provenance.
        if owner == "copies" {
            continue;
        }
        let owner = format!(".tmp/{owner}");
        count += hdfs.list(&owner)?.context("no owner")?.count() - 1;
        count += hdfs.list(&format!("{owner}/done"))?.context("no finished drafts")?.count();
    }
    Ok(count)
}

/// A node, and then the cluster's status, says that the dataset is away; then it is not.
async fn is_said_to_be_away(cluster: &mut Cluster, id: u64, what: &str) -> Test {
    let node = cluster.node(id)?;
    eventually("a node says what is away", async || {
        Ok(node.page("/readyz").await?.body.contains(what).then_some(()))
    })
    .await?;
    eventually("the metrics say it", async || {
        let page = node.page("/metrics").await?;
        Ok((page.metric("twm_outage", "of=\"dataset\"") > 0.0).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hdfs_holds_each_tweet_once_whoever_dies() -> Test {
    let mut server = HdfsServer::start().await?;
    let emulator = accounts(60).faults(slow(40)).start().await?;
    let builder =
        Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output_url(server.url("data"));
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let done = |count| move |crawl: &api::model::CrawlView| crawl.counters.users.completed >= count;
    cluster.crawl_until(crawl, "five accounts are done", done(5)).await?;

    // The name node dies: jobs wait, and every node says why.
    let busy = a_busy_follower(&cluster).await?;
    server.kill_name_node().await?;
    is_said_to_be_away(&mut cluster, busy, &server.address()).await?;
    let failed = cluster.crawl(crawl).await?.counters.users.failed;
    assert_eq!(failed, 0, "nothing fails for good");
    server.restart_name_node().await?;
    cluster.crawl_until(crawl, "fifteen accounts are done", done(15)).await?;

    let worker = a_busy_follower(&cluster).await?;
    cluster.node(worker)?.kill().await?;
    cluster.crawl_until(crawl, "thirty accounts are done", done(30)).await?;
    cluster.restart(worker).await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    mend(&emulator)?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    cluster.restart(leader).await?;
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone());
    no_draft_is_left(&server).await?;
    holds(&server, &truth).await?;

    let update = cluster.submit(&targets, &["-U"]).await?;
    cluster.finished(update).await?;
    let again = cluster.submit(&targets[..20], &["-T"]).await?;
    cluster.finished(again).await?;
    no_draft_is_left(&server).await?;
    holds(&server, &truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_a_datanode_and_nothing_is_lost() -> Test {
    let mut server = HdfsServer::start().await?;
    let emulator = accounts(40).faults(slow(40)).start().await?;
    let builder =
        Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output_url(server.url("data"));
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let done = |count| move |crawl: &api::model::CrawlView| crawl.counters.users.completed >= count;
    cluster.crawl_until(crawl, "five accounts are done", done(5)).await?;
    let busy = a_busy_follower(&cluster).await?;
    server.kill_data_node().await?;
    is_said_to_be_away(&mut cluster, busy, "datanode").await?;
    server.restart_data_node().await?;
    mend(&emulator)?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (40, 0));
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets);
    no_draft_is_left(&server).await?;
    holds(&server, &truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_cannot_be_used_is_named_with_the_remedy_at_the_start() -> Test {
    let server = HdfsServer::start().await?;
    let mut cluster = Cluster::builder().output_url(server.url("data")).prepare()?;
    let web = format!("hdfs://127.0.0.1:{}/data", server.web_port());
    for (output, what) in [
        (web.as_str(), "give the address of dfs.namenode.rpc-address"),
        ("hdfs://no-such-service/data", "explain the name service in HADOOP_CONF_DIR"),
        ("hdfs://me@host:8020/data", "set HADOOP_USER_NAME"),
        ("hdfs://host:8020/a:b", "which no name in HDFS has"),
    ] {
        let node = cluster.node(1)?;
        node.start_with(&[&format!("--output={output}")])?;
        assert_ne!(node.ended_by_itself().await?, Some(0), "{output}");
        node.says(what).await.with_context(|| output.to_owned())?;
    }
    Ok(())
}
