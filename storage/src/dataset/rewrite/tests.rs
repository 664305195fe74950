//! Files made anew, from outside.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::dataset::{
    DatasetError, FileKind, FollowersFormat, FollowersReader, TimelineReader, tweet_id, verify,
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Lines of tweets whose text does not compress well, so that damage in the middle is in the middle.
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
    TimelineReader::open(path).unwrap().map(|line| tweet_id(&line.unwrap()).unwrap()).collect()
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

#[test]
fn a_gzip_that_ends_too_early_gives_what_was_before_its_end() {
    let whole = gzip(&tweets((1..=1_000).rev(), "a"));
    for cut in [1, 8, 9, whole.len() / 2] {
        let rig = Rig::new();
        let torn = &whole[..whole.len() - cut];
        let path = rig.put("5.twt", torn);
        let recovery = recovered(&path);
        let ids = timeline(&path);
        assert_eq!(recovery.written.items, ids.len() as u64);
        assert!(ids.iter().rev().is_sorted() && ids[0] == 1_000, "its head is there");
        let expected = if cut <= 9 { 999 } else { 400 };
        assert!(ids.len() >= expected, "{} of a file that lost {cut} bytes", ids.len());
        assert!(recovery.loss.truncated && recovery.loss.unverified == recovery.written.items);
        assert_eq!(fs::read(recovery.written.aside.unwrap()).unwrap(), torn, "nothing is deleted");
        assert_eq!(rig.names(), ["5.twt", "5.twt.unreadable"]);
        assert!(verify(&path, FileKind::Timeline).unwrap().is_sound());
    }
}

