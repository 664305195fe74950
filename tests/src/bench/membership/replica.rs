//! The process that holds the state of one replica.

use std::sync::Arc;
use std::time::Duration;
use storage::dataset::SourceName;

use anyhow::{bail, ensure};
use api::model::{CrawlId, CrawlSpec, Operation, Operations, RequestId, Response, Traversal};
use raft::command::{Command, Limits, Mutation};
use raft::state::{State, write_checkpoint};
use storage::ids::UserId;
use storage::state::{SledStore, StateStore};
use tokio::time::Instant;

use super::super::accounts::{account, is_account, stranger};
use super::super::process::{ProcFolder, disk_bytes};
use super::super::targets::CHUNK;
use super::{BATCH, CHECKPOINT, Found, NEW_ONE_OF, ReplicaArguments, Tests};

/// Candidates tested per run.
const TESTS: u64 = 2_000_000;

/// A state with its store.
struct Replica {
    store: Arc<SledStore>,
    state: State,
    index: u64,
    crawl: CrawlId,
    applying: Duration,
    freeze: Duration,
    write: Duration,
}

pub(super) fn run(arguments: &ReplicaArguments) -> anyhow::Result<Found> {
    let ReplicaArguments { ids, waiting, runs, disk } = arguments;
    let mut replica = Replica::open(disk)?;
    let resident = ProcFolder::own().resident_bytes()?;
    replica.fill(*ids, !waiting)?;
    let resident = ProcFolder::own().resident_bytes()?.saturating_sub(resident);
    let sizes = replica.state.sizes();
    ensure!(sizes.seen_ids == *ids, "{ids} accounts were added; the replica has {}", sizes.seen_ids);
    let tests = (0..*runs).map(|run| replica.test(*ids, run)).collect::<anyhow::Result<_>>()?;
    let [seen_records, queue_records] = replica.records()?;
    Ok(Found {
        added: *ids as f64 / replica.applying.as_secs_f64(),
        freeze_ms: replica.freeze.as_secs_f64() * 1e3,
        write_ms: replica.write.as_secs_f64() * 1e3,
        tests,
        seen_memory: sizes.seen_bytes as f64,
        queue_memory: sizes.queue_bytes as f64,
        resident: resident as f64,
        seen_records: seen_records as f64,
        queue_records: queue_records as f64,
        files: disk_bytes(disk)? as f64,
    })
}

impl Replica {
    fn open(disk: &std::path::Path) -> anyhow::Result<Self> {
        let store = Arc::new(SledStore::open(disk)?);
        let state = State::load(Arc::clone(&store) as Arc<dyn StateStore>)?;
        let zero = Duration::ZERO;
        let mut replica =
            Self { store, state, index: 0, crawl: CrawlId(0), applying: zero, freeze: zero, write: zero };
        let spec = CrawlSpec {
            name: "benchmark".to_owned(),
            operations: Operations::only(Operation::Timeline),
            traversal: Traversal::Bfs,
            depth: None,
            follow: None,
            priority: 10,
            fingerprint: None,
            source: SourceName::default(),
            spend_limit: None,
        };
        let request = RequestId { client: 1, sequence: 1 };
        match replica.apply(Mutation::CreateCrawl { request, spec }) {
            Response::CrawlCreated(crawl) => replica.crawl = crawl,
            other => bail!("no crawl was made: {other:?}"),
        }
        Ok(replica)
    }

    fn apply(&mut self, mutation: Mutation) -> Response {
        self.index += 1;
        let command = Command { now: self.index, limits: Limits::default(), mutation };
        let begin = Instant::now();
        let response = self.state.apply(self.index, command);
        self.applying += begin.elapsed();
        response
    }

    /// Adds the first `ids` accounts, as targets or as seeds; seeds are seen but do not wait.
    fn fill(&mut self, ids: u64, seeds: bool) -> anyhow::Result<()> {
        self.applying = Duration::ZERO;
        for (chunk, first) in (0..).zip((0..ids).step_by(CHUNK as usize)) {
            let users = (first..ids.min(first + CHUNK)).map(account).collect();
            let response = self.apply(Mutation::AddTargets { crawl: self.crawl, chunk, users, seeds });
            ensure!(matches!(response, Response::Added(_)), "a chunk was not added: {response:?}");
            if (first + CHUNK) % CHECKPOINT == 0 {
                self.checkpoint()?;
            }
        }
        self.checkpoint()
    }

    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let frozen = self.state.freeze()?;
        let freeze = begin.elapsed();
        write_checkpoint(&*self.store, frozen, Vec::new())?;
        self.state.checkpoint_written();
        self.freeze = self.freeze.max(freeze);
        self.write = self.write.max(begin.elapsed() - freeze);
        Ok(())
    }

    /// Tests candidates; the known ones are drawn evenly from all accounts.
    fn test(&self, ids: u64, run: u32) -> anyhow::Result<Tests> {
        let first = u64::from(run) * TESTS;
        let candidate = |at: u64| {
            if at % NEW_ONE_OF == 0 {
                return stranger(first + at);
            }
            // Multiples of the golden ratio are spread evenly over any range.
            account(((first + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8) % ids)
        };
        let batches: Vec<Vec<UserId>> = (0..TESTS / BATCH)
            .map(|batch| (0..BATCH).map(|at| candidate(batch * BATCH + at)).collect())
            .collect();
        let mut new = 0;
        let (begin, cpu) = (Instant::now(), ProcFolder::own().cpu_seconds()?);
        for batch in batches {
            let unseen = self.state.unseen(self.crawl, batch);
            new += unseen.len() as u64;
            ensure!(!unseen.iter().any(is_account), "an account is not in the set that was added to it");
        }
        let (seconds, cpu) = (begin.elapsed().as_secs_f64(), ProcFolder::own().cpu_seconds()? - cpu);
        ensure!(new == TESTS / NEW_ONE_OF, "{new} candidates were new");
        Ok(Tests { a_second: TESTS as f64 / seconds, a_cpu_second: TESTS as f64 / cpu })
    }

    /// Bytes of the keys and values of the seen-set and of the queue, see `raft::state::keys`.
    fn records(&self) -> anyhow::Result<[u64; 2]> {
        let mut bytes = [0, 0];
        for (tag, sum) in [b's', b'q'].into_iter().zip(&mut bytes) {
            for entry in self.store.scan(&[tag], Some(&[tag + 1])) {
                let (key, value) = entry?;
                *sum += (key.len() + value.len()) as u64;
            }
        }
        Ok(bytes)
    }
}
