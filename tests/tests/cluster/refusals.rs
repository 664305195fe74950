//! Nodes that refuse to start, and commands that fail: each reports the reason, with the right exit code.

use std::fs;

use twm_tests::cluster::{Cluster, Program, ended, eventually};

use crate::world::{Test, accounts};

/// A cluster of one whose node ran and was stopped.
async fn stopped() -> anyhow::Result<Cluster> {
    let emulator = accounts(1).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    cluster.node(1)?.stop().await?;
    Ok(cluster)
}

/// Starts node 1 with some flags replaced, which must fail. Returns the exit code and stderr.
async fn start_with(cluster: &mut Cluster, flags: &[(&str, &str)]) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Program::Node.command()?;
    let replaced =
        |argument: &&String| !flags.iter().any(|(key, _)| argument.starts_with(&format!("--{key}=")));
    command.args(cluster.node(1)?.arguments().iter().filter(replaced));
    command.args(flags.iter().map(|(key, value)| format!("--{key}={value}")));
    let output = ended(&mut command).await?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_named_with_code_2() -> Test {
    let mut cluster = stopped().await?;
    let address = cluster.address(1)?.to_owned();
    let twice = format!("1={address},1={address}");
    let other = format!("2={address}");
    for (flag, value, named) in [
        ("peers", "1", "peers"),
        ("peers", "1=nowhere", "peers"),
        ("peers", "1=host:99999", "peers"),
        ("peers", "one=127.0.0.1:8000", "peers"),
        ("peers", "0=127.0.0.1:8000", "peers"),
        ("peers", &twice, "peers"),
        ("peers", &other, "node 1 (--id) is not among them"),
        ("id", "0", "id"),
        ("id", "7", "node 7 (--id) is not among them"),
        ("workers", "0", "workers"),
        ("ips", "10.0.0", "ips"),
        ("session-ttl", "1", "session-ttl"),
        ("api-token", "", "api-token"),
    ] {
        let (code, said) = start_with(&mut cluster, &[(flag, value)]).await?;
        assert_eq!(code, Some(2), "--{flag}={value}: {said}");
        assert!(said.contains(named), "--{flag}={value}: {said}");
    }
    let (code, said) = start_with(&mut cluster, &[("no-such-flag", "1")]).await?;
    assert_eq!(code, Some(2), "{said}");
    cluster.restart(1).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_another_node_or_cluster_or_of_a_newer_program_is_refused_and_left_alone() -> Test {
    let mut cluster = stopped().await?;
    let address = cluster.address(1)?.to_owned();
    let (code, said) = start_with(&mut cluster, &[("id", "2"), ("peers", &format!("2={address}"))]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to node 1, not to node 2"), "{said}");
    let (code, said) = start_with(&mut cluster, &[("cluster", "other")]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to cluster \"twm\", not to \"other\""), "{said}");

    let foreign = cluster.folder().join("foreign");
    fs::create_dir(&foreign)?;
    fs::write(foreign.join("thesis.txt"), "mine")?;
    let (code, said) = start_with(&mut cluster, &[("data-dir", &foreign.to_string_lossy())]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("thesis.txt") && said.contains("no data folder"), "{said}");
    assert_eq!(fs::read_dir(&foreign)?.count(), 1);

    let identity = cluster.data_dir(1).join("IDENTITY");
    let good = fs::read_to_string(&identity)?;
    fs::write(&identity, good.replace("twm-data 3", "twm-data 9"))?;
    let (code, said) = start_with(&mut cluster, &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("format 9"), "{said}");
    fs::write(&identity, good)?;
    cluster.restart(1).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_a_node_is_refused_and_the_first_goes_on() -> Test {
    let mut cluster = stopped().await?;
    cluster.restart(1).await?;
    let (code, said) = start_with(&mut cluster, &[("http", "127.0.0.1:0")]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another node runs there"), "{said}");
    let (code, said) = start_with(&mut cluster, &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--http"), "{said}");
    let data = cluster.folder().join("data-new");
    let flags = [("http", "127.0.0.1:0"), ("data-dir", &*data.to_string_lossy())];
    let (code, said) = start_with(&mut cluster, &flags).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on"), "{said}");
    assert_eq!(cluster.node(1)?.page("/livez").await?.status, 200);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_turned_away_and_does_no_harm() -> Test {
    let emulator = accounts(10).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    // Node 3 restarts with an empty disk and the name of another cluster.
    cluster.node(3)?.stop().await?;
    let data = cluster.folder().join("data-stranger");
    let mut command = Program::Node.command()?;
    let own =
        |argument: &&String| !argument.starts_with("--data-dir=") && !argument.starts_with("--cluster=");
    command.args(cluster.node(3)?.arguments().iter().filter(own));
    command.args(["--cluster=other".to_owned(), format!("--data-dir={}", data.display())]);
    let log = fs::File::create(cluster.folder().join("stranger.log"))?;
    let mut stranger = command.stderr(log).spawn()?;
    eventually("it says that the others are in another cluster", async || {
        let said = fs::read_to_string(cluster.folder().join("stranger.log"))?;
        Ok(said.contains("node 1, which is in cluster \"twm\"").then_some(()))
    })
    .await?;
    assert!(!data.exists(), "it has written nothing");
    let crawl = cluster.submit(&emulator.users(0, 10), &["-T"]).await?;
    cluster.finished(crawl).await?;
    stranger.kill().await?;
    cluster.restart(3).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twm_ctl_tells_by_its_exit_code_what_kind_of_trouble_it_met() -> Test {
    let emulator = accounts(4).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let code = async |cluster: &Cluster, arguments: &[&str]| -> anyhow::Result<Option<i32>> {
        Ok(cluster.twm_ctl(arguments).await?.status.code())
    };
    assert_eq!(code(&cluster, &["status"]).await?, Some(0));
    assert_eq!(code(&cluster, &["crawl", "show", "77"]).await?, Some(1));
    assert_eq!(code(&cluster, &["submit", "no-such-list"]).await?, Some(1));
    assert_eq!(code(&cluster, &["no-such-command"]).await?, Some(2));
    let node = cluster.follower().await?;
    cluster.node(node)?.kill().await?;
    assert_eq!(code(&cluster, &["status"]).await?, Some(5));
    cluster.kill_all().await?;
    assert_eq!(code(&cluster, &["--timeout", "1", "status"]).await?, Some(4));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_goes_to_no_node_that_is_down() -> Test {
    let emulator = accounts(1).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let node = cluster.follower().await?;
    cluster.node(node)?.stop().await?;
    let leader = cluster.leader().await?;
    let transfer = ["leader", "transfer", "--to", &node.to_string()];
    let refused = async |cluster: &Cluster, words: &str| -> Test {
        let output = cluster.twm_ctl(&transfer).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("node {node} ")) && said.contains(words), "{said}");
        assert_eq!(cluster.leader().await?, leader, "nobody else was elected");
        Ok(())
    };
    refused(&cluster, "does not answer; start it").await?;

    cluster.restart(node).await?;
    eventually("it leads", async || Ok(cluster.twm_ctl(&transfer).await?.status.success().then_some(())))
        .await?;
    assert_eq!(cluster.leader().await?, node);

    // A node that was killed and restarted has answered the leader before, over a connection that no longer
    // exists.
    let node = cluster.follower().await?;
    cluster.node(node)?.kill().await?;
    cluster.restart(node).await?;
    let output = cluster.twm_ctl(&["leader", "transfer", "--to", &node.to_string()]).await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(cluster.leader().await?, node);
    cluster.finish().await
}
