//! Datasets in a keyspace of a real Cassandra server.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use storage::dataset::cassandra::{CassandraStore, KeyspaceStore};
use storage::dataset::store::Store as _;
use storage::env::SystemClock;
use storage::net::cassandra::Keyspace;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use twm_tests::cassandra_server::{CassandraServer, CassandraSettings};
use twm_tests::cluster::{Cluster, Program, Truth, ended, eventually};

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, slow};

/// The keyspace of a test.
const KEYSPACE: &str = "twm";

/// Writes all published files into a folder, as they would lie in a dataset on files.
async fn exported(server: &CassandraServer) -> anyhow::Result<(TempDir, Vec<PathBuf>)> {
    let (url, options) = (server.url(KEYSPACE)?, server.options());
    spawn_blocking(move || {
        let (folder, store) = (TempDir::new()?, CassandraStore::connect(&url, &options)?);
        let store = KeyspaceStore::new(store, Arc::new(SystemClock::new()));
        for file in store.files()? {
            let file = file?;
            let path = folder.path().join(&file.name);
            fs::create_dir_all(path.parent().context("a file in no folder")?)?;
            anyhow::ensure!(io::copy(&mut store.open(&file)?, &mut File::create(&path)?)? == file.bytes);
        }
        let outputs = vec![folder.path().to_owned()];
        Ok((folder, outputs))
    })
    .await?
}

/// The versions of a table.
async fn versions(server: &CassandraServer, table: &'static str) -> anyhow::Result<BTreeSet<String>> {
    let (url, options) = (server.url(KEYSPACE)?, server.options());
    spawn_blocking(move || {
        let keyspace = Keyspace::connect(&url, &options)?;
        let cql = format!("SELECT CAST(version AS text) FROM {KEYSPACE}.{table}");
        let rows: Vec<(Option<String>,)> = keyspace.rows("look", &keyspace.prepare(&cql)?, ())?;
        Ok(rows.into_iter().filter_map(|(version,)| version).collect())
    })
    .await?
}

/// All drafts were removed, and no block is left but those of published files.
async fn nothing_is_left_over(server: &CassandraServer) -> Test {
    eventually("no draft and no waste is left", async || {
        let (drafts, blocks) = (versions(server, "drafts").await?, versions(server, "blocks").await?);
        let published = versions(server, "files").await?;
        Ok((drafts.is_empty() && blocks == published).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_holds_each_tweet_once_whoever_dies() -> Test {
    let mut server = CassandraServer::start().await?;
    let url = server.url(KEYSPACE)?.to_string();
    let init = ended(Program::Ctl.command()?.args(["dataset", "init", &url, "--replication", "1"])).await?;
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let emulator = accounts(60).faults(slow(40)).start().await?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output_url(&url);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let done = |count| move |crawl: &api::model::CrawlView| crawl.counters.users.completed >= count;
    cluster.crawl_until(crawl, "five accounts are done", done(5)).await?;

    // The coordinator dies: jobs wait, and every node says why.
    let busy = a_busy_follower(&cluster).await?;
    server.kill().await?;
    let node = cluster.node(busy)?;
    eventually("a node says that the store is away", async || {
        let ready = node.page("/readyz").await?;
        Ok(ready.body.contains(&url).then_some(()))
    })
    .await?;
    let failed = cluster.crawl(crawl).await?.counters.users.failed;
    assert_eq!(failed, 0, "nothing fails for good");
    server.restart().await?;
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
    truth.check(&exported(&server).await?.1)?;
    nothing_is_left_over(&server).await?;

    let update = cluster.submit(&targets, &["-U"]).await?;
    cluster.finished(update).await?;
    let again = cluster.submit(&targets[..20], &["-T"]).await?;
    cluster.finished(again).await?;
    truth.check(&exported(&server).await?.1)?;
    nothing_is_left_over(&server).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_that_cannot_be_used_is_named_with_the_remedy_at_the_start() -> Test {
    let settings = CassandraSettings { commitlog_sync: "periodic", ..CassandraSettings::default() };
    let server = CassandraServer::start_with(&settings).await?;
    let url = server.url(KEYSPACE)?.to_string();
    let mut cluster = Cluster::builder().output_url(&url).prepare()?;
    let login = "--cassandra-credentials-file=/nowhere/login";
    let at = |url: &str| format!("--output={url}");
    for (flags, what) in [
        (vec![at(&url)], "twm-ctl dataset init"),
        (vec![at(&url), login.to_owned()], "/nowhere/login"),
        (vec![at("cassandra://127.0.0.1/Twm")], "a keyspace is named by"),
    ] {
        let node = cluster.node(1)?;
        node.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        assert_ne!(node.ended_by_itself().await?, Some(0), "{flags:?}");
        node.says(what).await.with_context(|| format!("{flags:?}"))?;
    }
    let mut init = Program::Ctl.command()?;
    let init = ended(init.args(["-o", "json", "dataset", "init", &url, "--replication", "1"])).await?;
    let (said, told) = (String::from_utf8(init.stdout)?, String::from_utf8(init.stderr)?);
    assert!(init.status.success() && said.contains("\"replication\":1"), "{said} {told}");
    assert!(told.contains("commitlog_sync: periodic"), "it says at once that nodes will refuse it: {told}");
    let node = cluster.node(1)?;
    node.start_with(&[&at(&url)])?;
    assert_ne!(node.ended_by_itself().await?, Some(0));
    node.says("--cassandra-accept-periodic").await?;
    let node = cluster.node(1)?;
    node.start_with(&[&at(&url), "--cassandra-accept-periodic"])?;
    node.says("loses what was acknowledged").await?;
    cluster.ready().await?;
    cluster.finish().await
}
