//! The same timelines with each compression of the dataset.

use std::fs;
use std::path::Path;

use anyhow::Context;
use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl::{crawl, emulate};
use super::report::Report;

/// Compressions, and the target for each one's CPU as a part of the first one's.
const COMPRESSIONS: [(&str, &str); 3] = [("gzip", ""), ("zstd", "0.6"), ("none", "")];

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("timelines of", settings.users);
    let mut first = None;
    for (compression, most) in COMPRESSIONS {
        let disks = settings.disks()?;
        let (emulator, url) = emulate(settings.users, disks.path()).await?;
        let flags = [format!("--api-url={url}/1/"), format!("--compression={compression}")];
        let mut cluster = Cluster::start(Program::Node(flags.to_vec()), 1, disks).await?;
        let leader = cluster.healthy().await?;
        let client = cluster.client(leader);
        let cost = crawl(&client, &cluster, &emulator, Operation::Timeline, settings.users).await?;
        let tweets = cost.view.counters.operations[Operation::Timeline.index()].items as f64;
        let cpu = cost.node_cpu / tweets * 1e3;
        let first = *first.get_or_insert(cpu);
        report.add(format!("{compression}: node's CPU"), "s/1,000 tweets", "", cpu);
        report.add(format!("{compression}: node's CPU, part of gzip's"), "", most, cpu / first);
        report.add(format!("{compression}: accounts"), "1/s", "", settings.users as f64 / cost.seconds);
        report.add(
            format!("{compression}: dataset"),
            "bytes a tweet",
            "",
            stored(&cluster.folder("output", 1))? as f64 / tweets,
        );
        let node = cluster.processes().next().context("the node is gone")?;
        let memory = node.resident_bytes()? as f64 / f64::from(1 << 20);
        report.add(format!("{compression}: node's memory afterwards"), "MiB resident", "", memory);
    }
    Ok(())
}

/// Bytes of all timelines.
fn stored(output: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for file in storage::dataset::dataset_files(output)? {
        let (_, path) = file?;
        bytes += fs::metadata(path)?.len();
    }
    Ok(bytes)
}
