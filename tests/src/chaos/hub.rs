//! A network of hosts: a bridge in this process's network namespace, and one namespace per host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A host, by the number of its node; [`HUB`] is the host of the API, Redis and the operators.
pub(super) type Host = u64;

/// The host of the API, Redis and the operators.
pub(super) const HUB: Host = 0;

/// The nftables table that drops packets.
const TABLE: &str = "table inet chaos { set cut { type ipv4_addr; flags interval; }; \
    chain arriving { type filter hook input priority 0; ip saddr @cut drop; }; }";

/// The address of a host.
pub(super) fn address(host: Host) -> Ipv4Addr {
    match host {
        HUB => Ipv4Addr::new(10, 77, 255, 1),
        host => Ipv4Addr::new(10, 77, 0, host as u8),
    }
}

/// The addresses from which a host crawls, in the format of `--ips`.
pub(super) fn crawl_addresses(host: Host) -> String {
    let [first, last] = [1, ADDRESSES].map(|n| Ipv4Addr::new(10, 77, host as u8, n));
    format!("{first}-{last}")
}

/// Number of addresses from which a host crawls.
const ADDRESSES: u8 = 2;

fn namespace(host: Host) -> String {
    format!("host-{host}")
}

/// The prefix that runs a command on a host.
pub(super) fn on(host: Host) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", namespace(host)), "--".to_owned()]
}

/// The network. Its namespaces belong to this process and end with it.
#[derive(Debug)]
pub(super) struct Hub {
    hosts: Vec<Host>,
    /// Pairs of sender and receiver whose packets are dropped.
    cut: BTreeSet<(Host, Host)>,
}

impl Hub {
    /// Creates hosts with these numbers, each with an address for its node and two to crawl from.
    ///
    /// # Errors
    /// A system command fails.
    pub(super) async fn new(hosts: Vec<Host>) -> anyhow::Result<Self> {
        // Names of namespaces are files, which would otherwise outlive this process.
        run("mkdir -p /run/netns", "").await?;
        run("mount -t tmpfs tmpfs /run/netns", "").await?;
        run("ip link set lo up", "").await?;
        run("ip link add hub type bridge", "").await?;
        run(&format!("ip addr add {}/16 dev hub", address(HUB)), "").await?;
        run("ip link set hub up", "").await?;
        run("nft -f -", TABLE).await?;
        for &host in &hosts {
            let name = namespace(host);
            run(&format!("ip netns add {name}"), "").await?;
            run(&format!("ip link add to-{host} type veth peer name eth0 netns {name}"), "").await?;
            run(&format!("ip link set to-{host} master hub up"), "").await?;
            let mut links = "link set lo up\nlink set eth0 up\n".to_owned();
            let own = std::iter::once(address(host));
            for address in own.chain((1..=ADDRESSES).map(|n| Ipv4Addr::new(10, 77, host as u8, n))) {
                writeln!(links, "addr add {address}/16 dev eth0")?;
            }
            run(&format!("ip -n {name} -batch -"), &links).await?;
            run(&format!("{} nft -f -", on(host).join(" ")), TABLE).await?;
        }
        Ok(Self { hosts, cut: BTreeSet::new() })
    }

    /// Replaces the set of cuts. Packets from the first host of each pair to the second are dropped.
    ///
    /// # Errors
    /// A system command fails.
    pub(super) async fn set_cuts(&mut self, cut: BTreeSet<(Host, Host)>) -> anyhow::Result<()> {
        let senders = |cut: &BTreeSet<(Host, Host)>| {
            let mut by_receiver: BTreeMap<Host, Vec<Host>> = BTreeMap::new();
            for &(from, to) in cut {
                by_receiver.entry(to).or_default().push(from);
            }
            by_receiver
        };
        let (before, now) = (senders(&self.cut), senders(&cut));
        for host in self.hosts.iter().copied().chain([HUB]) {
            let nobody = Vec::new();
            let senders = now.get(&host).unwrap_or(&nobody);
            if before.get(&host).unwrap_or(&nobody) == senders {
                continue;
            }
            let mut script = "flush set inet chaos cut\n".to_owned();
            for &sender in senders {
                let crawl = if sender == HUB { String::new() } else { format!(", 10.77.{sender}.0/24") };
                writeln!(script, "add element inet chaos cut {{ {}{crawl} }}", address(sender))?;
            }
            let on = if host == HUB { String::new() } else { on(host).join(" ") };
            run(&format!("{on} nft -f -"), &script).await?;
        }
        self.cut = cut;
        Ok(())
    }

    pub(super) fn cuts(&self) -> BTreeSet<(Host, Host)> {
        self.cut.clone()
    }

    /// Limits the sending rate of a host; absent: no limit.
    ///
    /// # Errors
    /// A system command fails.
    pub(super) async fn set_speed(&self, host: Host, kilobits: Option<u64>) -> anyhow::Result<()> {
        let tc = format!("{} tc qdisc", on(host).join(" "));
        match kilobits {
            // Packets that would wait longer than this in the queue of the link are dropped.
            Some(rate) => {
                let link = format!("rate {rate}kbit burst 8kb latency 400ms");
                run(&format!("{tc} replace dev eth0 root tbf {link}"), "").await
            }
            None => run(&format!("{tc} delete dev eth0 root"), "").await,
        }
    }
}

/// Runs a system command, without quoting, with this input.
async fn run(line: &str, input: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.kill_on_drop(true).spawn().with_context(|| format!("starting {program}"))?;
    if let Some(mut to) = process.stdin.take() {
        // A command that reads no input has closed the pipe; its exit status shows whether it succeeded.
        let _unread = to.write_all(input.as_bytes()).await;
    }
    let output = process.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` ended with {}: {said}\ninput: {input}", output.status);
    Ok(())
}
