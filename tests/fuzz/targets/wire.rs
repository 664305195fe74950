//! Data that a peer or a client sends to the cluster port, answers of a peer, and log records.
#![no_main]

use std::cell::RefCell;
use storage::dataset::SourceName;

use api::model::{
    CrawlId, CrawlSpec, NodeId, OpenSession, Operations, Query, RequestId, StorageId, Traversal, Wants, Write,
};
use libfuzzer_sys::fuzz_target;
use raft::fuzz::{ApiRequest, NodeRequest};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_time().build().unwrap());
}

/// The first byte selects the test; the rest is the received data.
fn run(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            match mode % 5 {
                0 => raft::fuzz::connection(bytes).await,
                1 => raft::fuzz::calls(bytes).await,
                2 => raft::fuzz::call(bytes).await,
                3 => raft::fuzz::answers(bytes).await,
                _ => raft::fuzz::log_record(bytes),
            }
        });
    });
}

fn seeds() {
    let users = vec![5.into(), "id@host".parse().unwrap()];
    let spec = CrawlSpec {
        name: "n".into(),
        operations: Operations::NONE,
        traversal: Traversal::Bfs,
        depth: Some(2),
        follow: Some("true".into()),
        priority: 10,
        fingerprint: Some(7),
        source: SourceName::default(),
        spend_limit: None,
    };
    let open = OpenSession {
        node: 1 as NodeId,
        incarnation: 9,
        storage: StorageId(3),
        workers: 4,
        shared: false,
        adopt: false,
    };
    let requests = vec![
        ApiRequest::NodeStatus,
        ApiRequest::Query(Query::Crawls),
        ApiRequest::ResolveNames(vec!["jack".into()]),
        ApiRequest::Node { node: 1, request: NodeRequest::OpenSession(open) },
        ApiRequest::Write(Write::CreateCrawl { request: RequestId { client: 7, sequence: 1 }, spec }),
        ApiRequest::Write(Write::AddTargets { crawl: CrawlId(1), chunk: 0, users, seeds: false }),
        ApiRequest::Node {
            node: 1,
            request: NodeRequest::WaitForWork {
                session: api::model::SessionId(1),
                wants: Wants::any(3),
                timeout_ms: 5,
            },
        },
    ];
    let connections = RUNTIME.with_borrow(|runtime| runtime.block_on(raft::fuzz::good_connections(requests)));
    let whole = connections.iter().map(|bytes| [&[0][..], bytes].concat());
    // Skips the greeting with its length, and the length of the call.
    let call = |bytes: &Vec<u8>| {
        let greeting = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
        Some([&[2][..], bytes.get(4 + greeting + 4..)?].concat())
    };
    twm_fuzz::seeds(whole.chain(connections.iter().filter_map(call)));
}

fuzz_target!(init: seeds(), |data: &[u8]| run(data));
