//! `twm-ctl dataset` on datasets of the crawler and of the original program, intact and damaged.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod faults;
mod looking;
mod rewriting;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use storage::dataset::{Account, Dataset, FilesDataset, FilesOptions, FollowersFormat};
use storage::ids::UserId;

/// A dataset with the timelines and followers of accounts 22013880 and 7.
fn dataset(folder: &Path) -> PathBuf {
    let output = folder.join("dataset");
    let followers = FollowersFormat::Packed;
    let dataset = FilesDataset::open(FilesOptions { followers, ..FilesOptions::new(&output) }).unwrap();
    for user in [22_013_880, 7] {
        let account = Account::from(UserId::Number(user));
        let mut timeline = dataset.begin_timeline(&account, 1).unwrap();
        for id in (1..=500).rev() {
            timeline.push(&id.into(), &format!("{{\"id\":{id},\"text\":\"{user}\"}}")).unwrap();
        }
        timeline.finish().unwrap();
        dataset.publish(&account.timeline(), 1).unwrap();
        let mut list = dataset.begin_followers(&account, 2).unwrap();
        for id in 1_u64..=300 {
            list.push(&id.into()).unwrap();
        }
        list.finish().unwrap();
        dataset.publish(&account.followers(), 2).unwrap();
    }
    output
}

fn ctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twm-ctl")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The documents that a command printed, one per line.
fn documents(output: &Output) -> Vec<serde_json::Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Writes a file into a dataset, under any name.
fn put(dataset: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dataset.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Timeline lines as the original program wrote them.
fn tweets(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let line = |id: u64| format!("{{\"id\": {id}, \"id_str\": \"{id}\", \"text\": \"tweet {id}\"}}\n");
    ids.into_iter().map(line).collect::<String>().into_bytes()
}

/// A follower list as the original program wrote it, before compression.
fn packed(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    ids.into_iter().flat_map(u64::to_be_bytes).collect()
}

/// The output of `dataset cat` on a file.
fn cat(path: &Path) -> Vec<String> {
    let output = ctl(&["dataset", "cat", utf8(path)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// The ids of the tweets of a file.
fn ids(path: &Path) -> Vec<String> {
    let output = ctl(&["dataset", "cat", "-e", "id", utf8(path)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
