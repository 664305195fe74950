//! Nodes that are stopped, and the files left by killed ones.

use std::os::unix::fs::PermissionsExt;

use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::emulator::{Emulator, Endpoint};

use crate::world::{Test, population, slow};

/// Pages of the celebrity's followers.
const PAGES: u64 = 60;

/// One account with many pages of followers, which are answered slowly.
async fn a_celebrity() -> anyhow::Result<(Emulator, u64)> {
    let mut options = population(3);
    options.celebrity = Some(PAGES * 5);
    let emulator = Emulator::builder()
        .synthetic(options)
        .page_size(5)
        .count_users(true)
        .faults(slow(25))
        .start()
        .await?;
    let celebrity = emulator.users(0, 1)[0];
    Ok((emulator, celebrity))
}

fn pages(emulator: &Emulator, account: u64) -> u64 {
    let asked = emulator.stats().users.remove(&Endpoint::Followers).unwrap_or_default();
    asked.get(&account).copied().unwrap_or(0)
}

async fn pages_reach(emulator: &Emulator, account: u64, number: u64) -> Test {
    eventually("some pages were fetched", async || Ok((pages(emulator, account) >= number).then_some(())))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_hands_its_jobs_back_and_no_page_is_fetched_twice() -> Test {
    let (emulator, celebrity) = a_celebrity().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[celebrity], &["-F"]).await?;
    for number in [10, 25, 40] {
        pages_reach(&emulator, celebrity, number).await?;
        cluster.node(1)?.stop().await?;
        cluster.restart(1).await?;
    }
    cluster.finished(crawl).await?;
    // A page whose answer was in flight at a stop is requested again.
    assert!(pages(&emulator, celebrity) <= PAGES + 3, "{} pages", pages(&emulator, celebrity));
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).followers([celebrity])).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_hung_up_goes_on_and_its_data_are_closed_to_others() -> Test {
    let (emulator, celebrity) = a_celebrity().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[celebrity], &["-F"]).await?;
    pages_reach(&emulator, celebrity, 5).await?;
    cluster.node(1)?.hang_up()?;
    cluster.node(1)?.says("got SIGHUP").await?;
    cluster.finished(crawl).await?;
    let data = cluster.data_dir(1);
    let rights = std::fs::metadata(&data)?.permissions().mode() & 0o777;
    assert_eq!(rights, 0o700, "{}", data.display());
    cluster.holds(&Truth::of(&emulator).followers([celebrity])).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_stopped_node_run_elsewhere_at_once() -> Test {
    let (emulator, celebrity) = a_celebrity().await?;
    // Without the return of its jobs, the other nodes would wait for a minute.
    let builder = Cluster::builder().nodes(3).session_ttl(std::time::Duration::from_secs(60));
    let mut cluster = builder.crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[celebrity], &["-F"]).await?;
    pages_reach(&emulator, celebrity, 20).await?;
    let status = cluster.status().await?;
    let holder = status.sessions.iter().find(|session| session.leased > 0).map(|session| session.node);
    let holder = holder.expect("somebody holds the job");
    cluster.node(holder)?.stop().await?;
    let stopped = cluster.status().await?.now;
    let view = cluster.finished(crawl).await?;
    assert!(view.ended_at.is_some_and(|ended| ended < stopped + 30_000), "{stopped} {view:?}");
    assert!(pages(&emulator, celebrity) <= PAGES + 1, "{} pages", pages(&emulator, celebrity));
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).followers([celebrity])).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_left_is_removed() -> Test {
    let (emulator, celebrity) = a_celebrity().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[celebrity], &["-F"]).await?;
    pages_reach(&emulator, celebrity, 5).await?;
    cluster.node(1)?.kill().await?;
    let left = cluster.drafts()?;
    assert_eq!(left.len(), 1, "{left:?}");
    let foreign = cluster.output(1).join(".tmp/somebody-elses.file");
    std::fs::write(&foreign, "")?;
    cluster.restart(1).await?;
    eventually("the leftover is gone", async || Ok((!left[0].exists()).then_some(()))).await?;
    cluster.finished(crawl).await?;
    assert!(foreign.exists(), "only drafts are removed");
    std::fs::remove_file(&foreign)?;
    cluster.holds(&Truth::of(&emulator).followers([celebrity])).await?;
    cluster.finish().await
}
