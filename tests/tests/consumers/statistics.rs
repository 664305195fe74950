//! `twm-stats`: counters and events, written to Graphite and a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use redis::AsyncCommands as _;
use tempfile::TempDir;
use tokio::time::timeout;
use twm_tests::carbon::Carbon;
use twm_tests::cluster::{DEADLINE, Program, ended, eventually};
use twm_tests::redis_server::{RedisSentinel, RedisServer};
use twm_tests::server_process::free_port;

use twm_tests::consumer::Consumer;

const COUNTER: &str = "timeline.total_fetched";

/// A `twm-stats` that writes to a file, and to carbon if there is one.
pub struct Statistics {
    pub consumer: Consumer,
    folder: TempDir,
}

impl Statistics {
    /// Starts a `twm-stats`.
    pub fn start(redis: &str, carbon: Option<&Carbon>) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-stats-")?;
        let file = folder.path().join("stats.gz");
        let mut arguments = vec!["--redis".to_owned(), redis.to_owned()];
        arguments.extend(["--file".to_owned(), file.display().to_string()]);
        if let Some(carbon) = carbon {
            arguments.extend(["--carbon".to_owned(), carbon.address()]);
        }
        let consumer = Consumer::start(Program::Stats, folder.path(), arguments)?;
        Ok(Self { consumer, folder })
    }

    /// The file of the points.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("stats.gz")
    }

    /// Waits until the file grows.
    async fn goes_on(&self) -> anyhow::Result<()> {
        let before = std::fs::metadata(self.file())?.len();
        let goes_on = eventually("it continues", async || {
            let grown = std::fs::metadata(self.file())?.len() != before;
            Ok((grown && text(&self.file()).is_ok()).then_some(()))
        });
        goes_on.await.with_context(|| self.consumer.log())
    }

    /// Waits until the file has this many more seconds.
    async fn seconds_pass(&self, seconds: usize) -> anyhow::Result<()> {
        let count = || anyhow::Ok(points(&text(&self.file())?)?.get(COUNTER).map_or(0, BTreeMap::len));
        let enough = count()? + seconds;
        let waited = eventually("seconds are written", async || Ok((count()? >= enough).then_some(()))).await;
        waited.with_context(|| self.consumer.log())
    }
}

/// The whole file, which must be readable to its end.
pub fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.exists() {
        MultiGzDecoder::new(File::open(file)?).read_to_string(&mut text).context("the file is not whole")?;
    }
    Ok(text)
}

/// The points by label, then second.
pub fn points(text: &str) -> anyhow::Result<BTreeMap<&str, BTreeMap<u64, f64>>> {
    ensure!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    let mut points: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        ensure!(words.len() == 3, "no point: {line:?}");
        points.entry(words[0]).or_default().insert(words[2].parse()?, words[1].parse()?);
    }
    Ok(points)
}

/// Waits until carbon has stored exactly the file's points of a label.
async fn carbon_has(carbon: &Carbon, label: &str, expected: &BTreeMap<u64, f64>) -> anyhow::Result<()> {
    let first = *expected.keys().next().context("no points")?;
    let last = *expected.keys().next_back().context("no points")?;
    let has = eventually("carbon has the same points", async || {
        Ok((carbon.points(label, first, last).await? == *expected).then_some(()))
    });
    has.await.with_context(|| format!("{label}: {expected:?}"))
}

#[tokio::test]
async fn counters_each_second_and_events_are_the_same_in_the_file_and_in_graphite() -> anyhow::Result<()> {
    let (redis, carbon) = (RedisServer::with_password("s3cret").await?, Carbon::start().await?);
    let mut mirror = redis.connection().await?;
    let _: () = mirror.set(COUNTER, 41).await?;
    let _: () = mirror.set("stats.worker.ongoing.follower", "7").await?;
    let mut statistics = Statistics::start(&redis.url(), Some(&carbon))?;
    statistics.seconds_pass(2).await?;
    statistics.consumer.says("connected to carbon").await?;
    let _: () = mirror.incr(COUNTER, 1).await?;
    let _: () = mirror.publish("stats.ops.timeline.w1", "[200, 1700000000]").await?;
    statistics.seconds_pass(3).await?;
    statistics.consumer.stop().await?;

    let text = text(&statistics.file())?;
    let points = points(&text)?;
    assert_eq!(points.len(), 16, "15 counters and the event: {:?}", points.keys());
    assert_eq!(points["stats.ops.timeline.w1"], BTreeMap::from([(1_700_000_000, 200.0)]));
    let fetched = &points[COUNTER];
    assert!(fetched.values().any(|value| *value == 41.0) && fetched.values().any(|value| *value == 42.0));
    assert!(points["stats.worker.ongoing.follower"].values().all(|value| *value == 7.0));
    assert!(points["update.total_included"].values().all(|value| *value == 0.0));
    // Points from before the connection to carbon were not sent live; a replay sends them.
    replay(&statistics.file(), &carbon.address()).await?;
    carbon_has(&carbon, COUNTER, fetched).await?;
    carbon_has(&carbon, "stats.worker.ongoing.follower", &points["stats.worker.ongoing.follower"]).await
}

