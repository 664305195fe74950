//! Changes of members and disks, one at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::{ClientError, MemberRequest};
use api::model::ClusterStatus;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster::{Program, tls_flags};

use super::fault::Fault;
use super::hub::{self, Host};
use super::world::{Later, World};

/// Requests the restart of a node, and waits until it has been restarted.
const EXEC: &str = "touch restart.$TWM_NODE_ID; while [ -e restart.$TWM_NODE_ID ]; do sleep 0.05; done";

/// How long an operator repeats a change that the cluster refuses.
const INSISTS: Duration = Duration::from_secs(30);

/// A change in progress.
pub(super) enum Change {
    /// A disk is lost and replaced; whether the node was a voter.
    Replace(Host, bool),
    /// Nodes run with disks other than their own.
    OtherDisks(BTreeMap<Host, PathBuf>),
    /// A member is added; whether it is to become a voter.
    Add(Host, bool, Asked),
    /// The new member becomes a voter.
    Promote(Host, Asked),
    /// A member leaves.
    Remove(Host, Asked),
    /// The nodes are restarted one by one.
    Roll(Child),
}

/// A request that an operator repeats until it is acknowledged. The error is the last refusal.
pub(super) type Asked = JoinHandle<Result<(), String>>;

impl Change {
    /// The disk that a host uses instead of its own.
    pub(super) fn disk_of(&self, host: Host) -> Option<PathBuf> {
        match self {
            Self::OtherDisks(disks) => disks.get(&host).cloned(),
            _ => None,
        }
    }
}

