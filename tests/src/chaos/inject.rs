//! Faults and their ends.

use std::collections::BTreeSet;

use anyhow::ensure;
use api::TrackerApi;

use crate::emulator::{Fault as ApiFault, FaultRule};

use super::fault::Fault;
use super::hub::{HUB, Host};
use super::world::{Later, World};

impl World {
    /// The requested kinds of faults; absent: all.
    ///
    /// # Errors
    /// A name is not a kind of fault.
    pub(super) fn choices(&self, names: &[String]) -> anyhow::Result<Option<Vec<Fault>>> {
        let all = || Fault::ALL.iter().map(|(fault, ..)| *fault);
        let named = |name: &String| {
            let found = all().find(|fault| format!("{fault:?}").eq_ignore_ascii_case(name));
            let known = || all().map(|fault| format!("{fault:?}")).collect::<Vec<_>>().join(", ");
            found
                .ok_or_else(|| anyhow::anyhow!("--only: {name:?} is no kind of fault; there are {}", known()))
        };
        let named = names.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
        Ok((!named.is_empty()).then_some(named))
    }

    fn some_member(&self) -> Host {
        let at = self.below(self.members.len() as u64) as usize;
        self.members.iter().nth(at).copied().unwrap_or(1)
    }

    /// A random member, the leader with the highest probability.
    pub(super) fn victim(&self) -> Host {
        let leader = self.status().map(|status| status.leader);
        leader.filter(|_| self.below(2) == 0).unwrap_or_else(|| self.some_member())
    }

    /// Injects a fault, unless it is not possible now.
    pub(super) async fn inject(&mut self, fault: Fault) -> anyhow::Result<bool> {
        let victim = self.victim();
        let members = self.members.clone();
        let lasts = 300 + self.below(5_000);
        match fault {
            Fault::Kill => self.kill(victim, lasts / 2).await?,
            Fault::KillAll => {
                for host in members {
                    let pause = self.below(1_500);
                    self.kill(host, pause).await?;
                }
            }
            Fault::Freeze => {
                if !self.site(victim)?.node.runs() {
                    return Ok(false);
                }
                self.site(victim)?.node.freeze()?;
                let lasts = self.below(8_000);
                self.later(lasts, Later::Thaw(victim));
            }
            Fault::Terminate => {
                if !self.site(victim)?.node.runs() {
                    return Ok(false);
                }
                self.tolerate(victim, 40);
                self.site(victim)?.node.terminate()?;
            }
            Fault::CutLink => {
                let cut = BTreeSet::from([(victim, self.some_member())]);
                self.cut(cut, lasts).await?;
            }
            Fault::CutNode => {
                let others = members.iter().filter(|host| **host != victim);
                let cut = others.flat_map(|other| [(victim, *other), (*other, victim)]).collect();
                self.cut(cut, lasts).await?;
            }
            Fault::Bridge => {
                let half = |host: Host| host < victim;
                let ends: Vec<Host> = members.iter().copied().filter(|host| *host != victim).collect();
                let pairs = ends.iter().flat_map(|a| ends.iter().map(|b| (*a, *b)));
                let cut = pairs.filter(|(a, b)| half(*a) != half(*b)).collect();
                self.cut(cut, lasts).await?;
            }
            Fault::CutHub => self.cut(BTreeSet::from([(victim, HUB), (HUB, victim)]), lasts).await?,
            Fault::SlowLink => {
                let speed = 100 + self.below(1_900);
                self.hub.set_speed(victim, Some(speed)).await?;
                self.end_later(lasts, Later::FullSpeed(victim));
            }
            Fault::FullDisk => {
                let left = self.below(16 << 10) as usize;
                self.site(victim)?.disk.fill(left)?;
                self.tolerate(victim, lasts / 1_000 + 10);
                self.end_later(lasts, Later::Free(victim));
            }
            Fault::FullDataset => {
                let at = self.below(self.outputs.len() as u64) as usize;
                let left = self.below(64 << 10) as usize;
                self.outputs[at].1.fill(left)?;
                self.end_later(lasts, Later::FreeDatasets);
            }
            Fault::MoveClock => {
                let seconds = self.below(14_400) as i64 - 7_200;
                self.site(victim)?.set_clock(seconds)?;
                self.end_later(lasts * 3, Later::Clock(victim));
            }
            Fault::KillApi => {
                self.emulator.stop();
                self.api_down = true;
                self.end_later(lasts, Later::Api);
            }
            Fault::BadApi => {
                self.emulator.set_faults(self.bad_api()).map_err(anyhow::Error::msg)?;
                self.end_later(lasts, Later::GoodApi);
            }
            Fault::KillRedis | Fault::FreezeRedis if self.redis_down => return Ok(false),
            Fault::KillRedis => {
                self.redis_down = true;
                self.redis.kill().await?;
                self.later(lasts, Later::Redis);
            }
            Fault::FreezeRedis => {
                self.redis_down = true;
                self.redis.process().freeze()?;
                self.later(lasts, Later::ThawRedis);
            }
            Fault::TransferLeader => {
                let client = self.client.clone();
                // This may fail, for example if there is no leader.
                self.busy.spawn(async move { drop(client.transfer_leader(None).await) });
            }
            Fault::Upgrade => {
                if self.old.is_none() {
                    return Ok(false);
                }
                self.site(victim)?.node.use_build(None);
                self.kill(victim, 100).await?;
            }
            Fault::ReplaceDisk
            | Fault::SwapDisks
            | Fault::Unmount
            | Fault::AddMember
            | Fault::RemoveMember
            | Fault::RollingRestart => {
                if !self.begin_change(fault).await? {
                    return Ok(false);
                }
            }
        }
        self.seen.fault(fault, victim);
        Ok(true)
    }

