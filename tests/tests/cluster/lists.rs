//! Kinds of target lists and accounts.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone, mend, profile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_listed_twice_is_crawled_once_and_a_bad_line_stops_nothing() -> Test {
    let emulator = accounts(10).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let mut list = GzEncoder::new(Vec::new(), Compression::fast());
    writeln!(list, "# accounts\n\nT,{},0\nnot an account!\n{}", targets[0], targets[0])?;
    for target in targets.iter().chain(&targets) {
        writeln!(list, "{target}")?;
    }
    std::fs::write(cluster.folder().join("list.gz"), list.finish()?)?;
    let crawl = cluster.submit_list("list.gz", &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.accepted, view.counters.users.duplicates), (10, 12));
    assert_eq!(view.counters.users.completed, 10);
    let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
    assert!(asked.values().all(|requests| *requests <= 2), "a page and the end of the walk: {asked:?}");
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_name_stands_for_its_account_and_one_that_nobody_has_is_a_bad_line() -> Test {
    let emulator = accounts(10).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let name = |user: u64| profile(&emulator, user)["screen_name"].as_str().unwrap_or_default().to_owned();
    let list = format!(
        "@{}\n@nobody_has_it\n{}\n@{}\n",
        name(targets[0]),
        targets[1],
        name(targets[2]).to_uppercase()
    );
    cluster.file("list", &list)?;
    let submitted = cluster.twm_ctl(&["submit", "list", "-T"]).await?;
    let said = String::from_utf8(submitted.stderr)?;
    assert!(said.contains("list:2: \"@nobody_has_it\" names no account"), "{said}");
    assert!(said.contains("3 accounts accepted, 0 named again, 1 bad lines"), "{said}");
    cluster.finished(String::from_utf8(submitted.stdout)?.trim().parse()?).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets[..3].iter().copied())).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_cannot_be_looked_up_now_leave_no_crawl_behind() -> Test {
    let emulator = accounts(10).faults(vec![FaultRule::new(Fault::Status(503))]).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    cluster.file("list", "@jack\n")?;
    let submitted = cluster.twm_ctl(&["submit", "list", "-T"]).await?;
    let said = String::from_utf8(submitted.stderr)?;
    assert_eq!(submitted.status.code(), Some(1), "{said}");
    assert!(said.contains("the names could not be looked up"), "{said}");
    assert!(cluster.status().await?.crawls.is_empty());
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_that_was_cut_off_goes_on_when_it_is_repeated() -> Test {
    let emulator = accounts(10).faults(vec![FaultRule::new(Fault::Status(503))]).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let last = profile(&emulator, targets[9])["screen_name"].as_str().unwrap_or_default().to_owned();
    let mut list: String = targets[..9].iter().cycle().take(5_000).map(|user| format!("{user}\n")).collect();
    list.push_str(&format!("@{last}\n"));
    cluster.file("list", &list)?;

    // The first part is submitted before the lookup of the name in the second part fails.
    let cut = cluster.twm_ctl(&["submit", "list", "-T"]).await?;
    let said = String::from_utf8(cut.stderr)?;
    assert_eq!(cut.status.code(), Some(1), "{said}");
    assert!(said.contains("submitting the same unchanged file again continues it"), "{said}");

    mend(&emulator)?;
    let crawl = cluster.submit_list("list", &["-T"]).await?;
    let view = cluster.finished(crawl).await?;
    let crawls = cluster.status().await?.crawls;
    assert_eq!((crawls.len(), crawls[0].id), (1, crawl));
    assert_eq!((view.counters.users.accepted, view.counters.users.duplicates), (10, 4_991));
    cluster.holds(&Truth::of(&emulator).timelines(targets)).await?;

    let again = cluster.submit_list("list", &["-T"]).await?;
    assert_ne!(again, crawl, "the first one is whole");
    cluster.finished(again).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_rule_that_cannot_be_used_is_refused_at_submit() -> Test {
    let emulator = accounts(10).start().await?;
    let cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    cluster.file("list", "12\n")?;
    for (rule, named) in [
        ("user.lang ==", "line 1"),
        ("account.lang == 'it'", "account"),
        ("user.lang", "a value of type string for a condition"),
    ] {
        let submitted = cluster.twm_ctl(&["submit", "list", "-F", "-A", "--follow", rule]).await?;
        let said = String::from_utf8(submitted.stderr)?;
        assert_eq!(submitted.status.code(), Some(1), "{rule}: {said}");
        assert!(said.contains("the follow rule") && said.contains(named), "{rule}: {said}");
    }
    assert!(cluster.status().await?.crawls.is_empty());
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_out_of_reach_are_recorded_with_the_reason_and_what_still_works_is_done() -> Test {
    let emulator = accounts(20).protected([3, 4]).missing([7]).start().await?;
    let targets = everyone(&emulator);
    // The timeline of one account does not exist, but its followers do.
    let half = targets.iter().copied().find(|user| emulator.expected_followers(*user).len() > 1 && *user > 7);
    let half = half.expect("an account with followers");
    let rules = vec![FaultRule::new(Fault::Status(404)).user(half).at(Endpoint::Timeline)];
    emulator.set_faults(rules).map_err(anyhow::Error::msg)?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.gone), (17, 3));

    let gone = cluster.ctl_json(&["errors", "list", &crawl.to_string(), "--gone"]).await?;
    let reason = |user: u64| {
        let entry = gone.iter().find(|entry| entry["user"].as_str() == Some(user.to_string().as_str()));
        entry.and_then(|entry| entry["why"][0]["reason"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!([3, 4, 7].map(reason), ["protected", "protected", "not found"]);
    let timelines = targets.iter().copied().filter(|user| *user != half);
    cluster.holds(&Truth::of(&emulator).timelines(timelines).followers(targets.clone())).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_are_known_and_not_crawled() -> Test {
    let emulator = accounts(20).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let everyone = everyone(&emulator);
    let (targets, seeds) = everyone.split_at(3);
    let list: String = seeds.iter().map(|seed| format!("{seed}\n")).collect();
    cluster.file("seeds", &list)?;
    let flags = ["-F", "-A", "--seeds", "seeds", "--traverse", "bfs"];
    let crawl = cluster.submit(targets, &flags).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.discovered), (3, 0));
    cluster.holds(&Truth::of(&emulator).followers(targets.iter().copied())).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_crawl_rests_and_a_cancelled_one_ends() -> Test {
    let emulator = accounts(60).faults(crate::world::slow(30)).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    cluster.crawl_until(crawl, "some are done", |crawl| crawl.counters.users.completed > 3).await?;
    cluster.ctl_json(&["crawl", "pause", &crawl.to_string()]).await?;
    let rests = cluster.crawl_until(crawl, "nothing runs", |crawl| crawl.leased == 0).await?;
    let requests = emulator.stats().total_requests();
    let other = cluster.submit(&targets[..2], &["-F"]).await?;
    cluster.finished(other).await?;
    let timelines = |stats: twm_tests::emulator::Stats| stats.requests_to(Endpoint::Timeline);
    assert!(timelines(emulator.stats()) <= requests, "nothing was fetched for it meanwhile");
    assert_eq!(cluster.crawl(crawl).await?.counters.users, rests.counters.users);
    cluster.ctl_json(&["crawl", "resume", &crawl.to_string()]).await?;
    let more = |view: &api::model::CrawlView| view.counters.users.completed > rests.counters.users.completed;
    cluster.crawl_until(crawl, "more are done", more).await?;
    cluster.ctl_json(&["crawl", "cancel", &crawl.to_string()]).await?;
    let over = cluster.crawl_until(crawl, "nothing runs", |crawl| crawl.leased == 0).await?;
    let users = over.counters.users;
    assert_eq!(users.completed + users.cancelled, 60, "{users:?}");
    cluster.drafts_removed().await?;
    cluster.finish().await
}
