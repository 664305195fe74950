//! A simulated world: a cluster, its operators, and faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use storage::env::{Entropy, SeededEntropy};

use crate::consensus::seed_this_thread;
use crate::model::{NodeId, StateDigest, StorageId};
use crate::server::{Ended, Tracker};
use crate::state::JobPlace;

use super::bank::Bank;
use super::crash_loop::CrashLoop;
use super::faults::{Fault, Later};
use super::files::{Files, Grants};
use super::net::{SimNet, Weather, address};
use super::operators::{Ledger, Operator};
use super::plan::{Outcome, Plan};
use super::process::{Exit, NEXT_VERSION, SimNode, Time, Workplace};
use super::shared_budget::Server;
use super::trace::Trace;
use super::workforce::{Workforce, WorldClock};

/// Duration of a step.
pub const STEP: Duration = Duration::from_millis(10);

/// The world's clock advances in units of this.
const TICK: Duration = Duration::from_millis(2);

/// One step in this many brings a fault.
const FAULT_EVERY: u64 = 40;

/// Steps without faults at the beginning.
const STEPS_TO_FORM: u64 = 400;

/// Steps between two comparisons of the replicas.
const COMPARE_EVERY: u64 = 25;

const OPERATORS: u64 = 3;

/// Creates a node, either an initial one or one that joins.
pub(super) type Make = Box<dyn Fn(NodeId, u64) -> SimNode>;

pub(super) struct World {
    pub(super) now: Duration,
    clock: WorldClock,
    pub(super) workforce: Option<Arc<dyn Workforce>>,
    pub(super) trace: Trace,
    pub(super) net: SimNet,
    pub(super) nodes: Vec<SimNode>,
    pub(super) operators: Time,
    /// Replaces disks and transfers the leadership.
    pub(super) admin: Time,
    pub(super) ledger: Ledger,
    pub(super) grants: Grants,
    bank: Bank,
    /// Has a budget that all nodes share.
    server: Server,
    pub(super) dice: SeededEntropy,
    /// What ends later.
    pub(super) later: Vec<(Duration, Later)>,
    /// The node that crashes again and again.
    pub(super) crash_loop: Option<CrashLoop>,
    /// Nodes whose disk is being replaced: until an operator has admitted the new one, it is refused.
    pub(super) replacing: BTreeMap<NodeId, Duration>,
    /// Nodes whose disk is not there.
    pub(super) unmounted: BTreeSet<NodeId>,
    /// Creates a node with a number.
    pub(super) make: Make,
    /// Number of nodes so far, including those that left.
    pub(super) numbered: NodeId,
    /// The member that is being removed.
    pub(super) leaving: Option<NodeId>,
    /// Whether an operator is changing the members.
    pub(super) changing: Arc<AtomicBool>,
    pub(super) faults: BTreeMap<Fault, u64>,
    met: BTreeMap<(Fault, JobPlace), u64>,
    drawn: u64,
    pub(super) digests: BTreeMap<u64, StateDigest>,
    /// The applied index of each replica when it was last compared.
    pub(super) compared: BTreeMap<NodeId, u64>,
}

/// Simulates a world.
pub fn simulate(plan: &Plan) -> Outcome {
    seed_this_thread(Some(plan.seed));
    let mut world = World::new(plan);
    let traced = plan.trace.as_ref().map_or(Ok(()), |path| world.trace.write_to(path));
    let traced = traced.map_err(|error| format!("the trace cannot be written: {error}"));
    let failure = traced.and_then(|()| world.live(plan)).err();
    let (crawls, accounts) = world.ended();
    let (deeds, messages) = world.trace.told();
    let outcome = Outcome {
        failure,
        digest: world.trace.digest(),
        simulated: world.now,
        faults: std::mem::take(&mut world.faults),
        drawn: world.drawn,
        met: std::mem::take(&mut world.met),
        calls: world.ledger.calls(),
        crawls,
        accounts,
        deeds,
        messages,
    };
    drop(world);
    seed_this_thread(None);
    outcome
}

