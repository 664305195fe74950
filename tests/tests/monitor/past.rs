//! The history of several days, from a real Graphite.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storage::env::{Clock, SystemClock};
use tempfile::TempDir;
use twm_tests::browser::{Browser, Screen};
use twm_tests::carbon::Carbon;
use twm_tests::cluster::{Cluster, Page, Program, ended, eventually};
use twm_tests::graphite_web::GraphiteWeb;

use crate::world::{Test, url};

/// Interval of the points sent, in seconds.
const EVERY: u64 = 30;
/// Age of the oldest point, in seconds.
const BACK: u64 = 3 * 3600;
const ENTER: &str = "\u{e007}";

/// Sends the points of a three-hour crawl to carbon with `twm-stats`: ten tweets a second, five of them by node-1.
/// Returns the first and the last second.
async fn three_hours(carbon: &Carbon) -> anyhow::Result<(u64, u64)> {
    let last = SystemClock::new().wall().as_secs();
    let first = last - BACK;
    let mut text = String::new();
    for at in (first..=last).step_by(EVERY as usize) {
        let tweets = 10 * (at - first);
        write!(
            text,
            "timeline.total_fetched {tweets} {at}\ntimeline.total_included {tweets} {at}\n\
             follower.total_fetched {} {at}\nstats.worker.ongoing.timeline 8 {at}\n\
             stats.worker.completed.timeline {} {at}\nstats.ops.timeline.node-1 {} {at}\n",
            tweets / 4,
            tweets / 100,
            5 * EVERY,
        )?;
    }
    let folder = TempDir::with_prefix("twm-past-")?;
    let file = folder.path().join("stats");
    fs::write(&file, text)?;
    let sent =
        ended(Program::Stats.command()?.args(["--carbon", &carbon.address(), "--replay"]).arg(file)).await?;
    ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    Ok((first, last))
}

/// Waits until Graphite renders all points of a counter as they were sent.
async fn rendered(web: &GraphiteWeb, first: u64, last: u64) -> Test {
    let query = format!("target=timeline.total_fetched&from={}&until={last}", first - 1);
    eventually("Graphite renders all that was sent", async || {
        let answer = web.render(&query).await?;
        let Some(points) = answer[0]["datapoints"].as_array() else { return Ok(None) };
        let point = |point: &Value| Some((point[1].as_u64()?, point[0].as_f64()?));
        let points: Vec<_> = points.iter().filter_map(point).collect();
        let sent = (first..=last).step_by(EVERY as usize).map(|at| (at, (10 * (at - first)) as f64));
        Ok((points == sent.collect::<Vec<_>>()).then_some(()))
    })
    .await
}

/// A column of a history's points, without missing values.
fn column(history: &Value, field: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let fields = history["fields"].as_array().context("no fields")?;
    let place =
        fields.iter().position(|name| name == field).with_context(|| format!("no {field}: {fields:?}"))?;
    let points = history["points"].as_array().context("no points")?;
    Ok(points.iter().filter_map(|point| Some((point[0].as_f64()?, point[place].as_f64()?))).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_statistics_sent_to_graphite_is_rendered_there_and_shown_by_the_monitor() -> Test {
    let carbon = Carbon::start().await?;
    let mut web = GraphiteWeb::before(&carbon).await?;
    let (first, last) = three_hours(&carbon).await?;
    rendered(&web, first, last).await?;
    let flag = format!("--graphite-url=http://{}", web.address());
    let cluster = Cluster::builder().flags([flag.as_str()]).start().await?;
    let monitor = url(&cluster, 1)?;

    let browser = Browser::open(Screen::Desk, &monitor).await?;
    browser.go("#/history").await?;
    browser.shows(&["Accounts done", "As node 1 remembers it since its start"]).await?;
    browser.send_keys("button[data-key='6h']", ENTER).await?;
    browser.shows(&["From Graphite, of the whole cluster", "Jobs done", "Fetched by node-1"]).await?;
    let pressed =
        "return document.activeElement.dataset.key + document.activeElement.getAttribute('aria-pressed')";
    assert_eq!(browser.run(pressed).await?, "6htrue", "the keyboard stays where it is");
    browser.picture("graphite").await?;
    web.kill().await?;
    // No week was requested yet, so no answer for one is cached.
    browser.send_keys("button[data-key='week']", ENTER).await?;
    browser
        .shows(&["does not answer", "graphite-web", "what node 1 remembers itself", "Accounts done"])
        .await?;
    browser.picture("graphite-away").await?;
    web.restart().await?;
    browser.shows(&["From Graphite, of the whole cluster"]).await?;
    browser.close().await?;

    for (range, step) in [("6h", 60), ("day", 300), ("week", 1800)] {
        let address = monitor.trim_start_matches("http://").trim_end_matches('/');
        let page = Page::get(address, &format!("/api/v1/history?range={range}")).await?;
        let history: Value = serde_json::from_str(&page.body)?;
        assert_eq!((&history["source"], &history["step_s"]), (&json!("graphite"), &json!(step)), "{history}");
        let tweets = column(&history, "timeline.total_fetched")?;
        // The newest step is included once half of it has passed.
        let newest = tweets.last().map_or(0.0, |point| point.1);
        assert!(newest >= 10.0 * (BACK as f64 - f64::from(step)), "{range}: {newest}");
        // Inner points are whole steps apart, with the values at the ends of their steps.
        for two in tweets[1..tweets.len() - 1].windows(2) {
            let (seconds, more) = ((two[1].0 - two[0].0) / 1000.0, two[1].1 - two[0].1);
            assert!(seconds == f64::from(step) && more == seconds * 10.0, "{range}: {two:?}");
        }
        let node = column(&history, "stats.ops.node-1")?;
        let whole = node.iter().filter(|point| point.1 == 5.0).count();
        assert!(whole + 3 >= node.len(), "{range}: {node:?}");
        let running = column(&history, "stats.worker.ongoing.timeline")?;
        assert!(running.iter().all(|point| point.1 == 8.0), "{range}: {running:?}");
    }
    cluster.finish().await
}
