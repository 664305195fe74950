//! `twm-ctl dataset` on a dataset that is not on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use storage::dataset::provenance::{CAPPED, Extent, encode_batch};
use storage::dataset::{Account, Dataset, FileKey};
use storage::ids::UserId;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use twm_tests::cluster::Program;

use super::contract::{Backend, batch, batch_name, record};

/// A backend that tools reach.
pub trait Served: Backend {
    /// The URL of the dataset.
    fn url(&self) -> String;

    /// Variables of the environment that tools need to reach it.
    fn environment(&self) -> Vec<(&'static str, String)>;
}

fn ctl(served: &dyn Served, arguments: &[&str]) -> Output {
    let runtime = Runtime::new().unwrap();
    let mut command = Program::Ctl.command().unwrap();
    command.args(arguments).envs(served.environment());
    runtime.block_on(async { command.output().await }).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that has to succeed; returns what it prints.
fn good(served: &dyn Served, arguments: &[&str]) -> String {
    let output = ctl(served, arguments);
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that has to fail; returns what it says.
fn bad(served: &dyn Served, arguments: &[&str]) -> String {
    let output = ctl(served, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn documents(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn account(user: u64) -> Account {
    UserId::Number(user).into()
}

fn post(id: u64) -> String {
    format!("{{\"id\":{id},\"text\":\"{id}\"}}")
}

fn timeline(node: &dyn Dataset, user: u64, lease: u64, ids: impl Iterator<Item = u64>) {
    let key = account(user).timeline();
    let mut draft = node.begin_timeline(&account(user), lease).unwrap();
    for id in ids {
        draft.push(&id.into(), &post(id)).unwrap();
    }
    draft.finish().unwrap();
    node.publish(&key, lease).unwrap();
    node.discard(&key, lease).unwrap();
}

/// Timelines of 500 posts and lists of 300 followers of the accounts 22013880 and 7.
fn filled(served: &dyn Served) {
    let node = served.node();
    for (user, lease) in [(22_013_880, 1), (7, 3)] {
        timeline(&*node, user, lease, (1..=500).rev());
        let key = account(user).followers();
        let mut list = node.begin_followers(&account(user), lease + 1).unwrap();
        for id in 1_u64..=300 {
            list.push(&id.into()).unwrap();
        }
        list.finish().unwrap();
        node.publish(&key, lease + 1).unwrap();
        node.discard(&key, lease + 1).unwrap();
    }
}

/// The items of all files below a folder.
fn items(served: &dyn Served, folder: &Path) -> BTreeMap<String, String> {
    let files = storage::dataset::dataset_files(folder).unwrap().map(|file| file.unwrap().1);
    files.map(|path| (name(&path), good(served, &["dataset", "cat", path.to_str().unwrap()]))).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

pub fn the_tools_read_it_like_a_folder(served: &dyn Served) {
    filled(served);
    let url = served.url();
    let posts: String = (1..=500).rev().map(|id| post(id) + "\n").collect();
    assert_eq!(good(served, &["dataset", "cat", &format!("{url}/22/22013880.twt")]), posts);
    assert_eq!(good(served, &["dataset", "cat", "--output", &url, "--user", "7", "-T"]), posts);
    let one = good(served, &["dataset", "cat", "-e", "id", &format!("{url}/7/7.twt")]);
    assert_eq!(one.lines().next(), Some("500"));
    let stat = documents(&good(served, &["-o", "json", "dataset", "stat", &url]));
    assert_eq!(stat.len(), 5);
    assert!(stat[..4].iter().all(|file| file["file"].as_str().unwrap().starts_with(&url)), "{stat:?}");
    assert_eq!(
        (&stat[4]["timelines"]["items"], &stat[4]["followers"]["items"]),
        (&1_000.into(), &600.into())
    );
    assert!(good(served, &["dataset", "verify", &url]).contains("1,000 tweets"));

    served.put(&account(8).timeline(), b"{\"id\":5}\nno tweet\n");
    let wrong = ctl(served, &["dataset", "verify", &url]);
    let (printed, said) = (text(&wrong.stdout), text(&wrong.stderr));
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    assert!(printed.contains(&format!("{url}/8/8.twt: unreadable: item 2")), "{printed}");
    let single = ctl(served, &["dataset", "cat", &format!("{url}/8/8.twt"), "-e", "id"]);
    assert_eq!(text(&single.stdout), "5\n");
    assert!(text(&single.stderr).contains(&format!("{url}/8/8.twt: line 2")), "{}", text(&single.stderr));
}

pub fn a_dataset_is_copied_there_and_back(served: &dyn Served) {
    filled(served);
    let (url, folder) = (served.url(), TempDir::new().unwrap());
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    fs::create_dir_all(first.join("9")).unwrap();
    fs::write(first.join("9/9.fws"), "4\n5\n").unwrap();
    let there = good(served, &["dataset", "copy", "--verify", first.to_str().unwrap(), &url]);
    assert!(there.contains("1 files: 1 copied"), "{there}");
    let back = good(served, &["dataset", "copy", "--verify", &url, second.to_str().unwrap()]);
    assert!(back.contains("5 files: 5 copied"), "{back}");
    let again = good(served, &["dataset", "copy", "--verify", &url, second.to_str().unwrap()]);
    assert!(again.contains("5 files: 0 copied") && again.contains("5 were there already"), "{again}");
    assert_eq!(fs::read_to_string(second.join("9/9.fws")).unwrap(), "4\n5\n");
    let copied = items(served, &second);
    assert_eq!(copied["22013880.twt"].lines().count(), 500);
    assert_eq!(copied["7.fws"].lines().count(), 300);
    assert_eq!(copied["9.fws"], "4\n5\n");
    // A node goes on with what was copied there.
    let node = served.node();
    let followers: Vec<_> = node.open_followers(&account(9)).unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(followers, [UserId::Number(4), UserId::Number(5)]);
}

pub fn files_are_converted_where_they_are_and_from_there(served: &dyn Served) {
    filled(served);
    let (url, folder) = (served.url(), TempDir::new().unwrap());
    let plain =
        good(served, &["dataset", "convert", "--to", folder.path().to_str().unwrap(), "--plain", &url]);
    assert!(plain.contains("4 rewritten"), "{plain}");
    let followers: String = (1..=300).map(|id| format!("{id}\n")).collect();
    assert_eq!(fs::read_to_string(folder.path().join("7/7.fws")).unwrap(), followers);
    let file = format!("{url}/7/7.fws");
    let packed =
        documents(&good(served, &["-o", "json", "dataset", "convert", "--followers", "packed", &file]));
    assert_eq!((&packed[0]["to"], &packed[0]["action"]), (&file.as_str().into(), &"written".into()));
    let stat = documents(&good(served, &["-o", "json", "dataset", "stat", &file]));
    assert_eq!((&stat[0]["packed"], &stat[0]["items"]), (&true.into(), &300.into()));
    // Nothing is replaced that was not read.
    let said = bad(served, &["dataset", "convert", "--to", &url, folder.path().to_str().unwrap()]);
    assert!(said.contains(&format!("{file} is there already")), "{said}");
    good(served, &["dataset", "convert", "--force", "--to", &url, folder.path().to_str().unwrap()]);
    let stat = documents(&good(served, &["-o", "json", "dataset", "stat", &file]));
    assert_eq!((&stat[0]["packed"], &stat[0]["items"]), (&false.into(), &300.into()));
    // The next crawl replaces it.
    timeline(&*served.node(), 7, 50, [600].into_iter());
    assert_eq!(served.node().newest_post(&account(7)).unwrap(), Some(600.into()));
}

pub fn a_damaged_file_is_recovered_where_it_is(served: &dyn Served) {
    filled(served);
    let url = served.url();
    served.put(&account(8).timeline(), b"{\"id\":6}\ngarbage\n{\"id\":5}\n");
    served.put(&account(33).followers(), b"\x89PNG\r\n");
    let recovered = ctl(served, &["-o", "json", "dataset", "recover", &url]);
    let said = text(&recovered.stderr);
    assert_eq!(recovered.status.code(), Some(1), "of one nothing can be read: {said}");
    let lost = format!("{url}/33/33.fws: nothing can be read of it; it is now {url}/33/33.fws.unreadable");
    assert!(said.contains("33.fws") && said.contains("it is now") && said.contains(&url), "{said} / {lost}");
    let told = documents(&text(&recovered.stdout));
    assert_eq!(told[0]["to"], format!("{url}/8/8.twt"));
    assert_eq!(told[0]["aside"], format!("{url}/8/8.twt.unreadable"));
    assert_eq!((&told[0]["items"], &told[0]["lost"]["bad_items"]), (&2.into(), &1.into()));
    let node = served.node();
    let kept: Vec<_> = node.open_timeline(&account(8)).unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(kept, ["{\"id\":6}", "{\"id\":5}"]);
    assert!(!node.exists(&account(33).followers()).unwrap());
    assert!(good(served, &["dataset", "verify", &url]).contains("0 not sound"));
    let again = good(served, &["dataset", "recover", &url]);
    assert!(again.contains("5 sound, 0 recovered, 2 set aside and left"), "{again}");
    // What was set aside is recovered under its name once that is free.
    let key: FileKey = account(33).followers();
    assert!(node.stat(&key).unwrap().is_none());
}

pub fn datasets_are_merged_into_it_and_out_of_it(served: &dyn Served) {
    filled(served);
    let (url, folder) = (served.url(), TempDir::new().unwrap());
    let (newer, out) = (folder.path().join("newer"), folder.path().join("out"));
    fs::create_dir_all(newer.join("7")).unwrap();
    let posts: String = (400..=600).rev().map(|id| post(id) + "\n").collect();
    fs::write(newer.join("7/7.twt"), posts).unwrap();
    fs::create_dir_all(newer.join("9")).unwrap();
    fs::write(newer.join("9/9.fws"), "4\n5\n").unwrap();
    let newer = newer.to_str().unwrap();
    let merged = good(served, &["dataset", "merge", &url, newer, "--to", out.to_str().unwrap()]);
    assert!(merged.contains("5 files: 5 merged"), "{merged}");
    assert_eq!(items(served, &out)["7.twt"].lines().count(), 600);
    let merged = good(served, &["dataset", "merge", &url, newer, "--to", &url]);
    assert!(
        merged.contains("5 files: 2 merged with 602 items (101 that were there twice left out), 3 left"),
        "{merged}"
    );
    let node = served.node();
    assert_eq!(node.newest_post(&account(7)).unwrap(), Some(600.into()));
    assert_eq!(node.open_timeline(&account(7)).unwrap().unwrap().count(), 600);
    let one = good(
        served,
        &[
            "dataset",
            "merge",
            &format!("{url}/7/7.twt"),
            &format!("{url}/22/22013880.twt"),
            "--to",
            &format!("{url}/5/5.twt"),
        ],
    );
    assert!(one.contains(&format!("{url}/5/5.twt: 600 items")), "{one}");
}

pub fn a_mistyped_place_is_named(served: &dyn Served) {
    let url = served.url();
    let said = bad(served, &["dataset", "stat", &url]);
    assert!(said.contains(&format!("{url} holds no files")), "{said}");
    let said = bad(served, &["dataset", "cat", &format!("{url}/7/7.twt")]);
    assert!(said.contains("7.twt does not exist"), "{said}");
    let said = bad(served, &["dataset", "cat", &url]);
    assert!(said.contains("is no file of a dataset"), "{said}");
    let said = bad(served, &["dataset", "stat", "ftp://host/dataset"]);
    assert!(said.contains("no datasets at ftp://"), "{said}");
    let said = bad(served, &["dataset", "copy", &format!("{url}/7/7.twt"), "/tmp/nowhere"]);
    assert!(said.contains("is a file; give the URL of a dataset"), "{said}");
}

pub fn provenance_is_shown_copied_and_verified(served: &dyn Served) {
    filled(served);
    let (url, folder, node) = (served.url(), TempDir::new().unwrap(), served.node());
    node.append_provenance(&batch_name(1), &batch(1..=20)).unwrap();
    // Repeated, and of a file that is cut short.
    let mut capped = record(7, 30);
    capped.extent = Some(Extent { cut_short: vec![CAPPED.to_owned()], resumed: false });
    let lines = [record(20, 20).to_line(), capped.to_line()];
    node.append_provenance(&batch_name(2), &encode_batch(lines.iter().map(String::as_str))).unwrap();

    let shown = good(served, &["dataset", "stat", "--summary", &url]);
    let line = "crawl 7 of twitter: 21 files published, 10,500 items, 20 complete, 1 cut short (1 capped), \
                from 2023-11-14T22:13:21Z to 2023-11-14T22:14:00Z";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
    let stat = documents(&good(served, &["-o", "json", "dataset", "stat", "--summary", &url]));
    let provenance = &stat[0]["provenance"];
    assert_eq!((&provenance["repeated"], &provenance["unreadable"]), (&1.into(), &0.into()));
    assert_eq!(provenance["crawls"][0]["reasons"]["capped"], 1);
    let file = format!("{url}/7/7.twt");
    let of_file = documents(&good(served, &["-o", "json", "dataset", "stat", "--provenance", &file]));
    let leases: Vec<_> = of_file.iter().filter_map(|document| document["lease"].as_u64()).collect();
    assert_eq!(leases, [7, 30]);
    assert!(good(served, &["dataset", "verify", &url]).contains("2 batches of provenance with 22 records"));

    let to = folder.path().join("copy");
    let copied = good(served, &["dataset", "copy", "--verify", &url, to.to_str().unwrap()]);
    assert!(copied.contains("2 batches of provenance copied"), "{copied}");
    let again = good(served, &["dataset", "copy", "--verify", &url, to.to_str().unwrap()]);
    assert!(!again.contains("provenance"), "{again}");
    let shown = good(served, &["dataset", "stat", "--summary", to.to_str().unwrap()]);
    assert!(shown.lines().any(|shown| shown == line), "{shown}");

    let merged = folder.path().join("merged");
    let said = good(served, &["dataset", "merge", &url, "--to", merged.to_str().unwrap()]);
    assert!(said.contains("2 batches of provenance copied"), "{said}");
    let shown = good(served, &["dataset", "stat", "--summary", merged.to_str().unwrap()]);
    assert!(shown.lines().any(|shown| shown == line), "{shown}");

    node.append_provenance(&batch_name(3), b"{\"no\":1}\n").unwrap();
    let said = bad(served, &["dataset", "stat", "--summary", &url]);
    assert!(
        said.contains(&format!("{url}/.provenance/1-0000000000000005-3.jsonl.gz is unreadable")),
        "{said}"
    );
    let wrong = ctl(served, &["dataset", "verify", &url]);
    assert!(text(&wrong.stdout).contains("-3.jsonl.gz"), "{}", text(&wrong.stdout));
    assert_eq!(wrong.status.code(), Some(1));
}
