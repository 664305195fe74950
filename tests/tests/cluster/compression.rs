//! Compressed datasets, as other programs read them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;
use twm_tests::cluster::{Cluster, FileName, Truth};

use crate::world::{Test, accounts, everyone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_is_read_by_zstdcat_and_duckdb_and_converted_both_ways() -> Test {
    let emulator = accounts(20).start().await?;
    let cluster = Cluster::builder().flags(["--compression=zstd"]).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    for flags in [&["-T", "-F"][..], &["-U"]] {
        let crawl = cluster.submit(&targets, flags).await?;
        cluster.finished(crawl).await?;
        cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone())).await?;
    }
    let output = cluster.output(1);
    let mut read = 0;
    let with_items = targets.iter().filter(|target| !emulator.expected_timeline(**target).is_empty());
    for target in with_items.copied() {
        let name = FileName::Timeline(target);
        let lines = cluster.lines(1, name)?;
        let zstdcat = Command::new("zstdcat").arg(output.join(name.path())).output().context("zstdcat")?;
        anyhow::ensure!(zstdcat.status.success(), "{}", String::from_utf8_lossy(&zstdcat.stderr));
        assert_eq!(String::from_utf8(zstdcat.stdout)?.lines().collect::<Vec<_>>(), lines);
        read += lines.len();
    }
    assert!(read > 0);
    let output = output.to_str().context("a path that is no text")?;
    for (form, name) in [(&["--gzip", "1"][..], "gzip"), (&["--zstd", "3"], "zstd"), (&["--plain"], "none")] {
        let converted = cluster.twm_ctl(&[&["dataset", "convert"], form, &[output]].concat()).await?;
        anyhow::ensure!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
        let stat = cluster.twm_ctl(&["-o", "json", "dataset", "stat", output]).await?;
        let stat = String::from_utf8(stat.stdout)?;
        let stat: Vec<Value> = stat.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        // One line for each file, and one with the sums.
        let found: BTreeSet<&str> = stat.iter().filter_map(|file| file["compression"].as_str()).collect();
        assert_eq!(found, BTreeSet::from([name]), "{stat:?}");
        let sums = stat.last().context("no sums")?;
        let tweets = sums["timelines"]["items"].as_u64().context("no number of tweets")?;
        assert_eq!(duckdb_count(&format!("{output}/*/*.twt"), name)?, tweets, "{sums}");
        cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone())).await?;
    }
    cluster.finish().await
}

/// Counts the tweets of timelines as `ops/docs/twm-ctl.md` says.
fn duckdb_count(files: &str, compression: &str) -> anyhow::Result<u64> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no repository")?;
    let python = repository.join(".cache/tools/duckdb-2.0.1/bin/python");
    let query = format!(
        "SELECT count(*) FROM read_json('{files}', format = 'newline_delimited', compression = '{compression}')"
    );
    let script = "import duckdb, sys; print(duckdb.sql(sys.argv[1]).fetchall()[0][0])";
    let counted = Command::new(&python).args(["-c", script, &query]).output();
    let counted = counted.with_context(|| format!("{}: ops/test installs DuckDB there", python.display()))?;
    anyhow::ensure!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    Ok(String::from_utf8(counted.stdout)?.trim().parse()?)
}
