//! Several sources in one cluster.

use std::time::Duration;

use api::model::CrawlId;
use twm_tests::cluster::{Cluster, Output, Truth, eventually};
use twm_tests::emulator::{Emulator, SyntheticOptions};

use crate::world::{Test, accounts, everyone, mend, slow};

/// A node's settings with a source more.
fn settings(cluster_folder: &std::path::Path, other: &Emulator) -> anyhow::Result<String> {
    let file = cluster_folder.join("sources.toml");
    std::fs::write(
        &file,
        format!("[source.other]\nkind = \"twitter\"\napi-url = \"{}/1.1/\"\n", other.url()),
    )?;
    Ok(format!("--config={}", file.display()))
}

/// The crawl, unless the cluster is too old yet.
fn submitted(crawl: anyhow::Result<CrawlId>) -> anyhow::Result<Option<CrawlId>> {
    match crawl {
        Err(error) if error.to_string().contains("needs cluster version") => Ok(None),
        other => other.map(Some),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_networks_are_crawled_side_by_side_though_the_leader_dies() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let other =
        Emulator::builder().synthetic(SyntheticOptions { tweets_mean: 30.0, ..SyntheticOptions::new(50, 8) });
    let other = other.page_size(5).count_users(true).faults(slow(20)).start().await?;
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path(), &other)?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output(Output::Shared);
    let mut cluster = builder.flags([config.as_str()]).crawling(&emulator).start().await?;

    let listed = cluster.ctl_json(&["source", "check"]).await?;
    let nodes = listed[0]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        let sources = node["sources"].as_array().unwrap();
        let names: Vec<_> = sources.iter().map(|source| source["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["twitter", "other"]);
        assert!(sources.iter().all(|source| source["answered_ms"].is_u64()), "{node}");
    }

    let all_others = &everyone(&other);
    let first = cluster.submit(&everyone(&emulator), &["-T", "-F"]).await?;
    let submit = || cluster.submit(all_others, &["-T", "-F", "-A", "--source=other"]);
    let second = eventually("the cluster's version has risen", async || submitted(submit().await)).await?;
    let done = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= 5;
    cluster.crawl_until(second, "five accounts are done", done).await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    mend(&emulator)?;
    mend(&other)?;
    cluster.restart(leader).await?;
    for (crawl, accounts) in [(first, 40), (second, 50)] {
        let view = cluster.finished(crawl).await?;
        assert_eq!(view.counters.users.failed, 0);
        assert_eq!(view.counters.users.completed + view.counters.users.gone, accounts);
    }
    let (all, others) = (everyone(&emulator), everyone(&other));
    let truth = Truth::of(&emulator).timelines(all.clone()).followers(all).without_source("other");
    cluster.holds(&truth).await?;
    let truth = Truth::of(&other).timelines(others.clone()).followers(others);
    truth.check(&[cluster.output(1).join("other")])?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawl_of_a_source_that_no_node_has_is_refused_with_the_remedy() -> Test {
    let emulator = accounts(5).start().await?;
    let cluster = Cluster::builder().nodes(1).crawling(&emulator).start().await?;
    let list = cluster.file("list", "@anna@host.example\n")?;
    let list = list.display().to_string();
    let refused = cluster.twm_ctl(&["submit", &list, "--source", "mastodon"]).await?;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no node has a source mastodon") && said.contains("[source.mastodon]"), "{said}");
    assert!(cluster.ctl_json(&["crawl", "list"]).await?[0].as_array().is_none_or(Vec::is_empty));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_rule_that_needs_what_its_network_does_not_have_is_refused_at_submit() -> Test {
    let emulator = accounts(5).start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sources.toml");
    let text = "[source.fedi]\nkind = \"mastodon\"\ncontact = \"me@example.org\"\n\
                [source.sky]\nkind = \"bluesky\"\ncontact = \"me@example.org\"\n";
    std::fs::write(&file, text)?;
    let config = format!("--config={}", file.display());
    let cluster = Cluster::builder().nodes(3).flags([config.as_str()]).crawling(&emulator).start().await?;
    let list = cluster.file("list", "ada@h1.test\ndid:plc:z72i7hdynmk6r22z27h6tvur\n")?.display().to_string();
    let submit = async |source: &str, rule: &str| {
        cluster.twm_ctl(&["submit", &list, "-F", "-A", "--source", source, "--follow", rule]).await
    };
    let accepted = async |source: &str, rule: &str| {
        eventually("the cluster's version has risen", async || {
            let output = submit(source, rule).await?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(
                output.status.success() || said.contains("needs cluster version"),
                "{rule}: {said}"
            );
            Ok(output.status.success().then_some(()))
        })
        .await
    };
    accepted("fedi", "user.bot || has(user.lang) && user.lang == 'it'").await?;
    accepted("sky", "user.followers_count > 5 && user.raw.handle != ''").await?;
    for (source, rule, parts) in [
        ("fedi", "user.bot && user.lang == 'it'", ["user.lang", "mastodon", "user.bot"]),
        ("sky", "user.followers_count > 5 && user['bot']", ["user.bot", "bluesky", "user.followers_count"]),
    ] {
        let refused = submit(source, rule).await?;
        assert_eq!(refused.status.code(), Some(1), "{rule}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(parts.iter().all(|part| said.contains(part)) && said.contains("has("), "{said}");
    }
    // Twitter's own objects have what they have.
    let list = cluster.file("numbers", "12\n")?.display().to_string();
    let output = cluster.twm_ctl(&["submit", &list, "-F", "-A", "--follow", "user.bot"]).await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.finish().await
}
