//! The same crawl without and with a mirror in Redis, in turn.

use anyhow::Context;
use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl;
use super::report::Report;
use crate::redis_server::RedisServer;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let users = settings.users;
    report.setting("timelines of", users);
    report.setting("Redis", "appendfsync everysec");
    let redis = RedisServer::start_with(None, &["--appendfsync", "everysec"]).await?;
    let without = accounts_a_second(users, settings, Vec::new()).await?;
    let with = accounts_a_second(users, settings, vec!["--redis".to_owned(), redis.url()]).await?;
    report.add("accounts, no mirror", "1/s", "", without);
    report.add("accounts, mirrored", "1/s", "", with);
    report.add("mirrored, of no mirror", "%", "90", with / without * 1e2);

    // Proves that the mirror was active: its stream has entries.
    let mut connection = redis.connection().await.context("asking Redis")?;
    let entries: u64 = redis::cmd("XLEN").arg("twm:tweets").query_async(&mut connection).await?;
    report.add("entries of twm:tweets", "entries", "", entries as f64);
    anyhow::ensure!(entries > 0, "nothing was mirrored");
    Ok(())
}

async fn accounts_a_second(users: u64, settings: &Settings, flags: Vec<String>) -> anyhow::Result<f64> {
    let disks = settings.disks()?;
    let (emulator, url) = crawl::emulate(users, disks.path()).await?;
    let flags = ["--api-url".to_owned(), format!("{url}/1/")].into_iter().chain(flags).collect();
    let mut cluster = Cluster::start(Program::Node(flags), 1, disks).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);
    let cost = crawl::crawl(&client, &cluster, &emulator, Operation::Timeline, users).await?;
    Ok(users as f64 / cost.seconds)
}
