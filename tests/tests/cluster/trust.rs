//! A cluster whose nodes and clients have certificates.

use std::fs;

use anyhow::Context;
use twm_tests::cluster::{Cluster, Page, Program, Truth, eventually};

use crate::world::{Test, accounts, everyone, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_certificates_a_cluster_crawls_and_each_role_may_do_what_it_may() -> Test {
    let emulator = accounts(30).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).tls().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let id = crawl.to_string();
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let looked = cluster.twm_ctl_as("viewer-guest", &["crawl", "show", &id]).await?;
    assert!(looked.status.success(), "{}", said(&looked));
    let paused = cluster.twm_ctl_as("viewer-guest", &["crawl", "pause", &id]).await?;
    assert_eq!(paused.status.code(), Some(1));
    assert!(said(&paused).contains("this needs an operator's certificate"), "{}", said(&paused));
    let as_node = cluster.twm_ctl_as("node-2", &["crawl", "pause", &id]).await?;
    assert!(said(&as_node).contains("this needs an operator's certificate"), "{}", said(&as_node));
    let without = cluster.twm_ctl_as("nobody", &["status"]).await?;
    assert!(said(&without).contains("nobody.crt"), "{}", said(&without));

    // Killing the leader and renewing its certificate before its restart changes nothing.
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    let certs = cluster.folder().join("certs");
    let file = certs.join(format!("node-{leader}.crt"));
    let before = fs::read(&file)?;
    let renewed = cluster
        .twm_ctl(&["certs", "renew", &file.to_string_lossy(), "--dir", &certs.to_string_lossy()])
        .await?;
    assert!(renewed.status.success() && fs::read(&file)? != before, "{}", said(&renewed));
    cluster.restart(leader).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 30);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

/// An untrusted connection to a TLS port gets a clear error and is logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_is_refused_with_the_reason_and_told_in_the_log() -> Test {
    let emulator = accounts(1).start().await?;
    let mut cluster = Cluster::builder().tls().crawling(&emulator).start().await?;
    let plain = Cluster::builder().crawling(&emulator).start().await?;
    let other = Cluster::builder().tls().crawling(&emulator).prepare()?;
    let (peer, plain_peer) = (cluster.address(1)?.to_owned(), plain.address(1)?.to_owned());
    let certs = cluster.folder().join("certs");
    let ours = cluster.tls_flags("operator-harness");
    let theirs = other.tls_flags("operator-harness");
    let issue = |arguments: &[&str]| {
        let dir = certs.to_string_lossy().into_owned();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let all = [&["certs", "issue", "--dir", &dir], &arguments[..]].concat();
            let output = plain_ctl(&all).await?;
            anyhow::ensure!(output.0 == Some(0), "{}", output.1);
            anyhow::Ok(())
        }
    };
    issue(&["--operator", "late", "--days", "0"]).await?;
    let expired = cluster.tls_flags("operator-late");
    let mixed = [ours[0].clone(), theirs[1].clone(), theirs[2].clone()];
    for (flags, endpoint, words) in [
        (&[][..], &peer, "--tls-ca"),
        (&ours[..], &plain_peer, "TLS"),
        (&theirs[..], &peer, "another authority"),
        (&mixed[..], &peer, "does not trust the authority"),
        (&expired[..], &peer, "has expired"),
    ] {
        eventually(&format!("it is refused with {words:?}"), async || {
            let mut arguments = vec!["--endpoints", endpoint, "--timeout", "2", "status"];
            arguments.extend(flags.iter().map(String::as_str));
            let (code, said) = plain_ctl(&arguments).await?;
            anyhow::ensure!(code == Some(4), "{code:?}: {said}");
            Ok(said.contains(words).then_some(()))
        })
        .await?;
    }
    cluster.node(1)?.says("refused a connection").await?;

    // The certificate of another node.
    issue(&["--node", "7"]).await?;
    let wrong = cluster.tls_flags("node-7");
    let node = cluster.node(1)?;
    node.stop().await?;
    node.start_with(&wrong.iter().map(String::as_str).collect::<Vec<_>>())?;
    assert_eq!(node.ended_by_itself().await?, Some(1));
    assert!(node.log()?.contains("is for twm://twm/node/7, and this is node 1"), "{}", node.log()?);

    // Without certificates, nodes listen only on loopback addresses.
    let (code, said) = Program::Node.run(&["--check-config", "--listen=0.0.0.0:8000"]).await?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--insecure") && said.contains("twm-ctl certs"), "{said}");
    cluster.restart(1).await?;
    other.finish().await?;
    plain.finish().await?;
    cluster.finish().await
}

