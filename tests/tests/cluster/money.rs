//! A crawl of a network that charges: the bill is never over a limit, whoever dies, and nothing is missing at the end.

use std::path::Path;
use std::time::Duration;

use api::model::{CrawlId, CrawlView};
use storage::dataset::{Account, Dataset, FilesDataset, FilesOptions};
use storage::ids::UserId;
use twm_tests::cluster::{Cluster, Output, eventually};
use twm_tests::emulator::x::{Billing, XBuilder, XEmulator};
use twm_tests::redis_server::RedisServer;

use crate::world::{Test, accounts, population};

const APPS: [&str; 2] = ["one", "two"];
/// Seconds of a billing cycle.
const CYCLE: u64 = 15;

/// A double with two apps and short billing cycles.
fn double(accounts: u64) -> XBuilder {
    let billing = Billing { cycle: Duration::from_secs(CYCLE), ..Billing::default() };
    let double = XEmulator::builder(population(accounts)).billing(billing);
    APPS.iter().fold(double, |double, app| double.app(app, &token(app)))
}

fn token(app: &str) -> String {
    format!("token-of-{app}")
}

/// Settings with a source `net`, whose apps may spend this much in a cycle.
fn settings(folder: &Path, double: &XEmulator, limit: &str) -> anyhow::Result<String> {
    let mut text = format!(
        "[source.net]\nkind = \"x\"\ncontact = \"me@example.org\"\napi-url = \"{}/2/\"\nposts-page = 20\n",
        double.url()
    );
    for app in APPS {
        std::fs::write(folder.join(format!("{app}.token")), token(app))?;
        text.push_str(&format!(
            "[source.net.apps.{app}]\ntoken-file = \"{app}.token\"\nlimit = \"{limit}\"\ncycle-seconds = {CYCLE}\ncycle-margin = 2\n"
        ));
    }
    let file = folder.join("money.toml");
    std::fs::write(&file, text)?;
    Ok(format!("--config={}", file.display()))
}

/// Submits accounts of the double, as soon as the cluster counts money.
async fn submit(cluster: &Cluster, users: &[u64], how: &[&str]) -> anyhow::Result<CrawlId> {
    let how = [&["--source=net"], how].concat();
    eventually("the cluster's version has risen", async || match cluster.submit(users, &how).await {
        Err(error) if error.to_string().contains("needs cluster version") => Ok(None),
        other => other.map(Some),
    })
    .await
}

fn micros(bill: twm_tests::emulator::x::Bill, double: &XEmulator) -> u64 {
    bill.micros(&double.billing().prices)
}

/// What `crawl show` says that the crawl waits for.
async fn waits(cluster: &Cluster, crawl: CrawlId) -> anyhow::Result<String> {
    let shown = cluster.ctl_json(&["crawl", "show", &crawl.to_string()]).await?;
    Ok(shown[0]["money"]["waits"].to_string())
}

