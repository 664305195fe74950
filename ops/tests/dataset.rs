//! `twm-ctl dataset` on datasets as the crawler writes them, whole and damaged.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use storage::dataset::{Dataset, FileKey, FilesDataset, FilesOptions, FollowersFormat};
use storage::ids::UserId;

/// A dataset with the timelines and followers of accounts 22013880 and 7.
fn dataset(folder: &Path) -> PathBuf {
    let output = folder.join("dataset");
    let followers = FollowersFormat::Packed;
    let dataset = FilesDataset::open(FilesOptions { followers, ..FilesOptions::new(&output) }).unwrap();
    for user in [22_013_880, 7] {
        let user = UserId::Number(user);
        let mut timeline = dataset.begin_timeline(&user, 1).unwrap();
        for id in (1..=500).rev() {
            timeline.push(id, &format!("{{\"id\":{id},\"text\":\"{user}\"}}")).unwrap();
        }
        timeline.finish().unwrap();
        dataset.publish(&FileKey::timeline(&user), 1).unwrap();
        let mut list = dataset.begin_followers(&user, 2).unwrap();
        for id in 1_u64..=300 {
            list.push(&id.into()).unwrap();
        }
        list.finish().unwrap();
        dataset.publish(&FileKey::followers(&user), 2).unwrap();
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

#[test]
fn cat_prints_files_of_any_format_and_an_accounts_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let (timeline, followers) = (output.join("22/22013880.twt"), output.join("22/22013880.fws"));
    let both = ctl(&["dataset", "cat", utf8(&timeline), utf8(&followers)]);
    assert!(both.status.success(), "{}", text(&both.stderr));
    let lines = text(&both.stdout);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 800);
    assert_eq!((lines[0], lines[500]), ("{\"id\":500,\"text\":\"22013880\"}", "1"));

    let by_user = ctl(&["dataset", "cat", "--output", utf8(&output), "--user", "22013880"]);
    assert_eq!(by_user.stdout, both.stdout);
    let followers = ctl(&["dataset", "cat", "--output", utf8(&output), "--user", "7", "-F"]);
    assert_eq!(text(&followers.stdout).lines().count(), 300);
}

#[test]
fn cat_prints_a_torn_file_up_to_where_it_breaks_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let torn = output.join("7/7.twt.unreadable");
    let bytes = fs::read(output.join("7/7.twt")).unwrap();
    fs::write(&torn, &bytes[..bytes.len() - 20]).unwrap();
    let printed = ctl(&["dataset", "cat", utf8(&torn), utf8(&output.join("7/7.fws"))]);
    assert_eq!(printed.status.code(), Some(1));
    let (out, err) = (text(&printed.stdout), text(&printed.stderr));
    assert!(out.starts_with("{\"id\":500,") && out.ends_with("\n300\n"), "{out}");
    assert!(err.contains(utf8(&torn)) && err.contains("1 of 2 files"), "{err}");
}

#[test]
fn cat_names_what_is_not_there_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let no_dataset = ctl(&["dataset", "cat", "--output", utf8(&missing), "--user", "7"]);
    assert_eq!(no_dataset.status.code(), Some(1));
    assert!(!missing.exists() && text(&no_dataset.stderr).contains("missing is no folder"));
    let no_account = ctl(&["dataset", "cat", "--output", utf8(folder.path()), "--user", "7"]);
    assert_eq!(no_account.status.code(), Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let no_file = ctl(&["dataset", "cat", utf8(&missing), utf8(folder.path())]);
    assert_eq!(no_file.status.code(), Some(1));
    assert!(text(&no_file.stderr).contains("2 of 2 files"), "{}", text(&no_file.stderr));
}

#[test]
fn verify_counts_a_sound_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let verified = ctl(&["-o", "json", "dataset", "verify", utf8(&output)]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let found: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (&found["files"], &found["tweets"], &found["followers"]),
        (&4.into(), &1_000.into(), &600.into())
    );
    assert_eq!(found["unsound"], 0);
    assert!(ctl(&["dataset", "verify", utf8(&output.join("7/7.fws"))]).status.success());
}

#[test]
fn verify_names_torn_duplicate_unordered_and_twin_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let torn = output.join("7/7.twt");
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    fs::create_dir(output.join("33")).unwrap();
    fs::write(output.join("33/33.twt"), "{\"id\":1}\n{\"id\":2}\n").unwrap();
    fs::write(output.join("33/334.twt"), "{\"id\":2}\n{\"id\":2}\n").unwrap();
    fs::write(output.join("33/335.fws"), "1\n2\n1\n").unwrap();
    fs::copy(output.join("22/22013880.fws"), output.join("22/22013880.fws.gz")).unwrap();
    let verified = ctl(&["dataset", "verify", utf8(&output)]);
    assert_eq!(verified.status.code(), Some(1));
    let out = text(&verified.stdout);
    for (file, why) in [
        ("7/7.twt", "unreadable: item"),
        ("33/33.twt", "1 tweets are newer than the one before"),
        ("33/334.twt", "1 of 2 items are there twice"),
        ("33/335.fws", "1 of 3 items are there twice"),
        ("22/22013880.fws.gz", "under the other name"),
    ] {
        assert!(
            out.lines().any(|line| line.contains(file) && line.contains(why)),
            "{file}: {why} in:\n{out}"
        );
    }
    assert!(out.trim_end().ends_with("5 not sound"), "{out}");
}

#[test]
fn a_reader_that_goes_away_ends_a_long_cat_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.fws");
    fs::write(&path, (1..200_000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_twm-ctl"))
        .args(["dataset", "cat", utf8(&path)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}
