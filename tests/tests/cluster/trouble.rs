//! Network failures.

use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone, mend};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_trouble_leaves_no_trace_in_the_dataset() -> Test {
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Reset,
        Fault::ResetBody,
        Fault::Cut,
        Fault::Truncated,
        Fault::NotUtf8,
        Fault::WrongTypes,
        Fault::MissingFields,
        Fault::Empty,
        Fault::Hang,
        Fault::Stall,
    ];
    let rules = faults.map(|fault| FaultRule::new(fault).probability(0.3).times(3)).into_iter();
    let twice = FaultRule::new(Fault::Duplicates).probability(0.2);
    let emulator = accounts(60).faults(rules.chain([twice]).collect()).start().await?;
    let flags = ["--request-timeout=1s", "--max-attempts=20"];
    let mut cluster = Cluster::builder().nodes(3).flags(flags).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60, "{:?}", view.counters);
    let retried: u64 = view.counters.operations.iter().map(|operation| operation.retried).sum();
    assert!(retried > 5, "{retried} attempts failed");
    assert!(emulator.stats().faults.len() > 9, "{:?}", emulator.stats().faults);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lasting_500_starves_nobody_and_is_retried_when_it_is_over() -> Test {
    let emulator = accounts(30).start().await?;
    let targets = everyone(&emulator);
    // As many accounts fail as there are workers.
    let rules =
        targets[..4].iter().map(|user| FaultRule::new(Fault::Status(500)).user(*user).at(Endpoint::Timeline));
    emulator.set_faults(rules.collect()).map_err(anyhow::Error::msg)?;
    let mut cluster = Cluster::builder().flags(["--max-attempts=3"]).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let others = |crawl: &api::model::CrawlView| crawl.counters.users.completed == 26;
    let view = cluster.crawl_until(crawl, "all others are done", others).await?;
    assert_eq!(view.counters.users.failed, 0, "the others are done first");
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (26, 4));

    let crawl = crawl.to_string();
    let errors = cluster.ctl_json(&["errors", "list", &crawl]).await?;
    let failed: Vec<_> =
        errors.iter().map(|error| error["user"].as_str().unwrap_or_default().to_owned()).collect();
    let mut expected: Vec<_> = targets[..4].iter().map(u64::to_string).collect();
    expected.sort_by_key(|user| failed.iter().position(|other| other == user));
    assert_eq!(failed, expected);
    for error in &errors {
        let why = &error["why"][0];
        assert_eq!(
            (why["operation"].as_str(), why["attempts"].as_u64()),
            (Some("timeline"), Some(3)),
            "{error}"
        );
        assert!(why["reason"].as_str().is_some_and(|reason| reason.contains("500")), "{error}");
        assert_eq!(error["why"].as_array().map(Vec::len), Some(1), "the followers were no problem: {error}");
    }

    mend(&emulator)?;
    assert_eq!(cluster.ctl_json(&["errors", "retry", &crawl]).await?[0]["retried"], 4);
    let view = cluster.finished(view.id).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (30, 0));
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_fails_its_account_and_nothing_else() -> Test {
    let emulator = accounts(12).start().await?;
    let targets = everyone(&emulator);
    let rule = |fault, user: u64, endpoint| FaultRule::new(fault).user(user).at(endpoint);
    let rules = vec![
        rule(Fault::Endless, targets[0], Endpoint::Timeline),
        rule(Fault::Looping, targets[1], Endpoint::Followers),
        rule(Fault::GzipBomb(1 << 32), targets[2], Endpoint::Timeline),
    ];
    emulator.set_faults(rules).map_err(anyhow::Error::msg)?;
    let flags = ["--request-timeout=2s", "--max-attempts=1"];
    let mut cluster = Cluster::builder().flags(flags).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    let looped = u64::from(emulator.expected_followers(targets[1]).len() > 5);
    assert_eq!(view.counters.users.failed, 2 + looped, "{:?}", view.counters);
    cluster.drafts_removed().await?;
    let good = |bad: &[u64]| targets.iter().copied().filter(|user| !bad.contains(user)).collect::<Vec<_>>();
    let looping = if looped == 1 { &targets[1..2] } else { &[] };
    let truth = Truth::of(&emulator).timelines(good(&[targets[0], targets[2]])).followers(good(looping));
    cluster.holds(&truth).await?;
    cluster.finish().await
}
