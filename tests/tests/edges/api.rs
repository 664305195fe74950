//! An API that answers garbage, and an unreachable API.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone, no_outage_is_shown, shown};

/// Maximum resident memory of a node in bytes, with eight workers on the largest answers at once.
const MOST_MEMORY: u64 = 400 << 20;

/// Peak resident memory of a process.
fn peak(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_fails_its_accounts_with_a_reason_and_takes_no_memory() -> Test {
    let emulator = accounts(80).start().await?;
    let users = everyone(&emulator);
    // Accounts with tweets and at least two pages of followers.
    let walks = |user: &u64| emulator.expected_followers(*user).len() > 5;
    let has_tweets = |user: &u64| !emulator.expected_timeline(*user).is_empty();
    let mut candidates = users.iter().copied().filter(|user| walks(user) && has_tweets(user));
    let timeline = Endpoint::Timeline;
    let followers = Endpoint::Followers;
    let faults = [
        (Fault::Endless, timeline, "exceeds the limit"),
        (Fault::Endless, followers, "exceeds the limit"),
        (Fault::Huge(100 << 20), timeline, "exceeds the limit"),
        (Fault::GzipBomb(1 << 33), timeline, "exceeds the limit"),
        (Fault::GzipBomb(1 << 33), followers, "exceeds the limit"),
        (Fault::Crowded(7_000_000), timeline, "more than"),
        (Fault::Crowded(7_000_000), followers, "more than"),
        (Fault::Babble(10 << 20), timeline, "garbage"),
        (Fault::Babble(10 << 20), followers, "garbage"),
        (Fault::LongCursor(1 << 20), followers, "cursor of 1048576 bytes"),
        (Fault::Looping, followers, "repeat without end"),
        (Fault::Looping, timeline, "repeat without end"),
        (Fault::Unending, followers, "nothing new"),
        (Fault::NotUtf8, timeline, "UTF-8"),
        (Fault::Truncated, followers, "garbage"),
        (Fault::WrongTypes, followers, "garbage"),
        (Fault::MissingFields, followers, "garbage"),
    ];
    let bad: Vec<_> = faults.into_iter().zip(candidates.by_ref()).collect();
    assert_eq!(bad.len(), faults.len(), "the population has too few accounts with followers");
    let rules =
        bad.iter().map(|((fault, endpoint, _), user)| FaultRule::new(*fault).user(*user).at(*endpoint));
    // These faults must have no visible effect.
    let sometimes = |fault| FaultRule::new(fault).probability(0.3);
    // Followers keep the order in which the API returned them.
    let harmless = [
        sometimes(Fault::Unordered).at(timeline),
        sometimes(Fault::Duplicates),
        sometimes(Fault::LimitNonsense),
    ];
    emulator.set_faults(rules.chain(harmless).collect()).map_err(anyhow::Error::msg)?;

    let flags = ["--request-timeout=10s", "--max-attempts=2"];
    let mut cluster = Cluster::builder().workers(8).flags(flags).crawling(&emulator).start().await?;
    let process = cluster.node(1)?.process_id()?;
    let crawl = cluster.submit(&users, &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    let errors = cluster.ctl_json(&["errors", "list", &crawl.to_string()]).await?;
    for ((fault, endpoint, words), user) in &bad {
        let error = errors.iter().find(|error| error["user"].as_str() == Some(&user.to_string()));
        let reason = error.map_or("", |error| error["why"][0]["reason"].as_str().unwrap_or_default());
        let said = reason.contains(words) && reason.contains(&user.to_string());
        assert!(said, "{fault:?} at {endpoint:?}: {reason:?} does not say {words:?} of {user}");
        assert!(reason.len() <= 512, "{fault:?}: {} bytes of reason", reason.len());
    }
    assert_eq!(view.counters.users.failed, bad.len() as u64, "{:?}", view.counters);
    let peak = peak(process)?;
    assert!(peak < MOST_MEMORY, "{} MiB at the worst moment", peak >> 20);
    assert_eq!(cluster.node(1)?.log()?.matches("session lost").count(), 0, "no report was refused");

    cluster.drafts_removed().await?;
    let good = |at: Endpoint| {
        let spoilt =
            |user: &u64| bad.iter().any(|((_, endpoint, _), other)| *endpoint == at && other == user);
        users.iter().copied().filter(move |user| !spoilt(user)).collect::<Vec<_>>()
    };
    cluster.holds(&Truth::of(&emulator).timelines(good(timeline)).followers(good(followers))).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_is_away_for_a_while_costs_no_account() -> Test {
    let emulator = accounts(20).start().await?;
    let address: SocketAddr = emulator.address();
    let (users, truth) = (everyone(&emulator), accounts(20).start().await?);
    let flags = ["--max-attempts=1"];
    let mut cluster = Cluster::builder().flags(flags).crawling(&emulator).start().await?;
    drop(emulator);
    let crawl = cluster.submit(&users, &["-T", "-F"]).await?;
    cluster.node(1)?.says("check --api-url and the network").await?;
    let meanwhile = cluster.crawl_until(crawl, "jobs wait", |crawl| crawl.delayed > 0).await?;
    assert_eq!(meanwhile.counters.users.failed, 0, "{:?}", meanwhile.counters);
    shown(&mut cluster, "api", "check --api-url and the network").await?;
    // The node stays ready: no other node could reach the API either.
    assert_eq!(cluster.node(1)?.page("/readyz").await?.status, 200);
    let _back = accounts(20).listen(address).start().await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 20, "{:?}", view.counters);
    no_outage_is_shown(&mut cluster).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&truth).timelines(users.clone()).followers(users)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_speaks_no_http_ends_on_the_error_list() -> Test {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("--api-url=http://{}/1.1/", listener.local_addr()?);
    tokio::spawn(async move {
        let mut n = 0usize;
        while let Ok((mut stream, _)) = listener.accept().await {
            n += 1;
            let answers = [
                &b"\x16\x03\x03\x00\x02\x02\x28"[..],
                b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]",
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n[]",
                b"HTTP/1.1 999 What\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n[]",
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                b"",
            ];
            let answer = answers[n % answers.len()];
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _asked = stream.read(&mut request).await;
                stream.write_all(answer).await
            });
        }
    });
    let flags = ["--max-attempts=2", "--request-timeout=2s", &url];
    let cluster = Cluster::builder().flags(flags).start().await?;
    let crawl = cluster.submit(&(1..=14).collect::<Vec<_>>(), &["-T"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.failed, 14, "{:?}", view.counters);
    for error in cluster.ctl_json(&["errors", "list", &crawl.to_string()]).await? {
        let reason = error["why"][0]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(reason.contains("statuses/user_timeline.json") && reason.contains("user"), "{reason}");
    }
    cluster.finish().await
}
