//! A simulated process: a runtime with a clock of its own, which runs a tracker and its workers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::env::{Entropy, Inline, SeededEntropy, Work};
use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::time::{Instant, advance, sleep_until};

use crate::model::{CLUSTER_VERSION, NodeId, StorageId};
use crate::server::{Ended, Tracker, TrackerOptions};

use super::bank::Bank;
use super::clock::SimClock;
use super::disks::SimDisks;
use super::files::{Files, Grants};
use super::net::{SimNet, address};
use super::shared_budget::Server;
use super::worker::Workers;
use super::workforce::{Post, Workforce, WorldClock};

/// Bytes of events kept for a mirror.
const EVENTS_KEPT: u64 = 4 << 10;

/// Entries kept in the log behind a checkpoint: few, so that nodes that lag get a snapshot.
const LOG_KEPT: u64 = 60;

/// Bytes of a snapshot in one message: few, so that it takes several.
const SNAPSHOT_CHUNK: usize = 2 << 10;

/// The version that upgraded programs support: one more, in which nothing is new.
pub(super) const NEXT_VERSION: u32 = CLUSTER_VERSION + 1;

/// Why a process ended by itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Exit {
    /// It did not start.
    Refused(String),
    /// It ran and ended.
    Ended(Ended),
}

/// Runs tasks in a runtime of its own, as far as the world's clock allows.
pub(super) struct Time {
    runtime: Runtime,
    origin: Instant,
    /// How much time has passed in it.
    passed: Duration,
}

impl Time {
    pub(super) fn new(seed: u64) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed.to_be_bytes()))
            .build();
        // It takes no more than memory, without which nothing else would work either.
        #[expect(clippy::expect_used, reason = "a simulation without a runtime cannot continue")]
        let runtime = runtime.expect("a runtime with a timer");
        let origin = runtime.block_on(async { Instant::now() });
        Self { runtime, origin, passed: Duration::ZERO }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Lets all tasks run for so long.
    pub(super) fn run_for(&mut self, time: Duration) {
        self.passed += time;
        let until = self.origin + self.passed;
        self.runtime.block_on(async move { sleep_until(until).await });
    }

    /// So much time passes in which no task runs.
    pub(super) fn skip(&mut self, time: Duration) {
        self.passed += time;
        self.runtime.block_on(async move { advance(time).await });
    }
}

/// Who works on a node, and for what place.
pub(super) struct Workplace {
    pub(super) files: Files,
    pub(super) storage: (StorageId, bool),
    pub(super) grants: Grants,
    pub(super) bank: Bank,
    pub(super) server: Server,
    pub(super) workforce: Option<(Arc<dyn Workforce>, WorldClock)>,
}

/// A node: what outlives its process, and the process while it runs.
pub(super) struct SimNode {
    pub(super) id: NodeId,
    peers: Vec<NodeId>,
    net: SimNet,
    pub(super) disks: SimDisks,
    pub(super) files: Files,
    grants: Grants,
    bank: Bank,
    server: Server,
    workforce: Option<(Arc<dyn Workforce>, WorldClock)>,
    storage: (StorageId, bool),
    folder: PathBuf,
    dice: SeededEntropy,
    /// The newest version of the cluster that its program carries out.
    pub(super) known: u32,
    /// The number of its disk, and how many it had.
    pub(super) disk: u32,
    pub(super) disks_used: u32,
    wall_offset_ms: Arc<AtomicI64>,
    /// How many millionths its clock is faster.
    pub(super) drift: i64,
    life: Option<Life>,
    /// Why it ended by itself last.
    pub(super) last_exit: Option<Exit>,
    /// The world's time until which the process does not run.
    frozen_until: Duration,
    /// Time that passed while it did not.
    frozen_for: Duration,
}

