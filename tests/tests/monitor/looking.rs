//! The monitor's views.

use std::time::Duration;

use serde_json::json;
use twm_tests::browser::{Browser, Screen};
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::RateLimits;

use crate::world::{EVIL, TOKEN, Test, everyone, fail_one, slow_accounts, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_shows_the_living_cluster_from_any_node() -> Test {
    let limits: RateLimits = "timeline=3/10s".parse().map_err(anyhow::Error::msg)?;
    let emulator = slow_accounts(200).rate_limits(limits).start().await?;
    let mut cluster = Cluster::builder().nodes(3).addresses(2).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F", "--name", "two hundred"]).await?;
    let follower = cluster.follower().await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, follower)?).await?;
    browser.shows(&["Overview", "live", "two hundred", "running", "3 of 3", "this page's"]).await?;
    // The page updates by itself.
    let done = "return document.querySelector('svg.progress').getAttribute('aria-label')";
    let first = browser.run(done).await?;
    eventually("the page moves", async || Ok((browser.run(done).await? != first).then_some(()))).await?;
    // The budgets allow 18 pages of timelines in 10 s, and there are hundreds: most of the time all are used up.
    browser.shows(&["Needs attention", " for a rate budget", "more could run"]).await?;
    // Each of the two names its crawl.
    let nameless = "return [...document.querySelectorAll('ul.reasons li')].map((li) => li.textContent) \
                    .filter((text) => /rate budget/.test(text) && !text.startsWith('crawl 1: '))";
    assert_eq!(browser.run(nameless).await?, json!([]));
    browser.picture("overview").await?;

    browser.click("table a.strong").await?;
    browser.shows(&["two hundred", "What holds it up", "Operations", "completed", "ends "]).await?;
    browser.picture("crawl").await?;
    for (page, words) in [
        ("#/jobs", &["Jobs of node", "workers", "Others: node"][..]),
        ("#/stream", &["Stream of cluster", "granted", "completed"]),
        ("#/addresses", &["statuses/user_timeline", "spent"]),
        ("#/history", &["Accounts done", "Busy workers"]),
        ("#/log", &["Log of node", "session opened", "Others: node"]),
    ] {
        browser.click(&format!("nav a[href='{page}']")).await?;
        browser.shows(words).await?;
        browser.picture(page.trim_start_matches("#/")).await?;
    }
    // With the leader killed, the page reports the failure, through the new leader.
    let leader = cluster.leader().await?;
    browser.go("#/").await?;
    cluster.node(leader)?.kill().await?;
    browser.shows(&[&format!("node {leader} ("), "does not answer", "2 of 3"]).await?;
    // With its own node killed, the page reports the disconnection.
    cluster.node(follower)?.kill().await?;
    browser.shows(&["Disconnected from the node"]).await?;
    cluster.restart(follower).await?;
    eventually("the page is connected again", async || {
        Ok((!browser.text().await?.contains("Disconnected")).then_some(()))
    })
    .await?;
    browser.close().await?;
    cluster.twm_ctl(&["crawl", "cancel", &crawl.to_string()]).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_outside_is_text_and_nothing_else() -> Test {
    let emulator = slow_accounts(30).start().await?;
    let flags = format!("--monitor-token={TOKEN}");
    let cluster = Cluster::builder().workers(1).flags([&flags[..]]).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "--name", EVIL]).await?;
    let account = fail_one(cluster.client(), crawl, &format!("worse: {EVIL}")).await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, 1)?).await?;
    browser.shows(&[EVIL]).await?;
    browser.go(&format!("#/crawls/{crawl}")).await?;
    browser.shows(&[EVIL, "Errors (1)"]).await?;
    browser.go(&format!("#/crawls/{crawl}/errors")).await?;
    browser.shows(&[&account.to_string(), &format!("worse: {EVIL}")]).await?;
    browser.picture("errors").await?;
    let made = browser.run("return document.querySelectorAll('main img, main script').length").await?;
    assert_eq!(made, json!(0));
    assert_eq!(browser.complaints().await?, [""; 0]);
    // An injected script would not run.
    let forbidden = "const s = document.createElement('script'); s.textContent = 'window.ran = true'; \
                     document.body.append(s); return window.ran ?? false";
    assert_eq!(browser.run(forbidden).await?, json!(false));
    assert_eq!(browser.complaints().await?, ["forbidden: script-src-elem"]);
    browser.close().await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_in_the_dark_shows_all_without_sideways_scrolling() -> Test {
    let emulator = slow_accounts(60).start().await?;
    let cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let crawl =
        cluster.submit(&everyone(&emulator), &["-T", "-F", "--name", &"long-name-".repeat(12)]).await?;
    fail_one(cluster.client(), crawl, &"https://example.org/a/very/long/address".repeat(8)).await?;
    let browser = Browser::open(Screen::DarkPhone, &url(&cluster, 1)?).await?;
    let pages = ["#/", "#/jobs", "#/stream", "#/addresses", "#/history", "#/log"].map(str::to_owned);
    let of_crawl = ["", "/errors", "/gone"].map(|page| format!("#/crawls/{crawl}{page}"));
    for page in pages.into_iter().chain(of_crawl) {
        browser.go(&page).await?;
        eventually("the page is there", async || {
            let loading = browser.run("return document.querySelector('main h1, main h2') === null").await?;
            Ok((loading == json!(false)).then_some(()))
        })
        .await?;
        let widths = browser.run("return [document.documentElement.scrollWidth, innerWidth]").await?;
        assert_eq!(widths, json!([390, 390]), "{page}");
        browser.picture(&format!("phone{}", page.replace(['#', '/'], "-"))).await?;
    }
    let ground = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).every(c => c < 60)";
    assert_eq!(browser.run(ground).await?, json!(true), "the page is dark as the system");
    let toggle = "document.getElementById('theme').click(); return document.documentElement.dataset.theme";
    assert_eq!(browser.run(toggle).await?, json!("light"));
    assert_eq!(browser.run(ground).await?, json!(false), "the choice goes before the system");
    browser.close().await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_majority_tells_what_it_knows() -> Test {
    let emulator = slow_accounts(20).start().await?;
    let mut cluster =
        Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "--name", "cut off"]).await?;
    cluster.finished(crawl).await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, 1)?).await?;
    browser.shows(&["cut off", "finished"]).await?;
    for id in [2, 3] {
        cluster.node(id)?.kill().await?;
    }
    browser.shows(&["majority of the nodes", "this is what node 1 knows by itself", "cut off"]).await?;
    browser.close().await?;
    for id in [2, 3] {
        cluster.node(id)?.start()?;
    }
    cluster.ready().await?;
    cluster.finish().await
}