async fn replay(file: &Path, carbon: &str) -> anyhow::Result<String> {
    let mut command = Program::Stats.command()?;
    command.args(["--carbon", carbon, "--replay"]).arg(file);
    let output = ended(&mut command).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn carbon_gone_costs_the_file_nothing_and_live_points_come_when_it_is_back() -> anyhow::Result<()> {
    let (redis, mut carbon) = (RedisServer::start().await?, Carbon::start().await?);
    let mut statistics = Statistics::start(&redis.url(), Some(&carbon))?;
    statistics.consumer.says("connected to carbon").await?;
    statistics.seconds_pass(2).await?;
    carbon.kill().await?;
    statistics.consumer.says("live points are dropped until it is back").await?;
    statistics.seconds_pass(2).await?;
    carbon.restart().await?;
    let came_back = || statistics.consumer.log().matches("connected to carbon").count() == 2;
    eventually("it is connected again", async || Ok(came_back().then_some(()))).await?;
    statistics.seconds_pass(3).await?;
    statistics.consumer.stop().await?;
    let log = statistics.consumer.log();
    assert!(!log.contains("no more points for carbon dropped=0"), "dropped points are counted: {log}");

    let text = text(&statistics.file())?;
    let points = points(&text)?;
    let seconds: Vec<_> = points[COUNTER].keys().copied().collect();
    let gap = seconds.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap <= Some(3), "the file has all seconds: {seconds:?}");
    // The last second was sent over the new connection.
    let last = *seconds.last().context("no seconds")?;
    eventually("carbon has the last point", async || {
        Ok((!carbon.points(COUNTER, last, last).await?.is_empty()).then_some(()))
    })
    .await?;
    // A replay fills the gap.
    let replayed = replay(&statistics.file(), &carbon.address()).await?;
    assert_eq!(replayed, format!("{} points sent\n", text.lines().count()));
    carbon_has(&carbon, COUNTER, &points[COUNTER]).await
}

#[tokio::test]
async fn redis_gone_and_back_costs_only_the_time_between() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await?;
    let mut statistics = Statistics::start(&redis.url(), None)?;
    statistics.seconds_pass(2).await?;
    redis.kill().await?;
    statistics.consumer.says("trying again in").await?;
    redis.restart().await?;
    statistics.seconds_pass(2).await?;
    // The connection to a silent server is dropped as well.
    let given_up = || statistics.consumer.log().matches("trying again in").count();
    let before = given_up();
    redis.process().freeze()?;
    eventually("it is given up", async || Ok((given_up() > before).then_some(()))).await?;
    redis.process().thaw()?;
    statistics.seconds_pass(2).await?;
    let heard: i32 = redis.connection().await?.publish("stats.ops.update.w", "[1, 5]").await?;
    assert!(heard >= 1, "it subscribed again");
    statistics.seconds_pass(1).await?;
    statistics.consumer.stop().await?;
    assert!(text(&statistics.file())?.contains("stats.ops.update.w 1 5\n"));
    Ok(())
}

#[tokio::test]
async fn through_sentinels_statistics_go_on_after_a_failover() -> anyhow::Result<()> {
    let mut master = RedisServer::with_password("s3cret").await?;
    let _replica = master.replica().await?;
    let sentinel = RedisSentinel::watching(&master, "crawl").await?;
    eventually("the sentinel knows the replica", async || {
        Ok((sentinel.replicas("crawl").await? == 1).then_some(()))
    })
    .await?;
    let url = format!("redis+sentinel://:s3cret@127.0.0.1:{}/crawl", sentinel.port());
    let mut statistics = Statistics::start(&url, None)?;
    statistics.seconds_pass(2).await?;
    master.kill().await?;
    statistics.consumer.says("trying again in").await?;
    statistics.seconds_pass(2).await?;
    statistics.consumer.stop().await?;
    assert!(!statistics.consumer.log().contains("s3cret"), "{}", statistics.consumer.log());
    Ok(())
}