struct Life {
    time: Time,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tracker: Mutex<Option<Tracker>>,
    exit: Mutex<Option<Exit>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimNode {
    pub(super) fn new(
        id: NodeId,
        peers: Vec<NodeId>,
        net: SimNet,
        workplace: Workplace,
        folder: &Path,
        seed: u64,
    ) -> Self {
        let Workplace { files, storage, grants, bank, server, workforce } = workplace;
        Self {
            id,
            peers,
            net,
            disks: SimDisks::default(),
            files,
            grants,
            bank,
            server,
            workforce,
            storage,
            folder: folder.to_owned(),
            dice: SeededEntropy::new(seed),
            known: CLUSTER_VERSION,
            disk: 0,
            disks_used: 1,
            wall_offset_ms: Arc::default(),
            drift: 0,
            life: None,
            last_exit: None,
            frozen_until: Duration::ZERO,
            frozen_for: Duration::ZERO,
        }
    }

    /// With how many the cluster began.
    pub(super) fn first_nodes(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn runs(&self) -> bool {
        self.life.is_some()
    }

    /// The tracker, once it is a member.
    pub(super) fn tracker(&self) -> Option<Tracker> {
        lock(&self.life.as_ref()?.shared.tracker).clone()
    }

    /// The leader that its replica knows; `None` while it is not ready.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let tracker = self.tracker()?;
        // Whether a leader is silent is a question of time: of the process's own, not of the machine's.
        let _inside = self.life.as_ref()?.time.runtime.enter();
        if tracker.is_ready() { tracker.leader() } else { None }
    }

    /// Why the process has ended by itself, told once. It does not run any more.
    pub(super) fn exit(&mut self) -> Option<Exit> {
        let exit = lock(&self.life.as_ref()?.shared.exit).take()?;
        self.kill();
        Some(exit)
    }

    pub(super) fn start(&mut self) {
        if self.runs() {
            return;
        }
        let time = Time::new(self.dice.next_u64());
        let clock = {
            let _inside = time.runtime.enter();
            SimClock::new(Arc::clone(&self.wall_offset_ms))
        };
        let first = self.peers.iter().map(|node| (*node, address(*node)));
        // Later nodes ask these to be admitted.
        let joins = !self.peers.contains(&self.id);
        let (peers, join) = match joins {
            true => (BTreeMap::new(), first.map(|(_, address)| address).collect()),
            false => (first.collect(), Vec::new()),
        };
        let data = self.folder.join(format!("node{}-disk{}", self.id, self.disk));
        let entropy = Arc::new(SeededEntropy::new(self.dice.next_u64()));
        let port = self.net.of(self.id);
        let options = TrackerOptions {
            dial: port.clone(),
            ports: port,
            work: Work::over(Inline),
            disks: self.disks.disks(),
            cluster_version: self.known,
            check_invariants: true,
            events_kept: EVENTS_KEPT,
            log_kept: LOG_KEPT,
            snapshot_chunk: SNAPSHOT_CHUNK,
            // Of five and more some are learners.
            voters: (self.peers.len() > 3).then_some(3),
            output_owner: self.files.owner(),
            listen: joins.then(|| address(self.id)),
            join,
            ..TrackerOptions::new(self.id, "sim".to_owned(), peers, data, clock.clone(), entropy)
        };
        let shared = Arc::<Shared>::default();
        let (node, storage) = (self.id, self.storage);
        let (files, grants, bank) = (self.files.clone(), self.grants.clone(), self.bank.clone());
        let server = self.server.clone();
        let dice = SeededEntropy::new(self.dice.next_u64());
        let (workforce, disk) = (self.workforce.clone(), self.disk);
        time.spawn({
            let shared = Arc::clone(&shared);
            async move {
                let exit = match Tracker::start(options).await {
                    Err(error) => Exit::Refused(error.to_string()),
                    Ok(tracker) => {
                        files.bind(tracker.cluster_id());
                        *lock(&shared.tracker) = Some(tracker.clone());
                        let own = tracker.clone();
                        match workforce {
                            None => {
                                let workers = Workers {
                                    node,
                                    storage,
                                    tracker: own,
                                    files,
                                    grants,
                                    bank,
                                    server,
                                    dice,
                                };
                                tokio::spawn(workers.run());
                            }
                            Some((workforce, world)) => {
                                let (storage, shared) = storage;
                                let post =
                                    Post { node, disk, storage, shared, tracker: own, clock, dice, world };
                                tokio::spawn(workforce.work(post));
                            }
                        }
                        Exit::Ended(tracker.failed().await)
                    }
                };
                *lock(&shared.exit) = Some(exit);
            }
        });
        self.life = Some(Life { time, shared });
        (self.frozen_until, self.frozen_for) = (Duration::ZERO, Duration::ZERO);
    }

    /// Ends the process at once; what was not synced is lost.
    pub(super) fn kill(&mut self) {
        if let Some(Life { time, shared }) = self.life.take() {
            drop(lock(&shared.tracker).take());
            drop(time);
        }
    }

    /// The process does not run until then.
    pub(super) fn freeze(&mut self, until: Duration) {
        self.frozen_until = until;
    }

    /// Its wall clock jumps.
    pub(super) fn jump(&mut self, ms: i64) {
        self.wall_offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets the process run for so long of the world's time.
    pub(super) fn run_for(&mut self, now: Duration, time: Duration) {
        let Some(life) = &mut self.life else { return };
        let own = Duration::from_nanos(
            u64::try_from(time.as_nanos() as i128 * i128::from(1_000_000 + self.drift) / 1_000_000)
                .unwrap_or_default(),
        );
        if now < self.frozen_until {
            self.frozen_for += own;
            return;
        }
        let slept = std::mem::take(&mut self.frozen_for);
        if !slept.is_zero() {
            life.time.skip(slept);
        }
        life.time.run_for(own);
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.kill();
    }
}
