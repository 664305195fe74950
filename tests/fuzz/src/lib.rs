//! Helpers of the fuzz targets.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::dataset::SourceName;

use api::model::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use raft::command::*;
use raft::state::{State, write_checkpoint};
use storage::state::{MemoryStore, StateStore};

/// The environment variable with the folder for [`seeds`].
const SEEDS: &str = "TWM_FUZZ_SEEDS";

/// Writes the seed inputs of a target if `TWM_FUZZ_SEEDS` is set.
pub fn seeds(inputs: impl IntoIterator<Item = Vec<u8>>) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else { return };
    for (number, input) in inputs.into_iter().enumerate() {
        fs::write(folder.join(format!("made-{number}")), input).unwrap();
    }
}

/// The files of a folder in `tests/fuzz/seeds`, each prefixed with each of these first bytes.
pub fn seeds_of(folder: &str, modes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    seeds(files.iter().flat_map(|file| modes.iter().map(|mode| [&[*mode][..], file].concat())));
}

/// Compresses the bytes with gzip, in members of at most `most` bytes.
pub fn gzip(bytes: &[u8], most: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    for member in bytes.chunks(most) {
        let mut encoder = GzEncoder::new(packed, Compression::fast());
        encoder.write_all(member).unwrap();
        packed = encoder.finish().unwrap();
    }
    packed
}

/// A temporary folder in memory, where possible.
pub fn folder() -> tempfile::TempDir {
    match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folder,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

/// The records of a state with a crawl, each as the lengths of key and value, the key, and the value.
pub fn state() -> Vec<u8> {
    let store = Arc::new(MemoryStore::new());
    let mut state = State::load(store.clone()).unwrap();
    let spec = CrawlSpec {
        name: "n".into(),
        operations: [Operation::Timeline, Operation::Followers, Operation::Analysis].into_iter().collect(),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    };
    let open = OpenSession {
        node: 1,
        incarnation: 9,
        storage: StorageId(3),
        workers: 4,
        shared: false,
        adopt: false,
    };
    let crawl = CrawlId(1);
    let users = vec![5.into(), 6.into(), "id@host".parse().unwrap()];
    let changes = [
        Mutation::CreateCrawl { request: RequestId { client: 7, sequence: 1 }, spec },
        Mutation::AddTargets { crawl, chunk: 0, users, seeds: false },
        Mutation::OpenSession(open),
    ];
    for (index, mutation) in (1..).zip(changes) {
        let response = state.apply(index, Command { now: 5, limits: Limits::default(), mutation });
        if let Response::SessionOpened(opened) = response {
            let report =
                Report { session: opened.session, sequence: 1, findings: Vec::new(), wants: Wants::any(1) };
            let mutation = Mutation::Report(report);
            state.apply(index + 1, Command { now: 5, limits: Limits::default(), mutation });
        }
    }
    write_checkpoint(&*store, state.freeze().unwrap(), Vec::new()).unwrap();
    let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
        [&[key.len() as u8][..], &(value.len() as u16).to_le_bytes(), &key, &value].concat()
    };
    store.scan(&[], None).map(Result::unwrap).flat_map(entry).collect()
}