impl World {
    fn new(plan: &Plan) -> Self {
        let dice = SeededEntropy::new(plan.seed);
        let trace = Trace::default();
        let net = SimNet::new(dice.next_u64(), trace.clone(), &plan.folder);
        let ids: Vec<NodeId> = (1..=plan.nodes).collect();
        let (grants, clock) = (Grants::default(), WorldClock::default());
        let server = Server::by(clock.clone());
        // In every other world all nodes share one folder.
        let shared = (plan.seed % 2 == 0).then(Files::default);
        let workforce = plan.workforce.clone().map(|workforce| (workforce, clock.clone()));
        let (folder, first, port) = (plan.folder.clone(), ids.clone(), net.clone());
        let bank = Bank::new(clock.clone());
        let (common, banks, servers) = (grants.clone(), bank.clone(), server.clone());
        let make: Make = Box::new(move |id, seed| {
            let (files, storage) = match &shared {
                Some(files) => (files.clone(), (StorageId(1), true)),
                None => (Files::default(), (StorageId(id), false)),
            };
            let (grants, bank, server) = (common.clone(), banks.clone(), servers.clone());
            let workforce = workforce.clone();
            let workplace = Workplace { files, storage, grants, bank, server, workforce };
            SimNode::new(id, first.clone(), port.clone(), workplace, &folder, seed)
        });
        let nodes = ids.iter().map(|id| make(*id, dice.next_u64())).collect();
        let (operators, admin) = (Time::new(dice.next_u64()), Time::new(dice.next_u64()));
        let (ledger, hosts) = (Ledger::default(), plan.workforce.is_none());
        for number in 1..=OPERATORS {
            let seed = dice.next_u64();
            let operator = Operator::new(number, &ids, &net, ledger.clone(), seed, trace.clone(), hosts);
            operators.spawn(operator.run(ids.clone()));
        }
        Self {
            now: Duration::ZERO,
            clock,
            workforce: plan.workforce.clone(),
            trace,
            net,
            nodes,
            operators,
            admin,
            ledger,
            grants,
            bank,
            server,
            dice,
            later: Vec::new(),
            crash_loop: None,
            replacing: BTreeMap::new(),
            unmounted: BTreeSet::new(),
            make,
            numbered: plan.nodes,
            leaving: None,
            changing: Arc::default(),
            faults: BTreeMap::new(),
            met: BTreeMap::new(),
            drawn: 0,
            digests: BTreeMap::new(),
            compared: BTreeMap::new(),
        }
    }

    pub(super) fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    fn live(&mut self, plan: &Plan) -> Result<(), String> {
        let fate = SeededEntropy::new(self.dice.next_u64());
        // Some start late: a first cluster waits for all.
        for id in 1..=self.nodes.len() as NodeId {
            let late = Duration::from_millis(if self.below(2) == 0 { 0 } else { self.below(3_000) });
            self.later.push((late, Later::Start(id)));
        }
        for step in 0..plan.steps {
            if step > STEPS_TO_FORM && fate.next_u64() % FAULT_EVERY == 0 {
                // A fault draws from its own generator: skipping one changes nothing in the others.
                let own = SeededEntropy::new(fate.next_u64());
                if !plan.without.contains(&self.drawn) {
                    let common = std::mem::replace(&mut self.dice, own);
                    self.inject(Fault::drawn(self.below(Fault::weights())));
                    self.dice = common;
                }
                self.drawn += 1;
            }
            self.advance(STEP)?;
            if step % COMPARE_EVERY == 0 {
                self.compare()?;
            }
        }
        self.heal();
        self.settle()?;
        self.check_accounts()?;
        self.ledger.contradiction().map_or(Ok(()), Err)
    }

