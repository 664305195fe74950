//! Actions in the monitor.

use api::model::CrawlPhase;
use serde_json::json;
use twm_tests::browser::{Browser, Screen};
use twm_tests::cluster::{Cluster, Page, eventually};

use crate::world::{TOKEN, Test, everyone, fail_one, slow_accounts, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_with_the_token_pauses_resumes_retries_and_cancels() -> Test {
    // Enough accounts that the crawl still runs when it is cancelled, however slow the browser is.
    let emulator = slow_accounts(1_000).start().await?;
    let flags = format!("--monitor-token={TOKEN}");
    let cluster =
        Cluster::builder().nodes(3).workers(1).flags([&flags[..]]).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T", "-F", "--name", "paused here"]).await?;
    let account = fail_one(cluster.client(), crawl, "the reason that a test gives").await?;
    // Through a follower, which forwards to the leader.
    let browser = Browser::open(Screen::Desk, &url(&cluster, cluster.follower().await?)?).await?;
    browser.go(&format!("#/crawls/{crawl}")).await?;
    browser.click("button[data-key=pause]").await?;
    browser.send_keys("#token", "not the token\n").await?;
    browser.shows(&["the token is not that of --monitor-token"]).await?;
    browser.send_keys("#token", &format!("{TOKEN}\n")).await?;
    browser.shows(&["an operator has paused the crawl"]).await?;
    assert_eq!(cluster.crawl(crawl).await?.phase, CrawlPhase::Paused);
    browser.picture("paused").await?;
    // The token is requested once and kept only in this tab.
    browser.click("button[data-key=resume]").await?;
    cluster.crawl_until(crawl, "it runs again", |crawl| crawl.phase == CrawlPhase::Running).await?;
    assert_eq!(browser.run("return localStorage.length + document.cookie.length").await?, json!(0));

    browser.go(&format!("#/crawls/{crawl}/errors")).await?;
    browser.shows(&[&account.to_string(), "the reason that a test gives"]).await?;
    browser.click(&format!("button[aria-label='Retry account {account}']")).await?;
    cluster
        .crawl_until(crawl, "the account is tried again", |crawl| crawl.counters.users.failed == 0)
        .await?;
    browser.shows(&["No account has failed"]).await?;

    browser.go(&format!("#/crawls/{crawl}")).await?;
    browser.click("button[data-key=cancel]").await?;
    browser.shows(&["This cannot be undone"]).await?;
    browser.click("dialog button[type=submit]").await?;
    cluster.crawl_until(crawl, "it is cancelled", |crawl| crawl.phase == CrawlPhase::Cancelled).await?;
    browser.shows(&["cancelled after"]).await?;
    browser.close().await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_buttons_are_off_and_say_why() -> Test {
    let emulator = slow_accounts(100).start().await?;
    let mut cluster = Cluster::builder().workers(1).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, 1)?).await?;
    browser.go(&format!("#/crawls/{crawl}")).await?;
    browser.shows(&["Actions are off: start the node with --monitor-token"]).await?;
    let off = "return [...document.querySelectorAll('.head button')].every(button => button.disabled)";
    assert_eq!(browser.run(off).await?, json!(true));
    let url = format!("/api/v1/crawls/{crawl}/pause");
    browser.run(&format!("fetch('{url}', {{method: 'POST'}}).then(a => window.answered = a.status)")).await?;
    eventually("the node has answered", async || {
        let status = browser.run("return window.answered ?? null").await?;
        Ok(status.as_u64())
    })
    .await
    .map(|status| assert_eq!(status, 403))?;
    assert_eq!(cluster.crawl(crawl).await?.phase, CrawlPhase::Running);
    browser.close().await?;
    // A client that is not a browser still gets text.
    let index: Page = cluster.node(1)?.page("/").await?;
    assert!(index.body.starts_with("twm-node 1 of cluster"), "{}", index.body);
    cluster.twm_ctl(&["crawl", "cancel", &crawl.to_string()]).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_monitor_can_be_used_with_the_keyboard_alone() -> Test {
    let emulator = slow_accounts(40).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    cluster.submit(&everyone(&emulator), &["-T", "--name", "by keys"]).await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, 1)?).await?;
    browser.shows(&["by keys"]).await?;
    let focus = "return document.activeElement.textContent";
    let key = '\u{e004}'.to_string();
    browser.send_keys("body", &key).await?;
    assert_eq!(browser.run(focus).await?, json!("Skip to the content"));
    // Tab to the crawl's link and open it; redrawing the page in the meantime does not move the focus.
    let mut seen = Vec::new();
    for _ in 0..40 {
        browser.send_keys(":focus", &key).await?;
        let at = browser.run(focus).await?;
        if at.as_str().is_some_and(|at| at.contains("by keys")) {
            browser.send_keys(":focus", "\u{e007}").await?;
            browser.shows(&["What was asked for"]).await?;
            browser.close().await?;
            return cluster.finish().await;
        }
        seen.push(at);
    }
    anyhow::bail!("the crawl's link is not reached: {seen:?}")
}
