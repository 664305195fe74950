//! Servers that die, answers and blocks that are lost, files that are replaced.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use twm_tests::cassandra_server::CassandraServer;

use super::*;

#[test]
fn a_file_whose_blocks_are_lost_is_set_aside_and_crawled_again() {
    let store = Store::start();
    let node = store.node();
    let key = account().timeline();
    finish(&*node, 1, 5);
    node.publish(&key, 1).unwrap();
    node.discard(&key, 1).unwrap();
    // As a server without a synced commit log may lose them.
    let keyspace = store.keyspace();
    keyspace.change_schema("lose blocks", &format!("TRUNCATE {}.blocks", keyspace.name())).unwrap();
    let unreadable = node.open_timeline(&account()).map(drop).unwrap_err();
    assert!(unreadable.to_string().contains("block 0 of 1 is missing"), "{unreadable}");
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    let appended = draft.append_existing().unwrap();
    assert!(appended.items == 0 && appended.set_aside.is_some(), "{appended:?}");
    draft.finish().unwrap();
    node.publish(&key, 2).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":9}"]);
}

/// A proxy that can lose the answer to a request, and the connection with it.
struct Lossy {
    port: u16,
    lose: Arc<AtomicBool>,
}

impl Lossy {
    fn open(runtime: &Runtime, server: u16) -> Self {
        let lose = Arc::new(AtomicBool::new(false));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let losing = lose.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, losing.clone()));
            }
        });
        Self { port, lose }
    }
}

async fn carry(client: TcpStream, server: u16, lose: Arc<AtomicBool>) -> std::io::Result<()> {
    /// Opcode of a request with a prepared statement, in the header of a frame.
    const EXECUTE: u8 = 0x0a;
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let lost = Arc::new(AtomicBool::new(false));
    let losing = lost.clone();
    let there = async move {
        let mut bytes = vec![0; 1 << 20];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if bytes[..read].get(4) == Some(&EXECUTE) && lose.swap(false, Ordering::SeqCst) {
                losing.store(true, Ordering::SeqCst);
            }
            if read == 0 {
                return Ok::<_, std::io::Error>(());
            }
            to_server.write_all(&bytes[..read]).await?;
        }
    };
    let back = async move {
        let mut bytes = vec![0; 1 << 20];
        loop {
            let read = from_server.read(&mut bytes).await?;
            // The connection ends with this.
            if read == 0 || lost.load(Ordering::SeqCst) {
                return Ok::<_, std::io::Error>(());
            }
            to_client.write_all(&bytes[..read]).await?;
        }
    };
    tokio::select! { ended = there => ended, ended = back => ended }
}

#[test]
fn a_light_transaction_whose_answer_was_lost_is_decided_by_what_is_there() {
    let store = Store::start();
    let runtime = Runtime::new().unwrap();
    let proxy = Lossy::open(&runtime, store.shared.server().port());
    let url = format!("cassandra://127.0.0.1:{}/{}", proxy.port, store.url.keyspace());
    let url = CassandraUrl::parse(&url).unwrap();
    let through = CassandraStore::connect(&url, &store.shared.server().options()).unwrap();
    let node = store.spools.node(&through, OWNER);
    let key = account().timeline();
    let loses = |work: &dyn Fn()| {
        proxy.lose.store(true, Ordering::SeqCst);
        work();
        assert!(!proxy.lose.load(Ordering::SeqCst), "an answer was lost");
    };
    finish(&node, 1, 5);
    loses(&|| node.publish(&key, 1).unwrap());
    assert_eq!(lines(&*store.node()), ["{\"id\":5}"]);
    node.discard(&key, 1).unwrap();
    update(&node, 2, 6);
    loses(&|| node.publish(&key, 2).unwrap());
    node.discard(&key, 2).unwrap();
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks == named), (1, true));
    // Set aside once.
    let stamp = node.stamp(&key).unwrap();
    loses(&|| assert!(node.set_aside(&key, stamp).unwrap().is_some_and(|to| to.ends_with(".unreadable"))));
    assert_eq!(store.versions().1.len(), 2);
    let mut draft = node.begin_timeline(&account(), 3).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    loses(&|| drop(KeyspaceOutput::new(&through).put(Marker { cluster: 9, ..OWNER })));
    assert_eq!(KeyspaceOutput::new(&store.store).read().unwrap().unwrap().cluster, 9);
}

