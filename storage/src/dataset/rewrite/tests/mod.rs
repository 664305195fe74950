//! Tests of rewriting through the public interface.

mod joining;
mod recovery;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::dataset::tests::{gzip, number, zstd};
use crate::dataset::{
    Codec, Compression, DatasetError, FileKind, FollowersFormat, FollowersReader, MAX_LINE_BYTES,
    TimelineReader, post_id, verify,
};
use crate::env::{Entropy, SeededEntropy};

struct Rig {
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn target(path: &Path) -> Target {
    Target { key: FileKey::of_path(path).unwrap(), path: path.to_owned(), force: false }
}

/// Lines of tweets whose text compresses badly, so that the middle of the file is the middle of the data.
fn tweets(ids: impl IntoIterator<Item = u64>, version: &str) -> Vec<u8> {
    let entropy = SeededEntropy::new(7);
    let line = |id: u64| {
        let noise: String = (0..12).map(|_| format!("{:016x}", entropy.next_u64())).collect();
        format!("{{\"id\": {id}, \"v\": \"{version}\", \"text\": \"{noise}\"}}\n")
    };
    ids.into_iter().map(line).collect::<String>().into_bytes()
}

fn lines(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    ids.into_iter().map(|id| format!("{id}\n")).collect::<String>().into_bytes()
}

fn packed(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    ids.into_iter().flat_map(u64::to_be_bytes).collect()
}

fn timeline(path: &Path) -> Vec<u64> {
    TimelineReader::open(path).unwrap().map(|line| number(post_id(&line.unwrap()))).collect()
}

fn followers(path: &Path) -> Vec<String> {
    FollowersReader::open(path).unwrap().map(|id| id.unwrap().to_string()).collect()
}

fn recovered(path: &Path) -> Recovery {
    match recover(path, &target(path), Form::default()).unwrap() {
        Recovered::Written(recovery) => recovery,
        other => panic!("{other:?}"),
    }
}
