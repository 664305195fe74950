//! Changes that a client requests, as far as a node accepts them: no sequence of them may break an invariant or stop
//! the state machine, and a restart from a checkpoint restores the same state.
#![no_main]

use std::sync::Arc;
use storage::dataset::SourceName;

use api::model::*;
use libfuzzer_sys::fuzz_target;
use raft::command::*;
use raft::state::{State, write_checkpoint};
use storage::state::MemoryStore;

/// Maximum number of changes per input.
const MOST: usize = 200;

fn run(data: &[u8]) {
    let store = Arc::new(MemoryStore::new());
    let mut state = State::load(store.clone()).unwrap();
    let limits = Limits { storage_grace_ms: 2_000, session_ttl_ms: 3_000, max_attempts: 2 };
    let (mut rest, mut now) = (data, 0);
    for index in 1..=MOST as u64 {
        // A byte of time, then a change.
        let Some((wait, behind)) = rest.split_first() else { break };
        let Ok((mutation, behind)) = postcard::take_from_bytes::<Mutation>(behind) else { break };
        rest = behind;
        now += u64::from(*wait) * 20;
        if !raft::fuzz::passes(&mutation) {
            continue;
        }
        state.apply(index, Command { now, limits, mutation });
        assert!(state.failure().is_none());
    }
    let (crawls, sessions, clock) = (state.crawls(), state.sessions(), state.clock());
    write_checkpoint(&*store, state.freeze().unwrap(), Vec::new()).unwrap();
    let loaded = State::load(store).unwrap();
    loaded.check_invariants().unwrap();
    assert_eq!((loaded.crawls(), loaded.sessions(), loaded.clock()), (crawls, sessions, clock));
}

/// A crawl from submission to end, including faults.
fn seeds() {
    let spec = |operations, traversal| CrawlSpec {
        name: "n".into(),
        operations,
        traversal,
        depth: Some(2),
        follow: None,
        priority: 10,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    };
    let all =
        [Operation::Timeline, Operation::Followers, Operation::Analysis].into_iter().collect::<Operations>();
    let update = Operations::NONE.with(Operation::Update);
    let users: Vec<_> = [5, 6, 7].map(storage::ids::UserId::Number).into();
    let progress = Progress { cursor: "9".into(), draft: None };
    let findings = [
        Finding::Completed { file: true, items: 3 },
        Finding::Published,
        Finding::Advanced(progress.clone()),
        Finding::Limited { progress: Some(progress.clone()), after_ms: 50 },
        Finding::Gone(GoneReason::Protected),
        Finding::Failed { progress: None, reason: "x".into(), after_ms: 20, retry: false },
        Finding::HandedBack { progress: None },
        Finding::InputMissing,
        Finding::Discovered { admitted: vec![8.into()], discarded: vec![9.into()], progress },
        Finding::WaitsForHost {
            progress: None,
            host: "a.example".into(),
            after_ms: 20,
            trouble: HostTrouble::Away { reason: "timed out".into(), gone_after_ms: 900 },
        },
    ];
    let made = [(all, Traversal::Bfs), (all, Traversal::Dfs), (update, Traversal::Default)].map(
        |(operations, traversal)| {
            let crawl = CrawlId(1);
            let mut changes = vec![
                Mutation::CreateCrawl {
                    request: RequestId { client: 7, sequence: 1 },
                    spec: spec(operations, traversal),
                },
                Mutation::AddTargets { crawl, chunk: 0, users: vec![9.into()], seeds: true },
                Mutation::AddTargets { crawl, chunk: 0, users: users.clone(), seeds: false },
                Mutation::SealCrawl { crawl },
            ];
            // The session and leases of the second entry, with the ids that the state machine will assign.
            let mut state = State::load(Arc::new(MemoryStore::new())).unwrap();
            let mut index = 0;
            let mut apply = |changes: &mut Vec<Mutation>, mutation: Mutation| {
                changes.push(mutation.clone());
                index += 1;
                state.apply(index, Command { now: index * 20, limits: Limits::default(), mutation })
            };
            let first = std::mem::take(&mut changes);
            first.into_iter().for_each(|change| drop(apply(&mut changes, change)));
            let open = OpenSession {
                node: 1,
                incarnation: 9,
                storage: StorageId(3),
                workers: 4,
                shared: false,
                adopt: false,
            };
            let Response::SessionOpened(opened) = apply(&mut changes, Mutation::OpenSession(open)) else {
                return changes;
            };
            let session = opened.session;
            let mut held: Vec<Job> = Vec::new();
            for (sequence, finding) in (1..).zip(findings.iter().cycle().take(24)) {
                let findings = held.drain(..).map(|job| (job.id, job.lease, finding.clone())).collect();
                let report = Report { session, sequence, findings, wants: Wants::any(2) };
                if let Response::Report(answer) = apply(&mut changes, Mutation::Report(report)) {
                    held = answer.granted;
                }
            }
            for change in [
                Mutation::PauseCrawl { crawl },
                Mutation::ResumeCrawl { crawl },
                Mutation::RetryErrors {
                    request: RequestId { client: 7, sequence: 2 },
                    crawl,
                    user: None,
                    limit: 9,
                },
                Mutation::Drain { node: 1, drained: true },
                Mutation::Once {
                    request: RequestId { client: 7, sequence: 3 },
                    write: Write::Drain { node: 1, drained: false },
                },
                Mutation::EndSession { session, graceful: true },
                Mutation::Tick,
                Mutation::CancelCrawl { crawl },
                Mutation::RaiseVersion { to: 2 },
                Mutation::DeleteCrawl { crawl },
            ] {
                apply(&mut changes, change);
            }
            changes
        },
    );
    twm_fuzz::seeds(made.map(|changes| {
        changes.iter().flat_map(|change| [vec![1], postcard::to_stdvec(change).unwrap()].concat()).collect()
    }));
}

fuzz_target!(init: seeds(), |data: &[u8]| run(data));
