use crate::world::*;
use std::time::Duration;
use twm_tests::cluster::*;
use raft::client::Client; use raft::model::*; use storage::env::SystemEntropy;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe() -> Test {
    let emulator = accounts(10).start().await?;
    let b = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).crawling(&emulator).flags(["--log-level=info,openraft=error,raft=debug,node=debug"]);
    let mut cluster = b.start().await?;
    let leader = cluster.leader().await?;
    let frozen = cluster.follower().await?;
    let other = cluster.ids().into_iter().find(|i| *i != leader && *i != frozen).unwrap();
    eprintln!("leader {leader} frozen {frozen} other {other}");
    cluster.node(frozen)?.freeze()?;
    let start = tokio::time::Instant::now();
    for to in [leader, other, leader, other] {
        let client = Client::new(vec![cluster.address(to)?.to_owned()], Duration::from_secs(10), &SystemEntropy::new());
        let mut worst = (Duration::ZERO, Duration::ZERO);
        for n in 0..200 {
            let t = tokio::time::Instant::now();
            client.mutate(Mutation::Drain { node: frozen, drained: n % 2 == 0 }).await?;
            worst.0 = worst.0.max(t.elapsed());
            let t = tokio::time::Instant::now();
            client.query(Query::Crawls).await?;
            worst.1 = worst.1.max(t.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eprintln!("{:?} via {to}: worst write {:?} read {:?}", start.elapsed(), worst.0, worst.1);
    }
    for id in [leader, other] { for l in cluster.node(id)?.log()?.lines().filter(|l| l.contains("session")) { eprintln!("{id} {l}"); } }
    cluster.node(frozen)?.thaw()?;
    cluster.finish().await
}