    /// Time passes.
    pub(super) fn advance(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now + time;
        while self.now < until {
            self.now += TICK;
            self.clock.set(self.now);
            self.trace.advance_to(self.now);
            self.net.advance_to(self.now);
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.run_for(now, TICK));
            self.operators.run_for(TICK);
            self.admin.run_for(TICK);
        }
        self.do_what_is_due();
        self.continue_crash_loop();
        self.notice_exits()?;
        let wrong = self.nodes.iter().find_map(|node| node.files.wrong());
        let wrong = wrong.or_else(|| self.ledger.wrong()).or_else(|| self.grants.wrong());
        let wrong = wrong.or_else(|| self.bank.wrong());
        let wrong = wrong.or_else(|| self.server.wrong());
        let wrong = wrong.or_else(|| self.workforce.as_ref()?.wrong()).or_else(|| self.net.wrong());
        wrong.map_or(Ok(()), Err)
    }

    fn do_what_is_due(&mut self) {
        let now = self.now;
        let (due, later) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        let due: Vec<(Duration, Later)> = due;
        for (_, what) in due {
            match what {
                // A node that was to be started may have been removed.
                Later::Start(id) | Later::Remount(id, _) if self.nodes.iter().all(|node| node.id != id) => {}
                Later::Start(node) => self.node(node).start(),
                Later::Remount(node, disk) => {
                    self.trace.deed(format_args!("the disk of node {node} is there again"));
                    self.unmounted.remove(&node);
                    let node = self.node(node);
                    node.kill();
                    node.disk = disk;
                    node.start();
                }
            }
        }
    }

    /// Restarts a process that ended by itself, unless it should not have ended.
    fn notice_exits(&mut self) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            let Some(exit) = self.nodes[at].exit() else { continue };
            let id = self.nodes[at].id;
            if self.nodes[at].last_exit.as_ref() != Some(&exit) {
                self.trace.deed(format_args!("node {id} ended: {exit:?}"));
            }
            self.nodes[at].last_exit = Some(exit.clone());
            match exit {
                Exit::Ended(Ended::Broken(why)) if !why.contains("simulated disk") => {
                    return Err(format!("node {id} cannot continue: {why}"));
                }
                // Its disk may fail during the start, too.
                Exit::Refused(why) if why.contains("simulated disk") => {}
                // Without its disk it may report so and end.
                Exit::Refused(why) if !self.unmounted.contains(&id) && !self.replacing.contains_key(&id) => {
                    return Err(format!("node {id} does not start: {why}"));
                }
                Exit::Ended(Ended::Retired(_)) if self.leaving == Some(id) => {
                    self.nodes.remove(at);
                    self.leaving = None;
                    return Ok(());
                }
                Exit::Ended(Ended::Retired(why)) => {
                    return Err(format!("node {id} was retired, and nobody asked for it: {why}"));
                }
                _ => {}
            }
            let pause = Duration::from_millis(100 + self.below(900));
            self.later.push((self.now + pause, Later::Start(id)));
        }
        Ok(())
    }

    pub(super) fn node(&mut self, id: NodeId) -> &mut SimNode {
        let at = self.nodes.iter().position(|node| node.id == id).unwrap_or_default();
        &mut self.nodes[at]
    }

    fn some_node(&self) -> NodeId {
        self.nodes[self.below(self.nodes.len() as u64) as usize].id
    }

    fn leader(&self) -> Option<NodeId> {
        self.nodes.iter().find_map(SimNode::leader)
    }

    /// A random node, but more often the leader.
    fn victim(&self) -> NodeId {
        match self.leader().filter(|_| self.below(2) == 0) {
            Some(leader) => leader,
            None => self.some_node(),
        }
    }

    fn inject(&mut self, fault: Fault) {
        let victim = self.victim();
        let (from, to) = (self.some_node(), self.some_node());
        let met = places(&self.nodes, fault.befalls_a_node().then_some(victim));
        let soon = |world: &Self, most: u64| world.now + Duration::from_millis(50 + world.below(most));
        let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        match fault {
            Fault::CutLink => self.net.change_weather(|weather| weather.cut.extend([(from, to)])),
            Fault::CutNode => self.net.change_weather(|weather| {
                for other in ids.iter().filter(|id| **id != victim) {
                    weather.cut.extend([(victim, *other), (*other, victim)]);
                }
            }),
            Fault::Bridge => self.bridge(victim, None),
            Fault::CrashLoop => self.begin_crash_loop(victim),
            Fault::SlowLink => {
                let slower = Duration::from_millis(self.below(120));
                self.net.change_weather(|weather| weather.slow.extend([((from, to), slower)]));
            }
            Fault::Storm => {
                let (lost, doubled, reordered) = (self.below(80), self.below(80), self.below(2) == 0);
                self.net.change_weather(|weather| {
                    *weather = Weather { lost, doubled, reordered, ..weather.clone() };
                });
            }
            Fault::ClearNetwork => self.net.change_weather(|weather| *weather = Weather::default()),
            Fault::Kill => {
                self.node(victim).kill();
                self.later.push((soon(self, 3_000), Later::Start(victim)));
            }
            Fault::KillAll => {
                for id in ids {
                    self.node(id).kill();
                    self.later.push((soon(self, 1_500), Later::Start(id)));
                }
            }
            Fault::Freeze => {
                let until = soon(self, 8_000);
                self.node(victim).freeze(until);
            }
            Fault::SlowDisk => {
                let slower = Duration::from_millis(self.below(150));
                self.node(victim).disks.slow_down(slower);
            }
            Fault::FailSync => self.node(victim).disks.fail_next(),
            Fault::HealDisks => self.nodes.iter().for_each(|node| node.disks.heal()),
            Fault::ReplaceDisk => {
                if !self.replace_disk(victim) {
                    return;
                }
            }
            Fault::Unmount => {
                if !self.unmount() {
                    return;
                }
            }
            Fault::JumpClock => {
                let ms = self.below(20_000_000) as i64 - 10_000_000;
                self.node(victim).jump(ms);
            }
            Fault::Drift => {
                // Up to a twentieth: the margin of leases is a tenth.
                let drift = self.below(40_000) as i64 - 20_000;
                self.node(victim).drift = drift;
            }
            Fault::AddMember | Fault::RemoveMember | Fault::Promote | Fault::Demote => {
                if !self.change_members(fault, victim) {
                    return;
                }
            }
            Fault::Upgrade => {
                let node = self.node(victim);
                if node.known == NEXT_VERSION {
                    return;
                }
                node.kill();
                node.known = NEXT_VERSION;
                self.later.push((soon(self, 1_500), Later::Start(victim)));
            }
            Fault::TransferLeader => {
                let client = self.client();
                self.admin.spawn(async move {
                    // This may fail: there may be no leader.
                    let _moved = client.transfer_leader(None).await;
                });
            }
        }
        self.trace.deed(format_args!("fault {}: {fault:?}, node {victim}, link {from} to {to}", self.drawn));
        for place in met {
            *self.met.entry((fault, place)).or_default() += 1;
        }
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn client(&self) -> Client {
        let endpoints = self.nodes.iter().map(|node| address(node.id)).collect();
        Client::dialling(self.net.of(0), endpoints, Duration::from_secs(10), &self.dice)
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.server.heal();
        self.trace.deed(format_args!("everything works"));
        self.crash_loop = None;
        self.net.change_weather(|weather| *weather = Weather::default());
        let now = self.now;
        for node in &mut self.nodes {
            node.disks.heal();
            node.freeze(now);
            node.drift = 0;
            if node.known < NEXT_VERSION {
                node.kill();
                node.known = NEXT_VERSION;
            }
        }
        for (at, _) in &mut self.later {
            *at = now;
        }
        self.do_what_is_due();
        self.nodes.iter_mut().for_each(SimNode::start);
    }
}

