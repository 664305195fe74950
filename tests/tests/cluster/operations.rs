//! Each operation and their combinations.

use std::collections::BTreeSet;
use std::fs;

use api::model::Operation;
use twm_tests::cluster::{Cluster, FileName, Truth};
use twm_tests::emulator::{Emulator, Endpoint};

use crate::world::{Test, accounts, everyone, followers, frontier, profile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timelines_are_what_the_api_sends_byte_for_byte() -> Test {
    let emulator = accounts(30).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    let crawl = cluster.finished(crawl).await?;
    assert_eq!(crawl.counters.users.completed, 30);
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone())).await?;
    let tweets: usize = targets.iter().map(|target| emulator.expected_timeline(*target).len()).sum();
    assert_eq!(crawl.counters.operations[Operation::Timeline.index()].items, tweets as u64);

    let export = cluster.folder().join("export");
    accounts(30).export(&export)?;
    for target in targets.into_iter().filter(|target| !emulator.expected_timeline(*target).is_empty()) {
        let name = FileName::Timeline(target);
        let mut exported = String::new();
        let file = fs::File::open(export.join(name.path()))?;
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut exported)?;
        assert_eq!(cluster.lines(1, name)?, exported.lines().collect::<Vec<_>>(), "{name}");
    }
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_many_pages_are_there_once_and_in_order() -> Test {
    let emulator = accounts(30).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-F"]).await?;
    cluster.finished(crawl).await?;
    assert!(targets.iter().any(|target| emulator.expected_followers(*target).len() > 15), "four pages of 5");
    cluster.holds(&Truth::of(&emulator).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timelines_and_followers_in_one_crawl() -> Test {
    let emulator = accounts(30).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.finished(crawl).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    assert_eq!(emulator.stats().requests_to(Endpoint::Lookup), 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analysis_fills_the_frontier_with_whom_the_rule_admits() -> Test {
    let emulator = accounts(60).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets: Vec<u64> = emulator.users(0, 6);
    let flags = ["-F", "-A", "--follow", "user.lang == 'en' && user.statuses_count > 10"];
    let crawl = cluster.submit(&targets, &flags).await?;
    let crawl = cluster.finished(crawl).await?;
    cluster.holds(&Truth::of(&emulator).followers(targets.clone())).await?;

    let found = followers(&emulator, &targets);
    let admitted: BTreeSet<u64> = found
        .iter()
        .copied()
        .filter(|account| {
            let profile = profile(&emulator, *account);
            profile["lang"] == "en" && profile["statuses_count"].as_u64() > Some(10)
        })
        .collect();
    assert!(!admitted.is_empty() && admitted.len() < found.len(), "the rule admits some and not others");
    let frontier = frontier(&cluster, crawl.id).await?;
    assert_eq!(frontier.len(), admitted.len(), "each once: {frontier:?}");
    assert_eq!(frontier.into_iter().collect::<BTreeSet<_>>(), admitted);
    assert_eq!(
        (crawl.counters.discovered, crawl.counters.admitted),
        (found.len() as u64, admitted.len() as u64)
    );
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analysis_alone_first_fetches_the_list_that_it_reads() -> Test {
    let emulator = accounts(40).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets: Vec<u64> = emulator.users(0, 5);
    let crawl = cluster.submit(&targets, &["-A"]).await?;
    let crawl = cluster.finished(crawl).await?;
    cluster.holds(&Truth::of(&emulator).followers(targets.clone())).await?;
    let frontier = frontier(&cluster, crawl.id).await?;
    assert_eq!(frontier.into_iter().collect::<BTreeSet<_>>(), followers(&emulator, &targets));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_frontier_is_submitted_as_it_is() -> Test {
    let emulator = accounts(60).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets: Vec<u64> = emulator.users(0, 4);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    cluster.finished(crawl).await?;
    let exported = cluster.ctl_json(&["frontier", "export", &crawl.to_string()]).await?;
    let found = followers(&emulator, &targets);
    assert_eq!(exported[0]["accounts"].as_u64(), Some(found.len() as u64));

    let next = cluster.submit_list(&format!("frontier-{crawl}.gz"), &["-T"]).await?;
    let next = cluster.finished(next).await?;
    assert_eq!(next.counters.users.completed, found.len() as u64);
    let timelines = targets.iter().copied().chain(found);
    cluster.holds(&Truth::of(&emulator).timelines(timelines).followers(targets.clone())).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_puts_new_tweets_in_front_and_fetches_no_old_ones() -> Test {
    let emulator = accounts(12).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    cluster.finished(crawl).await?;
    // The newest tweets are removed from the files, as if written after the crawl.
    for target in targets.iter().copied().filter(|target| emulator.expected_timeline(*target).len() > 3) {
        let name = FileName::Timeline(target);
        let older = cluster.lines(1, name)?[3..].join("\n");
        fs::write(cluster.output(1).join(name.path()), format!("{older}\n"))?;
    }
    let crawl = cluster.submit(&targets, &["-U"]).await?;
    let crawl = cluster.finished(crawl).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone())).await?;
    let grown = targets.iter().filter(|target| emulator.expected_timeline(**target).len() > 3).count() as u64;
    assert!(grown > 3, "{grown} accounts have more than three tweets");
    assert_eq!(crawl.counters.operations[Operation::Update.index()].items, 3 * grown);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_what_was_never_crawled_crawls_it() -> Test {
    let emulator = accounts(6).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-U"]).await?;
    cluster.finished(crawl).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets)).await?;
    cluster.finish().await
}

/// Checks that the helper of the tests above detects errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_truth_notices_what_is_missing_doubled_or_strange() -> Test {
    let emulator = accounts(4).start().await?;
    let folder = tempfile::tempdir()?;
    let export = |emulator: &Emulator| -> anyhow::Result<()> {
        accounts(4).export(folder.path())?;
        for extra in ["targets", "profiles.jsonl.gz"] {
            fs::remove_file(folder.path().join(extra))?;
        }
        Truth::of(emulator)
            .timelines(everyone(emulator))
            .followers(everyone(emulator))
            .check(&[folder.path().into()])
    };
    export(&emulator)?;
    let truth = || Truth::of(&emulator).timelines(everyone(&emulator)).followers(everyone(&emulator));
    let check = || {
        truth().check(&[folder.path().into()]).map_err(|error| error.to_string()).err().unwrap_or_default()
    };
    let account = everyone(&emulator).into_iter().find(|id| emulator.expected_followers(*id).len() > 1);
    let path = folder.path().join(FileName::Followers(account.unwrap()).path());
    let good = fs::read(&path)?;

    fs::remove_file(&path)?;
    assert!(check().contains("is missing"), "{}", check());
    fs::write(&path, [&good[..], &good[..]].concat())?;
    assert!(check().contains("different ones"), "{}", check());
    fs::write(&path, &good)?;
    fs::write(folder.path().join("stray"), "")?;
    assert!(check().contains("no file of a dataset"), "{}", check());
    fs::remove_file(folder.path().join("stray"))?;
    assert_eq!(check(), "");
    let twice = truth().check(&[folder.path().into(), folder.path().into()]).unwrap_err().to_string();
    assert!(twice.contains("there 2 times"), "{twice}");
    Ok(())
}
