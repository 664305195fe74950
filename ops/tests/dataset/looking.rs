//! `cat`, `stat` and `verify`.

use super::*;

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
    assert_eq!((by_user.stdout, by_user.status.code()), (both.stdout, Some(0)));
    let parts: [(&[&str], usize); 4] =
        [(&["-F"], 300), (&["-T"], 500), (&["-T", "-F"], 800), (&["-e", "id"], 500)];
    for (words, lines) in parts {
        let one = ctl(&[&["dataset", "cat", "--output", utf8(&output), "--user", "7"][..], words].concat());
        assert_eq!((text(&one.stdout).lines().count(), one.status.code()), (lines, Some(0)), "{words:?}");
    }
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

#[test]
fn cat_prints_fields_with_tabs_between_and_nothing_for_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let tweet =
        r#"{"id": 7, "created_at": "Tue Dec 04", "user": {"screen_name": "jack"}, "text": "a\tb\nc"}"#;
    let path = put(folder.path(), "22/22.twt.gz", &gzip(format!("{tweet}\n{{\"id\": 6}}\n").as_bytes()));
    let fields = "created_at,user/screen_name,text";
    let printed = ctl(&["dataset", "cat", "-e", fields, utf8(&path)]);
    assert_eq!(text(&printed.stdout), "Tue Dec 04\tjack\ta\\tb\\nc\n\t\t\n");
    let by_user = ["dataset", "cat", "--output", utf8(folder.path()), "--user", "22", "-e", fields];
    assert_eq!(ctl(&by_user).stdout, printed.stdout);
    let json = ctl(&["-o", "json", "dataset", "cat", "-e", fields, utf8(&path)]);
    let rows = documents(&json);
    assert_eq!(rows[0], serde_json::json!(["Tue Dec 04", "jack", "a\tb\nc"]));
    assert_eq!(rows[1], serde_json::json!([null, null, null]));
    assert_eq!(ctl(&["dataset", "cat", "-e", "a,,b", utf8(&path)]).status.code(), Some(2));
    let list = put(folder.path(), "22/22.fws", b"1\n");
    let refused = ctl(&["dataset", "cat", "-e", "id", utf8(&list)]);
    assert!(refused.status.code() == Some(1) && text(&refused.stderr).contains("no fields"));
}

#[test]
fn stat_tells_of_each_file_and_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let dated = |id: u64, date: &str| format!("{{\"id\":{id},\"created_at\":\"{date}\"}}\n");
    let old = dated(9, "Thu May 30 21:15:48 +0000 2013") + &dated(8, "Tue Dec 04 14:46:47 +0000 2012");
    let plain = put(&output, "33/33.twt", old.as_bytes());
    put(&output, "33/34.fws", b"5\n5\n\xff");
    let stat = ctl(&["-o", "json", "dataset", "stat", utf8(&output)]);
    assert!(stat.status.success(), "{}", text(&stat.stderr));
    let found = documents(&stat);
    assert_eq!(found.len(), 7);
    let of = |name: &str| found.iter().find(|file| file["file"] == utf8(&output.join(name))).unwrap();
    let packed = of("22/22013880.fws");
    assert_eq!(
        (&packed["items"], &packed["packed"], &packed["gzip"]),
        (&300.into(), &true.into(), &true.into())
    );
    assert_eq!((&packed["first"]["id"], &packed["last"]["id"]), (&"1".into(), &"300".into()));
    assert_eq!(packed["plain_bytes"], 2_400);
    let dated = of("33/33.twt");
    assert_eq!(dated["first"]["created_at"], "Thu May 30 21:15:48 +0000 2013");
    assert_eq!((&dated["bytes"], &dated["plain_bytes"]), (&old.len().into(), &old.len().into()));
    let bad = of("33/34.fws");
    assert_eq!((&bad["items"], &bad["duplicates"]), (&2.into(), &1.into()));
    assert!(bad["unreadable"].as_str().unwrap().starts_with("item 3"));
    let total = &found[6];
    assert_eq!((&total["timelines"]["files"], &total["timelines"]["items"]), (&3.into(), &1_002.into()));
    assert_eq!(total["timelines"]["oldest"], "2012-12-04T14:46:47Z");
    assert_eq!(total["followers"]["not_sound"], 1);

    let table = text(&ctl(&["dataset", "stat", utf8(&plain)]).stdout);
    assert!(table.lines().nth(1).unwrap().contains("2012-12-04  2013-05-30"), "{table}");
    let summary = text(&ctl(&["dataset", "stat", "-s", utf8(&output.join("33"))]).stdout);
    assert_eq!(summary.lines().count(), 3);
    assert!(summary.contains("1 timelines, 2 tweets") && summary.contains("1 not sound"), "{summary}");
    let empty = tempfile::tempdir().unwrap();
    let nothing = ctl(&["dataset", "stat", utf8(empty.path()), "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(1));
    let err = text(&nothing.stderr);
    assert!(err.contains("holds no files of a dataset") && err.contains("/nowhere"), "{err}");
}