/// Where jobs are, according to the most up-to-date replica.
fn places(nodes: &[SimNode], node: Option<NodeId>) -> BTreeSet<JobPlace> {
    let trackers = nodes.iter().filter_map(SimNode::tracker);
    let furthest = trackers.max_by_key(Tracker::applied_index);
    furthest.map(|tracker| tracker.job_places(node)).unwrap_or_default()
}

impl Drop for World {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(SimNode::kill);
        self.net.clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    /// The test of a defect that a loaded machine showed once in fifty runs: other faults were drawn for the same seed.
    #[test]
    fn who_leads_is_known_from_simulated_time_however_slow_the_machine_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_owned();
        let plan =
            Plan { seed: 1, nodes: 3, steps: 0, folder, without: [].into(), trace: None, workforce: None };
        seed_this_thread(Some(plan.seed));
        let mut world = World::new(&plan);
        world.nodes.iter_mut().for_each(SimNode::start);
        while world.leader().is_none() {
            assert!(world.now < Duration::from_secs(60), "no leader within a minute");
            world.advance(STEP).unwrap();
        }
        let (leader, of_each) = (world.leader(), world.nodes.iter().map(SimNode::leader).collect::<Vec<_>>());
        // The time outside of the nodes is an hour later.
        let machine = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        machine.block_on(tokio::time::advance(Duration::from_secs(3_600)));
        let _outside = machine.enter();
        assert_eq!(world.leader(), leader);
        assert_eq!(world.nodes.iter().map(SimNode::leader).collect::<Vec<_>>(), of_each);
        seed_this_thread(None);
    }
}