/// A certificate expires while its node runs: open connections stay, new connections are refused with the reason, and
/// a renewed certificate is used without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_while_its_node_runs_is_renewed_without_a_restart() -> Test {
    let emulator = accounts(60).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).tls().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let leader = cluster.leader().await?;
    let node = cluster.ids().into_iter().find(|id| *id != leader).context("there is no follower")?;
    let certs = cluster.folder().join("certs");
    let file = |end: &str| certs.join(format!("node-{node}.{end}"));
    let dir = certs.to_string_lossy().into_owned();
    for end in ["crt", "key"] {
        fs::remove_file(file(end))?;
    }
    let (code, said) =
        plain_ctl(&["certs", "issue", "--node", &node.to_string(), "--days", "0", "--dir", &dir]).await?;
    assert_eq!(code, Some(0), "{said}");
    let readiness = async |cluster: &mut Cluster| cluster.node(node)?.page("/readyz").await;
    eventually("the node says that its certificate has expired", async || {
        let page: Page = readiness(&mut cluster).await?;
        Ok((page.status == 200 && page.body.contains("has expired")).then_some(()))
    })
    .await?;
    let flags = cluster.tls_flags("operator-harness");
    let endpoint = cluster.address(node)?.to_owned();
    let ask = async || {
        let mut arguments = vec!["--endpoints", &endpoint, "--timeout", "2", "status"];
        arguments.extend(flags.iter().map(String::as_str));
        plain_ctl(&arguments).await
    };
    let (code, said) = ask().await?;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("its certificate has expired") && said.contains("certs renew"), "{said}");
    // The node is still a member and has the same data as the others.
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);

    let (code, said) = plain_ctl(&["certs", "renew", &file("crt").to_string_lossy(), "--dir", &dir]).await?;
    assert_eq!(code, Some(0), "{said}");
    eventually("the node uses the renewed certificate", async || {
        let page: Page = readiness(&mut cluster).await?;
        Ok((page.status == 200 && !page.body.contains("certificate")).then_some(()))
    })
    .await?;
    let (code, said) = ask().await?;
    assert_eq!(code, Some(0), "{said}");
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

/// With `--http-tls` the monitor and the metrics need a certificate or the token; health checks do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_port_over_tls_asks_who_calls() -> Test {
    let emulator = accounts(1).start().await?;
    let mut cluster = Cluster::builder().tls().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    cluster.finished(crawl).await?;
    let certs = cluster.folder().join("certs");
    let authority = certs.join("ca.crt");
    let address = cluster.node(1)?.http().to_owned();
    let ip = address.rsplit_once(':').map_or("", |(ip, _)| ip);
    // The node's own certificate, with the address that browsers check.
    let node = certs.join("node-1.crt");
    for old in [&node, &certs.join("node-1.key")] {
        fs::remove_file(old)?;
    }
    let dir = certs.to_string_lossy().into_owned();
    let issued = plain_ctl(&["certs", "issue", "--node", "1", "--host", ip, "--dir", &dir]).await?;
    assert_eq!(issued.0, Some(0), "{}", issued.1);
    let token = cluster.file("monitor-token", "correct-horse\n")?;
    let token = format!("--monitor-token-file={}", token.display());
    cluster.node(1)?.stop().await?;
    cluster.node(1)?.start_with(&["--http-tls", &token])?;

    let ask = async |name: &str, what: (&str, &str), headers: &[&str]| {
        let file = |end: &str| certs.join(format!("{name}.{end}")).display().to_string();
        let (cert, key) = (file("crt"), file("key"));
        let shown = if name.is_empty() { vec![] } else { vec!["-cert", &cert, "-key", &key] };
        Page::ask_over_tls(&address, &authority, &shown, what, headers).await
    };
    eventually("it is ready", async || {
        let ready = ask("", ("GET", "/readyz"), &[]).await;
        Ok(ready.ok().filter(|page| page.status == 200))
    })
    .await?;
    let bearer = "Authorization: Bearer correct-horse";
    for path in ["/metrics", "/api/v1/cluster"] {
        for (name, headers, status) in [
            ("", &[][..], 401),
            ("", &["Authorization: Bearer wrong-horse"], 401),
            ("", &[bearer], 200),
            ("viewer-guest", &[], 200),
            ("operator-harness", &[], 200),
        ] {
            let page = ask(name, ("GET", path), headers).await?;
            assert_eq!(page.status, status, "{name} {path} {headers:?}: {}", page.body);
        }
    }
    // The crawl has ended, so pausing it changes nothing.
    let pause = format!("/api/v1/crawls/{crawl}/pause");
    for (name, headers, status) in
        [("", &[][..], 401), ("viewer-guest", &[], 403), ("operator-harness", &[], 200), ("", &[bearer], 200)]
    {
        let page = ask(name, ("POST", &pause), headers).await?;
        assert_eq!(page.status, status, "{name} {headers:?}: {}", page.body);
    }
    cluster.node(1)?.stop().await?;
    // Without TLS, the HTTP port opens only on loopback addresses.
    let (code, said) = Program::Node.run(&["--check-config", "--http=0.0.0.0:9898"]).await?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--http-tls") && said.contains("--public-url"), "{said}");
    cluster.restart(1).await?;
    cluster.finish().await
}

async fn plain_ctl(arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    Program::Ctl.run(arguments).await
}