/// Fault 4 of the original: one bad pub/sub message ended the service.
#[tokio::test]
async fn fault_4_one_bad_pub_sub_message_never_ends_the_statistics() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let _: () = mirror.set("update.total_fetched", "no number").await?;
    let _: () = mirror.rpush("analyzer.total_fetched", "a list").await?;
    let mut statistics = Statistics::start(&redis.url(), None)?;
    statistics.seconds_pass(1).await?;
    for bad in
        [&b"no json"[..], b"", b"[]", b"[1]", b"{\"a\":1}", b"[\"x\",2]", b"\xff\xfe", &[b'['; 1_000_000]]
    {
        let _: () = mirror.publish("stats.ops.timeline.w1", bad).await?;
    }
    let _: () = mirror.publish("stats.ops.bad name", "[1, 2]").await?;
    let _: () = mirror.publish(&b"stats.ops.\xff"[..], "[1, 2]").await?;
    let _: () = mirror.publish("stats.ops.timeline.w1", "[3, 4]").await?;
    statistics.seconds_pass(2).await?;
    assert!(statistics.consumer.runs()?);
    statistics.consumer.stop().await?;
    let text = text(&statistics.file())?;
    let points = points(&text)?;
    assert_eq!(points["stats.ops.timeline.w1"], BTreeMap::from([(4, 3.0)]));
    assert_eq!(points.keys().filter(|label| label.starts_with("stats.ops") || **label == "?").count(), 1);
    assert!(!points.contains_key("update.total_fetched") && points[COUNTER].len() >= 3);
    assert!(statistics.consumer.log().contains("hold no number"), "{}", statistics.consumer.log());
    Ok(())
}

/// Each kill happens once the file has grown by this many bytes while events arrive: before anything is written,
/// during the first write, during one that is being synced, and during later ones.
#[tokio::test]
async fn the_file_is_whole_after_a_kill_at_any_moment_and_goes_on() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let mut statistics = Statistics::start(&redis.url(), None)?;
    let mut before = String::new();
    statistics.seconds_pass(1).await?;
    for growth in [0, 1, 100, 5_000, 10_000, 20_000, 40_000, 80_000] {
        let size = || anyhow::Ok(std::fs::metadata(statistics.file())?.len());
        let enough = size()? + growth;
        let rush = async {
            let mut event = 0_u64;
            while event < 200 || size()? < enough {
                // Values that compress badly cause large writes.
                let messages = (0..50).map(|n| (event + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut batch = redis::pipe();
                for value in messages {
                    batch.publish("stats.ops.follower.w", format!("[{value}, {growth}]")).ignore();
                }
                let () = batch.query_async(&mut mirror).await?;
                event += 50;
            }
            anyhow::Ok(())
        };
        timeout(DEADLINE, rush).await.context("the file does not grow")??;
        statistics.consumer.kill().await?;
        let now = text(&statistics.file())?;
        assert!(now.starts_with(&before), "what was written stays");
        points(&now)?;
        before = now;
        statistics.consumer.restart()?;
        statistics.goes_on().await?;
        assert!(text(&statistics.file())?.starts_with(&before), "whole again, with all that was readable");
    }
    statistics.consumer.stop().await?;
    assert!(text(&statistics.file())?.starts_with(&before));
    Ok(())
}

#[tokio::test]
async fn bad_calls_are_answered_with_what_is_wrong_and_their_exit_code() -> anyhow::Result<()> {
    let away = format!("127.0.0.1:{}", free_port()?);
    let folder = TempDir::with_prefix("twm-stats-")?;
    let empty = folder.path().join("plain");
    std::fs::write(&empty, "a 1 2\nno point\nb 2 3\n")?;
    let (empty, missing) = (empty.display().to_string(), folder.path().join("missing").display().to_string());
    for (arguments, code, words) in [
        (vec!["--redis", "redis://:s3cret@a:0", "--carbon", "a:1"], 2, "a port is no number from 1 to 65535"),
        (vec!["--redis", "redis://a"], 2, "--file"),
        (vec!["--file", "/proc/none/file"], 1, "cannot open /proc/none/file"),
        (vec!["--carbon", &away, "--replay", &empty], 1, "took 0 points"),
        (vec!["--carbon", &away, "--replay", &missing], 1, "check the path"),
    ] {
        let output = ended(Program::Stats.command()?.args(&arguments)).await?;
        let error = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words) && !error.contains("s3cret"), "{arguments:?}: {error}");
    }
    Ok(())
}
