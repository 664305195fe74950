//! Datasets in a bucket of a real S3 server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use api::model::Operation;
use storage::dataset::{FileKind, dataset_files, verify};
use twm_tests::cluster::{Cluster, Program, Truth, eventually};
use twm_tests::s3_server::S3Server;

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, slow};

/// Files below a folder.
fn files(folder: &Path) -> anyhow::Result<usize> {
    if !folder.exists() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// Profiles in all files of these datasets.
fn profiles(folders: &[std::path::PathBuf]) -> anyhow::Result<u64> {
    let mut profiles = 0;
    for folder in folders {
        for file in dataset_files(folder)? {
            let (key, path) = file?;
            if key.kind == FileKind::Profiles {
                profiles += verify(&path, key.kind)?.items;
            }
        }
    }
    Ok(profiles)
}

/// All drafts were removed from the bucket.
async fn no_draft_is_left(cluster: &Cluster) -> Test {
    let drafts = cluster.output(1).join(".drafts");
    eventually("no draft is left in the bucket", async || Ok((files(&drafts)? == 0).then_some(()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_holds_each_tweet_once_whoever_dies() -> Test {
    let mut server = S3Server::start().await?;
    let emulator = accounts(60).faults(slow(40)).start().await?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).bucket(&server);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let done = |count| move |crawl: &api::model::CrawlView| crawl.counters.users.completed >= count;
    cluster.crawl_until(crawl, "five accounts are done", done(5)).await?;

    // The store dies: jobs wait, and every node says why.
    let busy = a_busy_follower(&cluster).await?;
    server.kill().await?;
    let node = cluster.node(busy)?;
    eventually("a node says that the store is away", async || {
        let ready = node.page("/readyz").await?;
        Ok(ready.body.contains("s3://twm/data").then_some(()))
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
    let looked_up = view.counters.operations[Operation::Analysis.index()].items;
    cluster.restart(leader).await?;
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone());
    no_draft_is_left(&cluster).await?;
    truth.check(&cluster.outputs())?;
    assert_eq!(profiles(&cluster.outputs())?, looked_up);

    let update = cluster.submit(&targets, &["-U"]).await?;
    cluster.finished(update).await?;
    let again = cluster.submit(&targets[..20], &["-T"]).await?;
    cluster.finished(again).await?;
    no_draft_is_left(&cluster).await?;
    truth.check(&cluster.outputs())?;
    let page = cluster.node(leader)?.page("/metrics").await?;
    assert!(page.metric("twm_dataset_requests_total", "kind=\"put\"") > 0.0, "{}", page.body);
    let (key, secret) = server.login();
    let mut check = Program::Ctl.command()?;
    check.args(["--endpoints", &cluster.endpoints(), "check", "--dataset", "s3://twm/data"]);
    check.envs([("AWS_ENDPOINT_URL", &*server.endpoint()), ("AWS_ACCESS_KEY_ID", key)]);
    let checked = check.env("AWS_SECRET_ACCESS_KEY", secret).output().await?;
    let (printed, said) =
        (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && printed.contains("; 0 not sound"), "{printed}{said}");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_used_is_named_with_the_remedy_at_the_start() -> Test {
    let server = S3Server::start().await?;
    let endpoint = format!("--s3-endpoint={}", server.endpoint());
    let login = "--s3-credentials-file=/nowhere/credentials".to_owned();
    let wrong = tempfile::NamedTempFile::new()?;
    fs::write(&wrong, "aws_access_key_id = test\naws_secret_access_key = wrong\n")?;
    let wrong = format!("--s3-credentials-file={}", wrong.path().display());
    let mut cluster = Cluster::builder().bucket(&server).prepare()?;
    let good = cluster.node(1)?.arguments().iter().find(|flag| flag.starts_with("--s3-cred")).cloned();
    let good = good.context("no login")?;
    for (flags, what) in [
        (["--output=s3://absent/x".to_owned(), endpoint.clone(), good.clone()], "there is no such bucket"),
        (
            ["--output=s3://twm/data".to_owned(), endpoint.clone(), wrong],
            "check the access key, the secret key",
        ),
        (["--output=s3://twm/data".to_owned(), endpoint.clone(), login], "/nowhere/credentials"),
        (["--output=s3://twm:80/data".to_owned(), endpoint.clone(), good.clone()], "it takes no port"),
        (["--output=ftp://twm/data".to_owned(), endpoint, good], "writes no datasets to ftp://"),
    ] {
        let node = cluster.node(1)?;
        node.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        assert_ne!(node.ended_by_itself().await?, Some(0), "{flags:?}");
        node.says(what).await.with_context(|| format!("{flags:?}"))?;
    }
    Ok(())
}
