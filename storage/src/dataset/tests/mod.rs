//! Tests of the dataset through its public interface.

mod followers;
mod publishing;
mod timelines;

use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

fn open(output: &Path) -> FilesDataset {
    FilesDataset::open(FilesOptions::new(output)).unwrap()
}

fn folder() -> (TempDir, FilesDataset) {
    let folder = tempfile::tempdir().unwrap();
    let dataset = open(folder.path());
    (folder, dataset)
}

fn user() -> Account {
    UserId::Number(22_013_880).into()
}

pub(super) fn number(id: Option<PostId>) -> u64 {
    match id {
        Some(PostId::Number(number)) => number,
        other => panic!("{other:?}"),
    }
}

fn tweet(id: u64) -> String {
    format!(r#"{{"id": {id}, "text": "tweet {id}", "user": {{"id": 1}}}}"#)
}

fn tweets(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| tweet(id) + "\n").collect()
}

/// One gzip member.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame with a checksum.
pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Creates a file under the published name of this program or the original one.
fn place(folder: &TempDir, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(folder.path().join("22")).unwrap();
    std::fs::write(folder.path().join("22").join(name), bytes).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The ids of the published timeline.
fn timeline(dataset: &FilesDataset) -> Vec<u64> {
    let lines = dataset.open_timeline(&user()).unwrap().unwrap();
    lines.map(|line| number(post_id(&line.unwrap()))).collect()
}

fn push_all(draft: &mut dyn TimelineDraft, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        draft.push(&id.into(), &tweet(id)).unwrap();
    }
}
