//! Merging, conversion, and replacing files.

use super::*;

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
    assert!(!TimelineReader::open(&path).unwrap().codec().is_compressed(), "as the last copy is");
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
    let form = Form { compression: Some(Compression::Gzip(9)), followers: Some(FollowersFormat::Text) };
    let written = merge(&copies, &target(&path), form).unwrap();
    assert_eq!(followers(&path), ["8", "9", "5", "7", "6"]);
    assert_eq!((written.items, written.duplicates), (5, 3));
    let found = verify(&path, FileKind::Followers).unwrap();
    assert!(found.codec == Codec::Gzip && !found.packed && found.is_sound());
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
    for (compression, followers_form, codec) in [
        (None, text, Codec::Gzip),
        (Some(Compression::None), None, Codec::Plain),
        (None, packed_form, Codec::Plain),
        (Some(Compression::Gzip(1)), None, Codec::Gzip),
        (Some(Compression::Zstd(3)), None, Codec::Zstd),
    ] {
        let form = Form { compression, followers: followers_form };
        assert!(matches!(convert(&path, &to, form).unwrap(), Converted::Written(_)));
        let found = verify(&path, FileKind::Followers).unwrap();
        assert!(found.is_sound() && found.codec == codec);
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
    let form = Form { compression: Some(Compression::None), followers: None };
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
    convert(&path, &target(&path), Form { compression: Some(Compression::Gzip(6)), followers: None })
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn of_two_writers_one_waits_and_a_file_published_meanwhile_stays() {
    let rig = Rig::new();
    let path = rig.put("5.twt", &tweets([2, 1], "a"));
    let seen = fs::metadata(&path).unwrap();
    let begin = || new_file::NewFile::create(&path, Some(&seen), &seen, Compression::None);
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
    let at_work = new_file::NewFile::create(&rig.path("22/24.twt"), None, &seen, Compression::None).unwrap();
    assert_eq!(remove_leftovers(rig.folder.path()).unwrap(), 2);
    drop(at_work);
    let mut names: Vec<_> = fs::read_dir(rig.path("22")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["23.twt", "notes.new"]);
}
