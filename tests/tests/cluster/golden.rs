//! A data directory of an older build is opened, and the cluster resumes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use api::model::CrawlPhase;
use tokio::process::Command;
use twm_tests::cluster::{Cluster, Truth, ended};
use twm_tests::emulator::{Builder, Emulator};

use crate::world::{Test, accounts, everyone, mend, slow};

/// Readable formats of the data directory.
const FORMATS: [u64; 1] = [3];

/// Number of accounts of the ended crawl; the paused crawl has the others.
const ENDED: usize = 12;

fn world() -> Builder {
    accounts(40)
}

fn packed(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/data-{format}.tar.gz"))
}

async fn tar(arguments: &[&str], folder: &Path) -> Test {
    let output = ended(Command::new("tar").args(arguments).current_dir(folder)).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Creates the file of the current format: `ops/golden`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes a file of tests/golden, by ops/golden"]
async fn record_a_data_directory() -> Test {
    let format = FORMATS[FORMATS.len() - 1];
    if packed(format).exists() {
        return Ok(());
    }
    let emulator = world().start().await?;
    let mut cluster = Cluster::builder().workers(4).crawling(&emulator).start().await?;
    let all = everyone(&emulator);
    let first = cluster.submit(&all[..ENDED], &["-T", "--name", "ended"]).await?;
    cluster.finished(first).await?;
    emulator.set_faults(slow(200)).map_err(anyhow::Error::msg)?;
    let second = cluster.submit(&all[ENDED..], &["-T", "-F", "--name", "paused"]).await?;
    let begun = |completed| (3..15).contains(&completed);
    cluster.crawl_until(second, "some are done", |crawl| begun(crawl.counters.users.completed)).await?;
    cluster.twm_ctl(&["crawl", "pause", &second.to_string()]).await?;
    cluster.node(1)?.stop().await?;
    let folder = cluster.data_dir(1).parent().context("a data directory has a parent")?.to_owned();
    let names = [cluster.data_dir(1), cluster.output(1)].map(|path| {
        path.strip_prefix(&folder).map_or_else(|_| path.clone(), Path::to_owned).display().to_string()
    });
    tar(&["--sort=name", "-czf", &packed(format).display().to_string(), &names[0], &names[1]], &folder)
        .await?;
    cluster.restart(1).await?;
    mend(&emulator)?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_each_format_is_opened_and_its_crawls_go_on() -> Test {
    for format in FORMATS {
        let emulator = world().start().await?;
        opened(&emulator, &packed(format)).await.with_context(|| format!("format {format}"))?;
    }
    Ok(())
}

async fn opened(emulator: &Emulator, packed: &Path) -> Test {
    let mut cluster = Cluster::builder().workers(4).crawling(emulator).prepare()?;
    let folder = cluster.data_dir(1).parent().context("a data directory has a parent")?.to_owned();
    fs::create_dir_all(&folder)?;
    tar(&["-xzf", &packed.display().to_string()], &folder).await?;
    cluster.start_all()?;
    // The recorded node had another address.
    let address = cluster.address(1)?.to_owned();
    let moved = cluster.twm_ctl(&["member", "set-address", "1", &address]).await?;
    ensure!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    cluster.ready().await?;

    let crawls = cluster.status().await?.crawls;
    let of = |name: &str| crawls.iter().find(|crawl| crawl.spec.name == name).context("a crawl is gone");
    let (first, second) = (of("ended")?, of("paused")?);
    assert_eq!(first.phase, CrawlPhase::Finished);
    assert_eq!(first.counters.users.completed, ENDED as u64);
    assert_eq!(second.phase, CrawlPhase::Paused);
    let users = second.counters.users;
    assert!(users.accepted == 40 - ENDED as u64 && (3..20).contains(&users.completed), "{users:?}");

    cluster.twm_ctl(&["crawl", "resume", &second.id.to_string()]).await?;
    let view = cluster.finished(second.id).await?;
    assert_eq!(view.counters.users.completed, 40 - ENDED as u64);
    let all = everyone(emulator);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(emulator).timelines(all.clone()).followers(all[ENDED..].to_vec())).await?;
    cluster.finish().await
}