#[test]
fn a_flipped_bit_costs_the_rest_of_its_member_alone() {
    let members: Vec<Vec<u8>> =
        [(2_001..=3_000), (1_001..=2_000), (1..=1_000)].map(|ids| gzip(&tweets(ids.rev(), "a"))).into();
    let entropy = SeededEntropy::new(3);
    for _ in 0..40 {
        let rig = Rig::new();
        let mut bytes = members.concat();
        let at = members[0].len() + entropy.next_u64() as usize % members[1].len();
        bytes[at] ^= 1 << (entropy.next_u64() % 8);
        let path = rig.put("5.twt", &bytes);
        match recover(&path, &target(&path), Form::default()).unwrap() {
            // The time in a member's header means nothing.
            Recovered::Sound => assert!((3..10).contains(&(at - members[0].len())), "byte {at}"),
            Recovered::Written(recovery) => {
                let ids = timeline(&path);
                let of = |from, to| ids.iter().filter(|id| (from..=to).contains(*id)).count();
                assert_eq!((of(2_001, 3_000), of(1, 1_000)), (1_000, 1_000), "byte {at}");
                assert!(recovery.loss.unverified as usize >= of(1_001, 2_000), "byte {at}");
                assert!(!recovery.loss.is_none() && !recovery.loss.truncated);
            }
            Recovered::Nothing { .. } => panic!("byte {at}"),
        }
        assert!(verify(&path, FileKind::Timeline).unwrap().is_sound(), "byte {at}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_file_of_one_member_is_told() {
    let whole = gzip(&packed(1_000..2_000));
    for at in (0..whole.len()).step_by(7).filter(|at| !(3..10).contains(at)) {
        let rig = Rig::new();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let path = rig.put("5.fws", &bytes);
        match recover(&path, &target(&path), Form::default()).unwrap() {
            Recovered::Sound => panic!("byte {at} was flipped unnoticed"),
            Recovered::Written(_) => assert!(verify(&path, FileKind::Followers).unwrap().is_sound()),
            Recovered::Nothing { aside, .. } => assert!(aside.is_some() && !path.exists()),
        }
    }
}

#[test]
fn torn_and_foreign_lines_are_dropped_and_counted() {
    let rig = Rig::new();
    let good = tweets([9, 7], "a");
    let bytes =
        [&good[..], b"{\"id\": 6, \"te", b"\n\xff\xfe\x00\n[]\n", &tweets([5], "a"), b"{\"id\": 4"].concat();
    let path = rig.put("5.twt", &bytes);
    let recovery = recovered(&path);
    assert_eq!(timeline(&path), [9, 7, 5]);
    assert_eq!((recovery.loss.bad_items, recovery.loss.bad_bytes), (4, 13 + 3 + 2 + 8));
    assert_eq!((recovery.loss.skipped_bytes, recovery.loss.unverified), (0, 0));

    let path = rig.put("5.fws", b"50\n51\n5x2\n0\ndid:plc:a\n53\n1");
    let recovery = recovered(&path);
    assert_eq!(followers(&path), ["50", "51", "did:plc:a", "53"], "a cut id is somebody else's");
    assert_eq!((recovery.loss.bad_items, recovery.loss.bad_bytes), (3, 5));

    let bytes = [packed([5, 6, 0, 7]), vec![0, 0, 1]].concat();
    let path = rig.put("6.fws", &bytes);
    assert_eq!(recovered(&path).loss.bad_items, 2);
    assert_eq!(followers(&path), ["5", "6", "7"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 24, "plain and packed as it was");
}

#[test]
fn garbage_around_members_is_passed_over() {
    let rig = Rig::new();
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let members = [9, 5].map(|id| gzip(&tweets([id], "a")));
    let path = rig.put("5.twt", &[&members[0][..], &noise, &members[1], b"end"].concat());
    let recovery = recovered(&path);
    assert_eq!(timeline(&path), [9, 5]);
    assert_eq!((recovery.loss.skipped_bytes, recovery.loss.bad_items), (100_003, 0));
    assert_eq!(recovery.loss.unverified, 0);
    let mut headless = members[0].clone();
    headless[0] = 0;
    let path = rig.put("6.twt", &headless);
    // Its data and checksum are whole, so nothing is lost but the first byte.
    assert!(verify(&path, FileKind::Timeline).unwrap().unreadable.is_some());
    recovered(&path);
    assert_eq!(timeline(&path), [9]);
}

#[test]
fn nothing_readable_makes_no_file_and_stays_aside() {
    let rig = Rig::new();
    for bytes in [&b"\x1f\x8b\x08 no gzip"[..], b"GIF89a", b"\x00\x00"] {
        let path = rig.put("5.twt", bytes);
        rig.put("5.twt.unreadable", b"an earlier one");
        let result = recover(&path, &target(&path), Form::default()).unwrap();
        let Recovered::Nothing { aside, .. } = result else { panic!("{result:?}") };
        assert_eq!(aside.unwrap(), rig.path("5.twt.unreadable-2"));
        assert!(!path.exists());
        assert_eq!(fs::read(rig.path("5.twt.unreadable-2")).unwrap(), bytes);
        fs::remove_file(rig.path("5.twt.unreadable-2")).unwrap();
    }
}

#[test]
fn a_sound_file_is_not_touched_and_a_doubled_one_is_put_in_order() {
    let rig = Rig::new();
    let path = rig.put("5.twt", &gzip(&tweets([9, 5], "a")));
    let before = fs::metadata(&path).unwrap();
    assert_eq!(recover(&path, &target(&path), Form::default()).unwrap(), Recovered::Sound);
    assert!(new_file::is_same(&before, &fs::metadata(&path).unwrap()));

    let path = rig.put("6.twt", &gzip(&tweets([5, 3, 9, 5, 3], "a")));
    let recovery = recovered(&path);
    assert!(recovery.reordered && recovery.loss.is_none() && recovery.written.duplicates == 2);
    assert_eq!(timeline(&path), [9, 5, 3]);
    let path = rig.put("6.fws", &packed([5, 3, 5]));
    assert_eq!(recovered(&path).written.duplicates, 1);
    assert_eq!(followers(&path), ["5", "3"]);
}

#[test]
fn what_was_set_aside_is_recovered_to_the_free_name_alone() {
    let rig = Rig::new();
    let whole = gzip(&tweets((1..=500).rev(), "a"));
    let aside = rig.put("5.twt.unreadable-3", &whole[..whole.len() / 2]);
    let (key, path) = FileKey::of_set_aside(&aside).unwrap();
    assert_eq!(path, rig.path("5.twt"));
    let target = Target { key, path: path.clone(), force: false };
    let result = recover(&aside, &target, Form::default()).unwrap();
    let Recovered::Written(recovery) = result else { panic!("{result:?}") };
    assert!(recovery.written.aside.is_none() && aside.exists() && timeline(&path)[0] == 500);
    let again = recover(&aside, &target, Form::default());
    assert!(matches!(again, Err(DatasetError::Exists { .. })), "{again:?}");
}

#[test]
fn merged_timelines_have_each_tweet_once_in_the_version_of_the_last_copy() {
    let rig = Rig::new();
    let copies = [
        rig.put("1.twt.gz", &gzip(&tweets([9, 7, 5, 3], "old"))),
        rig.put("1.copy", &tweets([5, 5, 1, 8], "disordered")),
        rig.put("2.twt", &tweets([10, 9, 2], "new")),
    ];
    let path = rig.path("1.twt");
    let written = merge(&copies, &target(&path), Form::default()).unwrap();
    assert_eq!((written.items, written.duplicates), (8, 3));
    let lines: Vec<String> = TimelineReader::open(&path).unwrap().map(Result::unwrap).collect();
    let version = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        (value["id"].as_u64().unwrap(), value["v"].as_str().unwrap().to_owned())
    };
    let expected =
        [(10, "new"), (9, "new"), (8, "disordered"), (7, "old"), (5, "disordered"), (3, "old"), (2, "new")];
    let expected = expected.into_iter().chain([(1, "disordered")]).map(|(id, v)| (id, v.to_owned()));
    assert!(lines.iter().map(version).eq(expected), "{lines:?}");
    assert!(!TimelineReader::open(&path).unwrap().compressed(), "as the last copy is");
}

#[test]
fn merged_followers_are_those_of_the_last_copy_and_then_the_others_each_once() {
    let rig = Rig::new();
    let copies = [
        rig.put("1.fws", &gzip(&packed([5, 6, 7]))),
        rig.put("2.fws", &lines([7, 8])),
        rig.put("3.fws", &packed([8, 9, 5])),
    ];
    let path = rig.path("4.fws");
    let form = Form { gzip: Gzip::Level(9), followers: Some(FollowersFormat::Text) };
    let written = merge(&copies, &target(&path), form).unwrap();
    assert_eq!(followers(&path), ["8", "9", "5", "7", "6"]);
    assert_eq!((written.items, written.duplicates), (5, 3));
    let found = verify(&path, FileKind::Followers).unwrap();
    assert!(found.compressed && !found.packed && found.is_sound());
}

#[test]
fn a_merge_can_take_the_place_of_a_copy_but_of_nothing_else() {
    let rig = Rig::new();
    let (one, two) = (rig.put("1.fws", &lines([1])), rig.put("2.fws", &lines([2])));
    let copies = [one.clone(), two.clone()];
    let foreign = rig.put("3.fws", b"\x89PNG");
    let refused = merge(&copies, &target(&foreign), Form::default());
    assert!(matches!(refused, Err(DatasetError::Exists { .. })), "{refused:?}");
    assert_eq!(fs::read(&foreign).unwrap(), b"\x89PNG");
    merge(&copies, &target(&one), Form::default()).unwrap();
    assert_eq!((followers(&one), followers(&two)), (vec!["2".into(), "1".into()], vec!["2".into()]));
    merge(&copies, &Target { force: true, ..target(&foreign) }, Form::default()).unwrap();
    assert_eq!(followers(&foreign), ["2", "1"]);
    for damaged in [&gzip(&lines(1..9_000))[..900], b"1\n2", b"1\n\n\x00"] {
        rig.put("2.fws", damaged);
        let refused = merge(&copies, &target(&one), Form::default());
        assert!(matches!(refused, Err(DatasetError::Unreadable { .. })), "{refused:?}");
        assert_eq!(followers(&one), ["2", "1"]);
    }
    assert_eq!(rig.names(), ["1.fws", "2.fws", "3.fws"], "no leftovers");
}

#[test]
fn a_conversion_changes_form_and_name_and_nothing_else() {
    let rig = Rig::new();
    let ids: Vec<u64> = (1..5_000).collect();
    let texts: Vec<String> = ids.iter().map(u64::to_string).collect();
    let old = rig.put("5.fws.gz", &gzip(&packed(ids.iter().copied())));
    let path = rig.path("5.fws");
    let to = target(&path);
    assert_eq!(convert(&old, &to, Form::default()).unwrap(), Converted::Renamed);
    assert_eq!(rig.names(), ["5.fws"]);
    assert_eq!(convert(&path, &to, Form::default()).unwrap(), Converted::AsWanted);
    let text = Some(FollowersFormat::Text);
    let packed_form = Some(FollowersFormat::Packed);
    for (gzip, followers_form, compressed) in [
        (Gzip::Keep, text, true),
        (Gzip::Plain, None, false),
        (Gzip::Keep, packed_form, false),
        (Gzip::Level(1), None, true),
    ] {
        let form = Form { gzip, followers: followers_form };
        assert!(matches!(convert(&path, &to, form).unwrap(), Converted::Written(_)));
        let found = verify(&path, FileKind::Followers).unwrap();
        assert!(found.is_sound() && found.compressed == compressed);
        assert_eq!(followers(&path), texts);
    }
    let doubled = rig.put("6.twt.gz", &gzip(&tweets([5, 3, 5, 3], "a")));
    let path = rig.path("6.twt");
    let Converted::Written(written) = convert(&doubled, &target(&path), Form::default()).unwrap() else {
        panic!("it was not sound")
    };
    assert_eq!((written.duplicates, timeline(&path)), (2, vec![5, 3]));
    assert_eq!(rig.names(), ["5.fws", "6.twt"]);
}

#[test]
fn a_conversion_leaves_unreadable_twin_and_linked_files_alone() {
    let rig = Rig::new();
    let whole = gzip(&tweets((1..100).rev(), "a"));
    let torn = rig.put("5.twt.gz", &whole[..whole.len() - 9]);
    let refused = convert(&torn, &target(&rig.path("5.twt")), Form::default());
    assert!(matches!(refused, Err(DatasetError::Unreadable { .. })), "{refused:?}");
    rig.put("6.twt.gz", &whole);
    rig.put("6.twt", &tweets([200], "a"));
    let refused = convert(&rig.path("6.twt.gz"), &target(&rig.path("6.twt")), Form::default());
    assert!(matches!(refused, Err(DatasetError::Exists { .. })), "{refused:?}");
    assert_eq!(timeline(&rig.path("6.twt")), [200]);
    let real = rig.put("real", &whole);
    std::os::unix::fs::symlink(&real, rig.path("7.twt")).unwrap();
    let form = Form { gzip: Gzip::Plain, followers: None };
    let refused = convert(&rig.path("7.twt"), &target(&rig.path("7.twt")), form).unwrap_err();
    assert!(refused.to_string().contains("symbolic link"), "{refused}");
    assert_eq!(fs::read(real).unwrap(), whole);
    assert_eq!(rig.names(), ["5.twt.gz", "6.twt", "6.twt.gz", "7.twt", "real"]);
}

#[test]
fn access_rights_go_over_to_the_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let path = rig.put("5.twt", &tweets([2, 1], "a"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    convert(&path, &target(&path), Form { gzip: Gzip::Level(6), followers: None }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn of_two_writers_one_waits_and_a_file_published_meanwhile_stays() {
    let rig = Rig::new();
    let path = rig.put("5.twt", &tweets([2, 1], "a"));
    let seen = fs::metadata(&path).unwrap();
    let begin = || new_file::NewFile::create(&path, Some(&seen), &seen, None);
    let first = begin().unwrap();
    assert!(matches!(begin().map(drop), Err(DatasetError::Busy { .. })));
    rig.put("newer", &tweets([3, 2, 1], "b"));
    fs::rename(rig.path("newer"), &path).unwrap();
    assert!(matches!(first.commit().map(drop), Err(DatasetError::Changed { .. })));
    assert_eq!(timeline(&path), [3, 2, 1]);
    assert_eq!(rig.names(), ["5.twt"]);
}

#[test]
fn temporary_files_of_killed_tools_do_not_stay() {
    let rig = Rig::new();
    fs::create_dir(rig.path("22")).unwrap();
    for name in ["22/22.twt.new", "22/22.fws.new", "22/notes.new", "22/23.twt"] {
        rig.put(name, b"half written");
    }
    let seen = fs::metadata(rig.path("22/23.twt")).unwrap();
    let at_work = new_file::NewFile::create(&rig.path("22/24.twt"), None, &seen, None).unwrap();
    assert_eq!(remove_leftovers(rig.folder.path()).unwrap(), 2);
    drop(at_work);
    let mut names: Vec<_> = fs::read_dir(rig.path("22")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["23.twt", "notes.new"]);
}
