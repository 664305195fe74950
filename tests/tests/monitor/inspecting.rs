//! The tweets page, with a real indexer.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use twm_tests::browser::{Browser, Screen};
use twm_tests::cluster::{Cluster, Page, Program, eventually};
use twm_tests::consumer::Consumer;
use twm_tests::emulator::{Builder, Emulator};
use twm_tests::redis_server::RedisServer;
use twm_tests::server_process::free_port;

use crate::world::{EVIL, Test, everyone, url};

/// The bundled fixture.
fn fixture() -> Builder {
    Emulator::builder().dataset(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture"))
}

/// A cluster that has crawled the fixture into an index, and one malicious tweet.
struct World {
    cluster: Cluster,
    indexer: Consumer,
    _redis: RedisServer,
    _folder: TempDir,
}

async fn crawled() -> anyhow::Result<World> {
    let emulator = fixture().start().await?;
    let redis = RedisServer::start().await?;
    let folder = TempDir::with_prefix("twm-indexer-")?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let (mirror, data) = (redis.url(), folder.path().join("data").display().to_string());
    let arguments = ["--embedded", "--redis", &mirror, "--listen", &address, "--data-dir", &data];
    let indexer = Consumer::start(Program::Indexer, folder.path(), arguments)?;
    let flags = [format!("--redis={mirror}"), format!("--indexer=http://{address}")];
    let cluster =
        Cluster::builder().flags(flags.iter().map(String::as_str)).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    cluster.finished(crawl).await?;
    let evil = json!({
        "id": 99, "id_str": "99", "text": EVIL, "created_at": "Sat Jan 03 00:00:00 +0000 2026",
        "user": { "screen_name": EVIL }, "entities": { "hashtags": [{ "text": EVIL }] },
        "coordinates": { "coordinates": [12.5, 41.9] },
    });
    let mut connection = redis.connection().await?;
    let mut add = redis::cmd("XADD");
    add.arg("twm:tweets").arg("*").arg("id").arg(99).arg("json").arg(evil.to_string());
    let _: String = add.query_async(&mut connection).await?;
    eventually("all is indexed", async || {
        let Ok(page) = Page::get(&address, "/status").await else { return Ok(None) };
        let status: serde_json::Value = serde_json::from_str(&page.body)?;
        Ok((status["tweets"] == 2_635).then_some(()))
    })
    .await?;
    Ok(World { cluster, indexer, _redis: redis, _folder: folder })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tweets_page_shows_what_was_crawled_and_takes_it_for_text() -> Test {
    let World { cluster, mut indexer, _redis, _folder } = crawled().await?;
    // The page's address in the original.
    let browser = Browser::open(Screen::Desk, &format!("{}inspect", url(&cluster, 1)?)).await?;
    browser.shows(&["2,635 found", "Tweets over time", "Hashtags", "274 tweets with a place", EVIL]).await?;
    browser.picture("inspect").await?;
    let drawn = "return ['.bar', '.map .dot', '.shares li', '.tweets li', 'main img, main script'].map(what => document.querySelectorAll(what).length)";
    let drawn = browser.run(drawn).await?;
    let many = |place: usize| drawn[place].as_u64().unwrap_or(0);
    assert!(many(0) > 10 && many(1) > 50 && many(2) == 25 && many(3) == 20 && many(4) == 0, "{drawn}");

    // With the keyboard only: type a query and press Enter.
    browser.send_keys("input[name=query]", "@lea7\u{e007}").await?;
    eventually("less is found", async || Ok((!browser.text().await?.contains("2,635 found")).then_some(())))
        .await?;
    browser.shows(&["@lea7"]).await?;
    // The browser refuses an invalid date; an inverted range gets an error message.
    browser.run("const f = document.getElementById('question').elements; f.query.value = ''; f.from.value = '2013-05-02'; f.to.value = '2013-05-01'").await?;
    browser.click("#question button").await?;
    browser.shows(&["`from` is not before `to`"]).await?;
    browser.run("document.getElementById('question').elements.to.value = '2013-05-20'").await?;
    browser.click("#question button").await?;
    browser.shows(&["Tweets over time", "2013-05-02"]).await?;
    browser.click(".shares .tag").await?;
    eventually("a hashtag is looked at", async || {
        let share = browser.run("return document.querySelector('.shares .number')?.innerText").await?;
        Ok((share == json!("100.0 %")).then_some(()))
    })
    .await?;
    browser.click(".chart-now button").await?;
    browser.picture("inspect-near").await?;

    // An unreachable indexer is reported.
    indexer.kill().await?;
    browser.click("#question button").await?;
    browser.shows(&["look whether twm-indexer runs there"]).await?;
    indexer.restart()?;
    assert_eq!(browser.complaints().await?, [""; 0]);
    browser.close().await?;

    let phone = Browser::open(Screen::DarkPhone, &format!("{}#/inspect", url(&cluster, 1)?)).await?;
    phone.shows(&["Tweets over time", "Newest tweets"]).await?;
    let widths = phone.run("return [document.documentElement.scrollWidth, innerWidth]").await?;
    assert_eq!(widths, json!([390, 390]));
    phone.picture("inspect-phone").await?;
    phone.run("document.querySelector('.map').scrollIntoView({ block: 'center' })").await?;
    phone.picture("inspect-phone-map").await?;
    phone.run("document.querySelector('.tweets').scrollIntoView()").await?;
    phone.picture("inspect-phone-tweets").await?;
    phone.close().await?;
    indexer.stop().await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_indexer_the_page_says_what_to_do() -> Test {
    let emulator = fixture().start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let browser = Browser::open(Screen::Desk, &url(&cluster, 1)?).await?;
    browser.click("nav a[href='#/inspect']").await?;
    browser.shows(&["start the node with --indexer URL"]).await?;
    browser.close().await?;
    cluster.finish().await
}
