//! Budgets that belong to the cluster.

use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::{Emulator, Endpoint};

use crate::world::{Test, everyone, population};

/// Requests in a window.
const BUDGET: u64 = 300;

/// Crawls with five nodes that share one budget of 300 requests a window of so many seconds, and kills one of them in
/// each window. Prints what was used of the whole windows.
async fn kill_one_in_each_window(flag: &str, seconds: u64, windows: usize) -> Test {
    let budget = format!("timeline={BUDGET}/{seconds}s").parse().map_err(anyhow::Error::msg)?;
    let accounts = BUDGET * (windows as u64 + 2);
    let emulator = Emulator::builder()
        .synthetic(population(accounts))
        .count_users(true)
        .rate_limits(budget)
        .start()
        .await?;
    // All nodes come from one address, so that the emulator's budget is that of the token, or of the NAT.
    let builder = Cluster::builder().nodes(5).one_address().flags([flag]);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    let counted = || emulator.stats().windows_of(Endpoint::Timeline);
    for window in 1..=windows {
        eventually("a third of a window is used", async || {
            let counted = counted();
            let used = counted.get(window - 1).is_some_and(|used| *used >= BUDGET / 3);
            Ok((used || counted.len() > window).then_some(()))
        })
        .await?;
        let node = 1 + (window as u64) % 5;
        cluster.node(node)?.kill().await?;
        cluster.restart(node).await?;
    }
    eventually("the last window is over", async || Ok((counted().len() > windows).then_some(()))).await?;
    let stats = emulator.stats();
    assert_eq!(stats.total_violations(), 0, "{:?}", stats.windows);
    let whole = &counted()[..windows];
    let used: u64 = whole.iter().sum();
    println!("used {used} of {} requests: {whole:?}", BUDGET * windows as u64);
    // A share that is lost with each kill is small. How small is measured, not tested: it depends on the machine.
    assert!(used * 2 > BUDGET * windows as u64, "only {whole:?} were used");
    cluster.twm_ctl(&["crawl", "cancel", &crawl.to_string()]).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_with_one_token_send_no_request_beyond_its_budget_while_they_are_killed() -> Test {
    kill_one_in_each_window("--api-token=secret", 12, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_one_nat_share_the_budget_of_its_address() -> Test {
    let budget = "timeline=40/3s".parse().map_err(anyhow::Error::msg)?;
    let emulator = Emulator::builder().synthetic(population(120)).rate_limits(budget).start().await?;
    let builder = Cluster::builder().nodes(3).one_address().flags(["--nat=office"]);
    let mut cluster = builder.crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    cluster.finished(crawl).await?;
    let stats = emulator.stats();
    assert_eq!(stats.total_violations(), 0, "{:?}", stats.windows);
    cluster.drafts_removed().await?;
    cluster.finish().await
}

/// The number to reach is 95 %. `cargo test -p twm-tests --test cluster how_much_is_used -- --ignored --nocapture` prints it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for five minutes"]
async fn how_much_is_used_of_windows_of_a_minute() -> Test {
    kill_one_in_each_window("--api-token=secret", 60, 5).await
}