#[test]
fn a_server_that_is_killed_in_mid_draft_loses_nothing_and_is_named() {
    // The tests beside this one would otherwise start a server each.
    let _shared = SharedCassandra::get().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut server = runtime.block_on(CassandraServer::start()).unwrap();
    let (store, spools) = (server.create("twm").unwrap(), Spools::new());
    KeyspaceOutput::new(&store).claim(OWNER).unwrap();
    let node = spools.node(&store, OWNER);
    let key = account().timeline();
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    draft.save_point().unwrap();
    draft.push(&4.into(), "{\"id\":4}").unwrap();
    finish(&node, 2, 6);
    runtime.block_on(server.kill()).unwrap();
    let begun = Instant::now();
    for error in [draft.save_point().unwrap_err(), node.publish(&key, 2).unwrap_err()] {
        assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(90), "a call ends by itself");
    runtime.block_on(server.restart()).unwrap();
    node.publish(&key, 2).unwrap();
    assert_eq!(lines(&node), ["{\"id\":6}"]);
    let saved = draft.save_point().unwrap();
    assert_eq!(spools.node(&store, OWNER).resume_timeline(&account(), saved, 1, 3).unwrap().items(), 2);
}

#[test]
fn a_file_that_is_replaced_while_a_tool_reads_it_is_not_read_as_a_shorter_one() {
    let store = Store::start();
    let node = store.node();
    let key = account().timeline();
    finish(&*node, 1, 5);
    node.publish(&key, 1).unwrap();
    node.discard(&key, 1).unwrap();
    let tools = store.tools();
    let found = tools.find(&key).unwrap().unwrap();
    let mut reader = tools.open(&found).unwrap();
    update(&*node, 2, 6);
    node.publish(&key, 2).unwrap();
    node.discard(&key, 2).unwrap();
    let error = std::io::Read::read_to_end(&mut reader, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    // Nor is it replaced by what was made of the version before.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "{\"id\":1}\n").unwrap();
    assert!(matches!(tools.replace(&found, &file), Err(DatasetError::Changed { .. })));
    assert!(matches!(tools.remove(&found), Err(DatasetError::Changed { .. })));
    assert_eq!(lines(&*node).len(), 2);
    let now = tools.find(&key).unwrap().unwrap();
    assert_eq!(tools.keep_aside(&now, &file).unwrap(), "7/7.twt.unreadable");
    tools.remove(&now).unwrap();
    assert!(!node.exists(&key).unwrap());
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks.is_subset(&named)), (1, true));
}

#[test]
fn a_coordinator_of_three_that_dies_is_not_missed() {
    let runtime = Runtime::new().unwrap();
    let mut servers = runtime.block_on(CassandraServer::start_cluster(3)).unwrap();
    let (url, options) = (servers[0].url("twm").unwrap(), servers[0].options());
    // The servers learn of each other in the first seconds.
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = CassandraStore::init(&url, &options, Some(3)) {
        assert!(Instant::now() < deadline, "{error}");
    }
    let store = CassandraStore::connect(&url, &options).unwrap();
    store.check_safety(false, &SystemClock::new()).unwrap();
    let spools = Spools::new();
    KeyspaceOutput::new(&store).claim(OWNER).unwrap();
    let node = spools.node(&store, OWNER);
    let (first, key) = (Account::from(UserId::Number(1)), account().timeline());
    let mut draft = node.begin_timeline(&first, 1).unwrap();
    for (id, killed) in [(9, Some(0)), (8, None), (7, Some(1))] {
        draft.push(&id.into(), &format!("{{\"id\":{id}}}")).unwrap();
        draft.save_point().unwrap();
        finish(&node, 100 - id, id);
        if let Some(killed) = killed {
            runtime.block_on(servers[killed].kill()).unwrap();
            if killed == 1 {
                break;
            }
        }
        node.publish(&key, 100 - id).unwrap();
        node.discard(&key, 100 - id).unwrap();
        assert_eq!(lines(&node), [format!("{{\"id\":{id}}}")]);
    }
    // The second one is needed.
    let error = node.publish(&key, 93).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    runtime.block_on(servers[0].restart()).unwrap();
    node.publish(&key, 93).unwrap();
    assert_eq!(lines(&node), ["{\"id\":7}"]);
    assert_eq!(draft.finish().unwrap().items, 3);
}
