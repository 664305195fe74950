//! Garbage and silence on the cluster port and the HTTP port.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use api::model::WIRE_VERSIONS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::env::{Entropy, SeededEntropy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use twm_tests::cluster::{Cluster, Truth, eventually};

use crate::world::{Test, accounts, everyone, slow};

/// Far more connections than a port accepts.
const FLOOD: usize = 1_500;
/// Maximum number of open file descriptors of a node during a flood of both ports.
const MOST_FILES: usize = 700;
/// Maximum growth of a node's memory during a flood, in bytes.
const MOST_GROWTH: u64 = 100 << 20;

/// A valid greeting of an API client.
fn greeting() -> Vec<u8> {
    let mut body = Vec::new();
    for number in [u32::from_be_bytes(*b"twm\x02"), WIRE_VERSIONS.0, WIRE_VERSIONS.1, 0, 0, 0, 0] {
        varint(number, &mut body);
    }
    frame(&body)
}

fn varint(mut number: u32, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let entropy = SeededEntropy::new(seed);
    (0..bytes).map(|_| entropy.next_u64() as u8).collect()
}

/// First bytes that a non-peer may send.
fn openings() -> Vec<Vec<u8>> {
    let good = greeting();
    let mut openings = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        good[..good.len() - 1].to_vec(),
        vec![0xff; 4],
        frame(&[]),
        // After a valid greeting: noise, an empty frame, and one with a length of 4 GiB.
        [&good[..], &noise(1, 100_000)].concat(),
        [&good[..], &frame(&[])].concat(),
        [&good[..], &[0xff; 4]].concat(),
        [&good[..], &frame(&noise(2, 10_000))].concat(),
    ];
    openings.extend((10..40).map(|seed| noise(seed, 1 << (seed % 14))));
    openings.extend((40..70).map(|seed| frame(&noise(seed, 1 << (seed % 11)))));
    openings
}

async fn throw(address: &str, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    throw_from(Ipv4Addr::LOCALHOST, address, bytes).await
}

/// The same from a separate host address.
async fn throw_from(host: Ipv4Addr, address: &str, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((host, 0).into())?;
    let mut stream = socket.connect(address.parse()?).await?;
    // The node may close the connection early.
    let _refused = stream.write_all(bytes).await;
    Ok(stream)
}

/// Raises this process's limit of file descriptors to the maximum: it holds the other ends of a flood's
/// connections.
fn allow_many_files() -> Test {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn open_files(process: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// Current resident memory of a process, in bytes.
fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_at_both_ports_changes_nothing() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let ports: Vec<String> = (1..=3)
        .flat_map(|id| cluster.address(id).map(|peer| [peer.to_owned(), peer.replace(":8000", ":9898")]))
        .flatten()
        .collect();
    let mut open = Vec::new();
    for port in &ports {
        for opening in openings() {
            open.push(throw(port, &opening).await?);
        }
    }
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 40);
    drop(open);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_connections_keep_nobody_out() -> Test {
    allow_many_files()?;
    let emulator = accounts(20).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let peer = cluster.address(1)?.to_owned();
    let web = peer.replace(":8000", ":9898");
    let process = cluster.node(1)?.process_id()?;
    let before = resident(process)?;
    let mut silent = Vec::new();
    for n in 0..FLOOD {
        // Half of the connections send a few bytes and then nothing.
        let (to_peer, to_web) =
            if n % 2 == 0 { (&b""[..], &b""[..]) } else { (&b"\0\0"[..], &b"GET / HT"[..]) };
        silent.push(throw(&peer, to_peer).await?);
        silent.push(throw(&web, to_web).await?);
    }
    // Both ports answer at once while all these connections are open.
    let status = timeout(Duration::from_secs(5), cluster.twm_ctl(&["status"])).await??;
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(timeout(Duration::from_secs(5), cluster.node(1)?.page("/livez")).await??.status, 200);
    let files = open_files(process)?;
    assert!(files < MOST_FILES, "{files} files are open");
    let grown = resident(process)?.saturating_sub(before);
    assert!(grown < MOST_GROWTH, "{grown} bytes more are resident");
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 20);
    drop(silent);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_beyond_the_most_are_refused_and_peers_are_not() -> Test {
    allow_many_files()?;
    let emulator = accounts(4).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let peer = cluster.address(1)?.to_owned();
    let mut clients = Vec::new();
    let mut refused = [0; 5];
    // The first host exceeds the limit of a host; the last one exceeds the total limit.
    for (at, (host, connections)) in
        [(1, 300), (2, 220), (3, 220), (4, 220), (5, 220)].into_iter().enumerate()
    {
        for _ in 0..connections {
            let mut client = throw_from(Ipv4Addr::new(127, 66, 1, host), &peer, &greeting()).await?;
            let mut answer = [0; 5];
            timeout(Duration::from_secs(5), client.read_exact(&mut answer)).await??;
            refused[at] += usize::from(answer[4] != 0);
            clients.push(client);
        }
    }
    // 256 of the first host, then 3 x 220, and 108 more make up the 1,024. The node's own clients use some of
    // them.
    let [first, second, third, fourth, last] = refused;
    assert!((44..50).contains(&first), "{refused:?}");
    assert_eq!([second, third, fourth], [0; 3], "{refused:?}");
    assert!((112..130).contains(&last), "{refused:?}");
    let process = cluster.node(1)?.process_id()?;
    drop(clients);
    eventually("their file descriptors are given back", async || {
        Ok((open_files(process)? < 200).then_some(()))
    })
    .await?;
    cluster.ctl_json(&["status"]).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_to_ask_is_left_and_its_connection_closed() -> Test {
    let emulator = accounts(1).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let peer = cluster.address(1)?.to_owned();
    for (port, patience) in [(peer.clone(), 10), (peer.replace(":8000", ":9898"), 20)] {
        let mut stream = throw(&port, b"\0").await?;
        let mut rest = Vec::new();
        // A reset counts as an end.
        let ended = timeout(Duration::from_secs(patience), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{port} keeps a connection that says nothing");
    }
    assert_eq!(cluster.node(1)?.page("/livez").await?.status, 200);
    cluster.finish().await
}
