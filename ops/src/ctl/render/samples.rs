//! A cluster to render, for tests.

use api::model::{
    AddressStatus, BudgetStatus, ClusterId, ClusterStatus, CrawlCounters, CrawlId, CrawlPhase, CrawlSpec,
    CrawlView, DiskId, MemberStatus, NodeRole, NodeStatus, Operation, SessionId, SessionStatus, StorageId,
    Traversal, UserCounters, WorkerStatus,
};
use storage::dataset::SourceName;

/// Three nodes, the second drained and the third down, and one crawl.
pub fn status() -> ClusterStatus {
    let mut leader = node(1, NodeRole::Leader, 899);
    leader.workers = Some(workers());
    ClusterStatus {
        cluster: "twm".into(),
        id: ClusterId(7),
        changes: Vec::new(),
        leader: 1,
        term: 4,
        now: 650_000,
        nodes: vec![
            member(1, false, Some(leader)),
            member(2, true, Some(node(2, NodeRole::Follower, 880))),
            member(3, false, None),
        ],
        sessions: vec![SessionStatus {
            id: SessionId(812),
            node: 1,
            storage: StorageId(1),
            workers: 32,
            leased: 5,
            completed: 1_195,
            silent_ms: 120,
        }],
        crawls: vec![crawl()],
    }
}

fn member(id: u64, drained: bool, node: Option<NodeStatus>) -> MemberStatus {
    MemberStatus {
        id,
        disk: DiskId(0x10 + id),
        address: format!("10.0.0.{id}:8000"),
        voter: true,
        drained,
        cut_off: None,
        node,
    }
}

fn node(id: u64, role: NodeRole, applied: u64) -> NodeStatus {
    NodeStatus {
        id,
        cluster: ClusterId(7),
        disk: DiskId(0x10 + id),
        version: "0.1.0".into(),
        cluster_version: 2,
        role,
        term: 4,
        leader: Some(1),
        last_log: 900,
        applied,
        checkpoint: 850,
        uptime_ms: 600_000,
        workers: None,
    }
}

fn workers() -> WorkerStatus {
    let budget = BudgetStatus {
        endpoint: "timeline".into(),
        limit: Some(180),
        remaining: Some(170),
        reset_in_ms: Some(300_000),
        in_flight: 2,
    };
    WorkerStatus {
        total: 32,
        busy: 5,
        requests: 10_000,
        request_errors: 3,
        tweets: 250_000,
        followers: 70_000,
        http: "127.0.0.1:9898".into(),
        addresses: vec![
            AddressStatus { address: "127.0.1.1".into(), budgets: vec![budget] },
            AddressStatus { address: "127.0.1.2".into(), budgets: vec![] },
        ],
        dataset_trouble: None,
        api_trouble: None,
    }
}

/// A running crawl of 2,000 accounts, 1,300 of them done, 100 of these failed.
pub fn crawl() -> CrawlView {
    let users = UserCounters {
        accepted: 2_000,
        duplicates: 3,
        waiting: 690,
        active: 10,
        completed: 1_195,
        gone: 5,
        failed: 100,
        cancelled: 0,
    };
    let mut counters =
        CrawlCounters { users, discovered: 400, admitted: 40, frontier: 40, ..CrawlCounters::default() };
    counters.of(Operation::Timeline).items = 240_000;
    counters.of(Operation::Followers).items = 60_000;
    CrawlView {
        id: CrawlId(7),
        spec: CrawlSpec {
            name: "list".into(),
            operations: "TFA".parse().unwrap(),
            traversal: Traversal::Default,
            depth: None,
            follow: None,
            priority: 10,
            fingerprint: None,
            source: SourceName::default(),
            spend_limit: None,
        },
        phase: CrawlPhase::Running,
        counters,
        queued: 995,
        ready: 5,
        leased: 5,
        delayed: 0,
        submitted_at: 50_000,
        ended_at: None,
        chunks: [0; 2],
        now: 650_000,
    }
}