fn holds(double: &XEmulator, output: &Path) -> Test {
    let dataset = FilesDataset::open(FilesOptions::new(output))?;
    for user in double.users(0, u64::MAX) {
        let account = Account { source: "net".parse()?, user: UserId::Number(user) };
        let lines = dataset.open_timeline(&account)?.into_iter().flatten();
        let id = |line: storage::dataset::Result<String>| -> anyhow::Result<u64> {
            let post: serde_json::Value = serde_json::from_str(&line?)?;
            Ok(post["id"].as_str().unwrap_or_default().parse()?)
        };
        let saved = lines.map(id).collect::<anyhow::Result<Vec<u64>>>()?;
        anyhow::ensure!(saved == double.expected_posts(user), "the timeline of {user} differs");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_no_app_is_billed_more_than_its_limit_in_a_cycle_though_nodes_are_killed_and_cycles_turn() -> Test
{
    const LIMIT: u64 = 900_000;
    let emulator = accounts(1).start().await?;
    let double = double(16).start().await?;
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path(), &double, "0.90")?;
    let builder = Cluster::builder().nodes(3).workers(4).session_ttl(Duration::from_secs(2));
    let builder = builder.output(Output::Shared).flags([config.as_str()]).crawling(&emulator);
    let mut cluster = builder.start().await?;
    let first_cycle = double.cycle();
    let crawl = submit(&cluster, &double.users(0, u64::MAX), &["-T", "--spend-limit=100"]).await?;

    let billed = |app: &str| micros(double.bill(app, None), &double);
    eventually("something is billed", async || Ok((billed("one") > 0).then_some(()))).await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    cluster.restart(leader).await?;
    eventually("the crawl waits for the next cycle", async || {
        let waits = waits(&cluster, crawl).await?;
        Ok(waits.contains("has reached its limit until").then_some(()))
    })
    .await?;
    let follower = cluster.follower().await?;
    cluster.node(follower)?.kill().await?;
    cluster.restart(follower).await?;

    let mut view = None;
    for _ in 0..4 {
        let over = |crawl: &CrawlView| crawl.phase.is_over();
        if let Ok(over) = cluster.crawl_until(crawl, "it is over", over).await {
            view = Some(over);
            break;
        }
    }
    let view = view.ok_or_else(|| anyhow::anyhow!("the crawl does not end"))?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (16, 0), "{view:?}");
    holds(&double, &cluster.output(1))?;

    let mut used = 0;
    for cycle in first_cycle..=double.cycle() {
        for app in APPS {
            let billed = micros(double.bill(app, Some(cycle)), &double);
            assert!(billed <= LIMIT, "TWM-X1: app {app} was billed {billed} of {LIMIT} in cycle {cycle}");
            used += usize::from(billed > 0);
        }
    }
    assert!(used >= 4, "only {used} times an app was used in a cycle");
    let posts: usize = double.users(0, u64::MAX).iter().map(|user| double.expected_posts(*user).len()).sum();
    let bill: u64 = APPS.iter().map(|app| billed(app)).sum();
    let price = double.billing().prices.post;
    assert!(bill >= posts as u64 * price, "all posts were paid for");

    // The ledger says at least what was billed.
    let money = cluster.ctl_json(&["status"]).await?[0]["money"].clone();
    let spent = money["crawls"][0]["spent"].as_str().and_then(|text| text.parse::<f64>().ok());
    assert!(spent.is_some_and(|spent| spent * 1e6 >= bill as f64 - 1.0), "{money}: {bill} were billed");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x3_what_is_mirrored_is_paid_for_and_followers_are_paid_for_once() -> Test {
    let emulator = accounts(1).start().await?;
    let (double, redis) = (double(8).start().await?, RedisServer::start().await?);
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path(), &double, "1000")?;
    let mirror = format!("--redis={}", redis.url());
    let builder = Cluster::builder().nodes(1).flags([config.as_str(), mirror.as_str()]);
    let cluster = builder.crawling(&emulator).start().await?;
    let targets = double.users(0, 2);
    let crawl = submit(&cluster, &targets, &["-F", "-A", "--spend-limit=100"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 2, "{view:?}");
    assert!(view.counters.discovered > 0, "{view:?}");

    let bills = APPS.map(|app| double.bill(app, None));
    let followers: usize = targets.iter().map(|user| double.expected_followers(*user).len()).sum();
    assert_eq!(bills.iter().map(|bill| bill.followers).sum::<u64>(), followers as u64);
    assert_eq!(bills.iter().map(|bill| bill.users).sum::<u64>(), 0, "nobody is looked up who came along");
    let bill: u64 = bills.into_iter().map(|bill| micros(bill, &double)).sum();
    eventually("all of it is settled", async || {
        let money = cluster.ctl_json(&["status"]).await?[0]["money"].clone();
        let spent = money["crawls"][0]["spent"].as_str().and_then(|text| text.parse::<f64>().ok());
        Ok(spent.is_some_and(|spent| spent * 1e6 >= bill as f64 - 1.0).then_some(()))
    })
    .await?;
    let mut connection = redis.connection().await?;
    let mirrored = eventually("the followers' profiles are mirrored", async || {
        let length: usize = redis::cmd("XLEN").arg("twm:profiles:net").query_async(&mut connection).await?;
        Ok((length >= followers).then_some(length))
    })
    .await?;
    assert_eq!(mirrored, followers);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_a_crawl_waits_at_its_limit_and_an_app_whose_token_is_revoked_is_set_aside() -> Test {
    const LIMIT: u64 = 500_000;
    let emulator = accounts(1).start().await?;
    let double = double(8).start().await?;
    double.revoke("two");
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path(), &double, "1000")?;
    let builder = Cluster::builder().nodes(1).flags([config.as_str()]).crawling(&emulator);
    let mut cluster = builder.start().await?;
    let refused = cluster.submit(&[1], &["-T", "--spend-limit=1"]).await.unwrap_err().to_string();
    assert!(refused.contains("charges nothing"), "{refused}");
    let crawl = submit(&cluster, &double.users(0, u64::MAX), &["-T", "--spend-limit=0.50"]).await?;
    eventually("the crawl waits at its limit", async || {
        Ok(waits(&cluster, crawl).await?.contains("has reached its limit of 0.50").then_some(()))
    })
    .await?;
    assert_eq!(double.bill("two", None).posts, 0);
    let bill = micros(double.bill("one", None), &double);
    assert!(bill <= LIMIT && bill > LIMIT / 2, "TWM-X2: {bill} of {LIMIT} were billed");
    eventually("the app is shown as set aside", async || {
        // It is unhealthy, so the command fails.
        let status = cluster.twm_ctl(&["status"]).await?;
        Ok(String::from_utf8_lossy(&status.stderr).contains("app two is set aside").then_some(()))
    })
    .await?;
    let page = cluster.node(1)?.page("/metrics").await?.body;
    for metric in ["twm_money_limit{app=\"one\"} 1000", "twm_crawl_money_limit{crawl=\"1\"} 0.5"] {
        assert!(page.contains(metric), "{metric}:\n{page}");
    }
    let table = String::from_utf8(cluster.twm_ctl(&["status"]).await?.stdout)?;
    assert!(table.contains("MONEY OF CRAWLS") && table.contains("its limit"), "{table}");
    cluster.finish().await
}
