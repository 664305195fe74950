//! Logs and states of older builds: the commands have the same effects, and the records can be read.
//!
//! The version in the state decides what `apply` does, never the program: replicas of a rolling upgrade apply the
//! same commands.

use std::fs;
use std::sync::Arc;

use storage::snapshot::{SnapshotReader, SnapshotWriter};
use storage::state::{MemoryStore, StateStore};

use super::super::{State, write_checkpoint};
use super::replica::Replica;
use super::world::World;
use crate::golden::folder;
use crate::model::{CLUSTER_VERSION, Command};

/// Recorded steps of the nodes and operators.
const STEPS: usize = 3_000;

/// The records of a state on disk.
type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Entries of a log: index, command and response, the latter two encoded.
type Log = Vec<(u64, Vec<u8>, Vec<u8>)>;

fn records(store: &dyn StateStore) -> Records {
    store
        .scan(&[], None)
        .map(|entry| entry.unwrap())
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Writes the files of this version if they are missing.
fn record(log: &std::path::Path, state: &std::path::Path) {
    let mut world = World::new(41, vec![Replica::in_memory()], false);
    (0..STEPS).for_each(|_| world.step());
    let entries: Log = world.replicas[0]
        .log()
        .map(|(index, command, response)| {
            (*index, postcard::to_stdvec(command).unwrap(), postcard::to_stdvec(response).unwrap())
        })
        .collect();
    fs::write(log, postcard::to_stdvec(&entries).unwrap()).unwrap();
    let store = replayed(&entries);
    let mut writer = SnapshotWriter::create(state, b"golden").unwrap();
    for (key, value) in records(&*store) {
        writer.put(&key, &value).unwrap();
    }
    writer.finish().unwrap();
}

/// Applies a log to an empty state, and writes the state.
fn replayed(entries: &Log) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let mut state = State::load(store.clone()).unwrap();
    for (index, bytes, response) in entries {
        let command: Command = postcard::from_bytes(bytes).unwrap();
        assert_eq!(&postcard::to_stdvec(&command).unwrap(), bytes, "{command:?} is encoded otherwise");
        let got = state.apply(*index, command.clone());
        assert!(state.failure().is_none(), "{:?} by {command:?}", state.failure());
        assert_eq!(&postcard::to_stdvec(&got).unwrap(), response, "{command:?} now does {got:?}");
    }
    state.check_invariants().unwrap();
    write_checkpoint(&*store, state.freeze().unwrap(), Vec::new()).unwrap();
    drop(state.checkpoint_written());
    store
}

#[test]
fn a_log_of_each_version_does_what_it_did_and_its_state_is_read() {
    // Every released version of a log or a state.
    for version in 2..=CLUSTER_VERSION {
        let (log, state) =
            (folder().join(format!("log-{version}.bin")), folder().join(format!("state-{version}.snapshot")));
        if std::env::var_os("TWM_WRITE_GOLDEN").is_some() && version == CLUSTER_VERSION && !log.exists() {
            record(&log, &state);
        }
        let entries: Log = postcard::from_bytes(&fs::read(&log).unwrap()).unwrap();
        assert!(entries.len() > STEPS / 2, "{} entries", entries.len());
        let reader = SnapshotReader::open(&state).unwrap();
        assert_eq!(reader.header(), b"golden");
        let recorded: Records =
            reader.map(|entry| entry.unwrap()).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(
            records(&*replayed(&entries)),
            recorded,
            "the records of version {version} have another form"
        );

        let store = Arc::new(MemoryStore::new());
        store.replace_all(&mut recorded.into_iter().map(Ok)).unwrap();
        let read = State::load(store).unwrap();
        read.check_invariants().unwrap();
        assert_eq!(read.version(), version);
    }
}