impl World {
    /// Starts a change, unless it is not possible now.
    pub(super) async fn begin_change(&mut self, fault: Fault) -> anyhow::Result<bool> {
        let Some(status) = self.status().filter(|_| self.change.is_none()) else { return Ok(false) };
        let well = |but: Host| {
            let others = status.nodes.iter().filter(|node| node.id != but);
            let all = others.clone().count() >= self.members.len() - 1 && status.changes.is_empty();
            all && others.into_iter().all(|node| node.node.is_some() && node.cut_off.is_none())
        };
        let victim = self.victim();
        match fault {
            Fault::ReplaceDisk if well(victim) => {
                let Some(disk) = status.disk_of(victim) else { return Ok(false) };
                let votes = status.nodes.iter().any(|node| node.id == victim && node.voter);
                self.tolerate(victim, 120);
                let pause = 500 + self.below(1_000);
                self.kill(victim, pause).await?;
                self.site(victim)?.new_disk()?;
                self.ask(MemberRequest::ReplaceDisk { node: victim, disk, address: None });
                self.change = Some(Change::Replace(victim, votes));
            }
            Fault::SwapDisks => {
                let other = self.victim();
                if other == victim {
                    return Ok(false);
                }
                let disk = |host: Host| self.sites.get(&host).map(|site| site.data_dir());
                let disks = [(victim, disk(other)), (other, disk(victim))];
                let disks = disks.into_iter().filter_map(|(host, disk)| Some((host, disk?))).collect();
                self.use_other_disks(disks).await?;
            }
            Fault::Unmount => {
                let hosts: Vec<Host> = self.members.iter().copied().filter(|_| self.below(3) > 0).collect();
                let mut disks = BTreeMap::new();
                for host in hosts {
                    let empty = self.site(host)?.data_dir().with_extension("unmounted");
                    if empty.exists() {
                        fs::remove_dir_all(&empty)?;
                    }
                    fs::create_dir(&empty)?;
                    disks.insert(host, empty);
                }
                self.use_other_disks(disks).await?;
            }
            Fault::AddMember if well(0) => {
                let spare = self.sites.keys().copied().find(|host| !self.members.contains(host));
                let Some(host) = spare else { return Ok(false) };
                let others: Vec<Host> = self.members.iter().copied().collect();
                let vote = self.below(2) == 0;
                self.site(host)?.new_disk()?;
                self.site(host)?.joins(&others);
                self.tolerate(host, 120);
                let address = format!("{}:8000", hub::address(host));
                let asked = self.ask(MemberRequest::Add { node: host, address });
                self.members.insert(host);
                self.later(self.below(1_000), Later::Start(host));
                self.change = Some(Change::Add(host, vote, asked));
            }
            Fault::RemoveMember if well(victim) => {
                let voters = status.nodes.iter().filter(|node| node.voter).count();
                let votes = status.nodes.iter().any(|node| node.id == victim && node.voter);
                if votes && voters <= 3 || self.members.len() <= 3 {
                    return Ok(false);
                }
                self.tolerate(victim, 120);
                let asked = self.ask(MemberRequest::Remove { node: victim });
                self.change = Some(Change::Remove(victim, asked));
            }
            Fault::RollingRestart => self.change = Some(Change::Roll(self.roll()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Restarts nodes with these disks; they get their own disks back later.
    async fn use_other_disks(&mut self, disks: BTreeMap<Host, PathBuf>) -> anyhow::Result<()> {
        let hosts: Vec<Host> = disks.keys().copied().collect();
        self.change = Some(Change::OtherDisks(disks));
        for &host in &hosts {
            self.tolerate(host, 30);
            self.later.retain(|(_, what)| *what != Later::Start(host));
            // A node must have stopped before it starts with another disk.
            self.kill(host, 200).await?;
        }
        let back = 2_000 + self.below(4_000);
        self.later(back, Later::Remount(hosts));
        Ok(())
    }

    /// Repeats a request until it is acknowledged, or still refused after [`INSISTS`].
    fn ask(&mut self, request: MemberRequest) -> Asked {
        let client = Arc::clone(&self.client);
        let end = Instant::now() + INSISTS;
        tokio::spawn(async move {
            loop {
                let refused = match client.change_members(request.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(ClientError::Api(refused)) => Some(refused.to_string()),
                    // The outcome is unknown: the repeated request is acknowledged or refused.
                    Err(_) => None,
                };
                match refused {
                    Some(refused) if Instant::now() > end => return Err(refused),
                    _ => sleep(Duration::from_millis(200)).await,
                }
            }
        })
    }

    fn roll(&self) -> anyhow::Result<Child> {
        let endpoints: Vec<_> =
            self.members.iter().map(|host| format!("{}:8000", hub::address(*host))).collect();
        let mut command = Program::Ctl.command()?;
        command.current_dir(self.folder.path()).args(["--endpoints", &endpoints.join(",")]);
        command.args(tls_flags(&self.folder, "operator-harness"));
        command.args(["rolling-restart", "--exec", EXEC, "--node-timeout", "30"]);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    /// Checks the progress of a change, and continues it.
    pub(super) async fn go_on_changing(&mut self) -> anyhow::Result<()> {
        let Some(change) = self.change.take() else { return Ok(()) };
        let status = self.status();
        let member = |status: &ClusterStatus, host: Host| {
            let found = status.nodes.iter().find(|node| node.id == host && node.node.is_some());
            found.map(|node| node.voter).filter(|_| status.changes.is_empty())
        };
        self.change = match change {
            Change::Replace(host, votes) => {
                let done = status.is_some_and(|status| member(&status, host) == Some(votes));
                if done {
                    self.site(host)?.remove_old_disks()?;
                }
                (!done).then_some(Change::Replace(host, votes))
            }
            Change::Add(host, vote, asked) if asked.is_finished() => match asked.await? {
                Ok(()) => {
                    let there = status.is_some_and(|status| member(&status, host).is_some());
                    match (there, vote) {
                        (false, _) => Some(Change::Add(host, vote, tokio::spawn(async { Ok(()) }))),
                        (true, true) => {
                            let asked = self.ask(MemberRequest::Promote { node: host });
                            Some(Change::Promote(host, asked))
                        }
                        (true, false) => None,
                    }
                }
                Err(refused) => {
                    self.seen.refused(&format!("member add {host}: {refused}"));
                    self.leave(host).await?;
                    None
                }
            },
            Change::Promote(host, asked) if asked.is_finished() => {
                if let Err(refused) = asked.await? {
                    self.seen.refused(&format!("member promote {host}: {refused}"));
                }
                None
            }
            Change::Remove(host, asked) if asked.is_finished() => match asked.await? {
                Ok(()) => {
                    let gone = status.is_some_and(|status| {
                        status.changes.is_empty() && status.nodes.iter().all(|node| node.id != host)
                    });
                    if gone {
                        self.leave(host).await?;
                        None
                    } else {
                        Some(Change::Remove(host, tokio::spawn(async { Ok(()) })))
                    }
                }
                Err(refused) => {
                    self.seen.refused(&format!("member remove {host}: {refused}"));
                    None
                }
            },
            Change::Roll(child) => self.go_on_rolling(child)?,
            other => Some(other),
        };
        Ok(())
    }

    /// Removes a host from the members and kills its node.
    async fn leave(&mut self, host: Host) -> anyhow::Result<()> {
        self.members.remove(&host);
        self.later.retain(|(_, what)| *what != Later::Start(host));
        let site = self.site(host)?;
        if site.node.runs() {
            site.node.kill().await?;
        }
        site.new_words()?;
        Ok(())
    }

    fn go_on_rolling(&mut self, mut child: Child) -> anyhow::Result<Option<Change>> {
        let request = |host: &Host| (*host, self.folder.path().join(format!("restart.{host}")));
        let requests: Vec<_> = self.members.iter().map(request).filter(|(_, file)| file.exists()).collect();
        for (host, file) in requests {
            let stopping = file.with_extension(format!("{host}.stopping"));
            let node = &self.site(host)?.node;
            if node.runs() && !stopping.exists() {
                node.terminate()?;
                fs::write(&stopping, "")?;
                self.tolerate(host, 40);
            } else if !node.runs() {
                // `notice_exits` starts the node.
                fs::remove_file(&file)?;
                if stopping.exists() {
                    fs::remove_file(&stopping)?;
                }
            }
        }
        if let Some(exit) = child.try_wait()? {
            self.seen.rolled(exit.success());
            return Ok(None);
        }
        Ok(Some(Change::Roll(child)))
    }
}