    /// Kills a node if it runs, and starts it again after `millis` milliseconds.
    pub(super) async fn kill(&mut self, host: Host, millis: u64) -> anyhow::Result<()> {
        let site = self.site(host)?;
        if site.node.runs() {
            site.node.kill().await?;
        }
        site.new_words()?;
        if !self.later.iter().any(|(_, what)| *what == Later::Start(host)) {
            self.later(millis, Later::Start(host));
        }
        Ok(())
    }

    async fn cut(&mut self, cut: BTreeSet<(Host, Host)>, millis: u64) -> anyhow::Result<()> {
        ensure!(!cut.contains(&(HUB, HUB)), "the hub cannot be cut off from itself");
        let number = self.cuts.last_key_value().map_or(0, |(last, _)| last + 1);
        self.cuts.insert(number, cut);
        self.apply_cuts().await?;
        self.later(millis, Later::Mend(number));
        Ok(())
    }

    async fn apply_cuts(&mut self) -> anyhow::Result<()> {
        let all: BTreeSet<_> = self.cuts.values().flatten().copied().collect();
        if all == self.hub.cuts() { Ok(()) } else { self.hub.set_cuts(all).await }
    }

    /// If the same fault was injected before, its earlier end is cancelled.
    fn end_later(&mut self, millis: u64, what: Later) {
        self.later.retain(|(_, other)| *other != what);
        self.later(millis, what);
    }

    fn bad_api(&self) -> Vec<FaultRule> {
        let kinds = [
            ApiFault::Status(500),
            ApiFault::Status(503),
            ApiFault::Reset,
            ApiFault::ResetBody,
            ApiFault::Cut,
            ApiFault::Truncated,
            ApiFault::Empty,
            ApiFault::Hang,
            ApiFault::Duplicates,
            ApiFault::LatencyMs(300),
            ApiFault::WrongTypes,
            ApiFault::NotUtf8,
        ];
        let rule = |_| {
            let kind = kinds[self.below(kinds.len() as u64) as usize];
            FaultRule::new(kind).probability(self.below(40) as f64 / 100.0)
        };
        (0..3).map(rule).collect()
    }

    /// Ends a fault.
    pub(super) async fn end(&mut self, what: Later) -> anyhow::Result<()> {
        match what {
            Later::Start(host) => {
                // The host may be using a disk other than its own.
                let disk = self.change.as_ref().and_then(|change| change.disk_of(host));
                self.site(host)?.start(disk.as_deref())?;
            }
            Later::Thaw(host) => {
                let node = &self.site(host)?.node;
                if node.runs() {
                    node.thaw()?;
                }
            }
            Later::Mend(number) => {
                self.cuts.remove(&number);
                self.apply_cuts().await?;
            }
            Later::FullSpeed(host) => self.hub.set_speed(host, None).await?,
            Later::Free(host) => self.site(host)?.disk.free()?,
            Later::FreeDatasets => {
                for (_, disk) in &self.outputs {
                    // Some of them were not filled.
                    let _not_filled = disk.free();
                }
            }
            Later::Clock(host) => self.site(host)?.set_clock(0)?,
            Later::Api => {
                self.emulator.start_again().await?;
                self.api_down = false;
            }
            Later::GoodApi => self.emulator.set_faults(Vec::new()).map_err(anyhow::Error::msg)?,
            Later::Redis => {
                self.redis.restart().await?;
                self.redis_down = false;
            }
            Later::ThawRedis => {
                self.redis.process().thaw()?;
                self.redis_down = false;
            }
            Later::Remount(hosts) => {
                self.change = None;
                for host in hosts {
                    self.tolerate(host, 5);
                    self.kill(host, 50).await?;
                }
            }
        }
        Ok(())
    }
}
