//! The faults of the original program that concern dataset files (`FORMATS.md`, by number): their results are
//! repaired, and they do not recur.

use super::*;

/// Runs a command that must succeed.
fn run(args: &[&str]) -> String {
    let output = ctl(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn fault_2_followers_and_one_tweet_timelines_doubled_by_a_killed_worker() {
    for verb in ["recover", "convert"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "22/22.fws.gz", &gzip(&packed([5, 6, 7, 5, 6, 7])));
        put(root, "22/22.twt.gz", &gzip(&tweets([9, 9])));
        assert_eq!(ctl(&["dataset", "verify", utf8(root)]).status.code(), Some(1));
        let told = run(&["dataset", verb, utf8(root)]);
        assert!(
            told.contains("3 items that were there twice") || told.contains("3 that were there twice"),
            "{told}"
        );
        run(&["dataset", "verify", utf8(root)]);
        let summary = run(&["dataset", "stat", "-s", utf8(root)]);
        assert!(summary.contains("1 tweets") && summary.contains("3 followers"), "{summary}");
    }
}

#[test]
fn fault_4_one_unreadable_file_ends_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = &folder.path().join("dataset");
    let whole = gzip(&tweets((1..500).rev()));
    let bad = put(root, "11/11.twt", &whole[..whole.len() - 9]);
    let foreign = put(root, "12/12.fws", b"\x89PNG\r\n");
    let good = put(root, "33/33.twt.gz", &gzip(&tweets([2, 1])));
    let to = folder.path().join("to");
    for args in [
        &["stat", utf8(root)][..],
        &["verify", utf8(root)],
        &["cat", utf8(&bad), utf8(&foreign), utf8(&good)],
        &["merge", utf8(root), "--to", utf8(&to)],
        &["convert", utf8(root)],
        &["recover", utf8(root)],
    ] {
        let output = ctl(&[&["dataset"], args].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(i32::from(args[0] != "stat")), "{args:?}: {out}{err}");
        let both = out + &err;
        assert!(
            both.contains(utf8(&foreign)) && (args[0] == "recover" || both.contains(utf8(&bad))),
            "{both}"
        );
    }
    assert_eq!(ids(&to.join("33/33.twt")), ["2", "1"], "merge continued");
    assert_eq!(ids(&root.join("33/33.twt")), ["2", "1"], "convert continued");
    assert!(ids(&bad).len() >= 498, "recover saved all of it that there is");
    assert_eq!(fs::read(root.join("12/12.fws.unreadable")).unwrap(), b"\x89PNG\r\n");
}

#[test]
fn fault_5_tools_find_the_names_that_are_really_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "22/22013880.twt.gz", &gzip(&tweets([9, 5])));
    put(root, "22/22013880.fws.gz", &gzip(&packed([5, 6])));
    put(root, "27/27476557.twt", &tweets([3]));
    put(root, "27/27476557.fws", &packed([7]));
    for verb in ["stat", "verify", "recover", "convert"] {
        let told = run(&["-o", "json", "dataset", verb, utf8(root)]);
        let total: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        let files = match verb {
            "stat" => {
                total["timelines"]["files"].as_u64().unwrap() + total["followers"]["files"].as_u64().unwrap()
            }
            _ => total["files"].as_u64().unwrap(),
        };
        assert_eq!(files, 4, "{verb}: {told}");
    }
    // The conversion has renamed the files as documented.
    assert_eq!(names(&root.join("22")), ["22013880.fws", "22013880.twt"]);
    assert_eq!(cat(&root.join("22/22013880.fws")), ["5", "6"]);
    run(&["dataset", "convert", "--followers", "text", utf8(root)]);
    assert_eq!(gunzip(&root.join("22/22013880.fws")), "5\n6\n");
    assert_eq!(fs::read_to_string(root.join("27/27476557.fws")).unwrap(), "7\n");
}

#[test]
fn fault_6_a_target_listed_twice_has_doubled_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let (root, to) = (folder.path().join("old"), folder.path().join("new"));
    let once = tweets((1..300).rev());
    put(&root, "22/22.twt.gz", &gzip(&[&once[..], &once].concat()));
    put(&root, "22/22.fws.gz", &gzip(&packed((1..900).chain(1..900))));
    run(&["dataset", "merge", utf8(&root), "--to", utf8(&to)]);
    assert_eq!(gunzip(&to.join("22/22.twt")).into_bytes(), once);
    assert_eq!(cat(&to.join("22/22.fws")).len(), 899);
}

#[test]
fn fault_10_temporary_files_of_killed_tools_do_not_stay() {
    for verb in ["convert", "recover", "merge"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "22/22.twt", &tweets([2, 1]));
        put(root, "22/22.twt.new", &tweets([2]));
        put(root, "33/33.fws.new", b"1\n");
        let to: &[&str] = if verb == "merge" { &["--to", utf8(root)] } else { &[] };
        let output = ctl(&[&["dataset", verb, utf8(root)], to].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("removed 2 temporary files"), "{}", text(&output.stderr));
        assert_eq!((names(&root.join("22")), names(&root.join("33"))), (vec!["22.twt".into()], vec![]));
    }
}

/// Starts a command and kills it while it writes `half_written`. Returns false if the command ended first.
fn kill_while_writing(args: &[&str], half_written: &Path) -> bool {
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_twm-ctl")).args(args).stdout(Stdio::null()).spawn().unwrap();
    while !fs::metadata(half_written).is_ok_and(|found| found.len() > 0) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    half_written.exists()
}

#[test]
fn fault_10_a_tool_killed_in_the_middle_leaves_the_old_file_and_the_next_run_ends_its_work() {
    // A busy machine may need a longer file to be interrupted in the middle.
    for ids in [400_000, 1_600_000, 6_400_000] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let list = put(root, "22/22.fws", &packed(1..=ids));
        let args = ["dataset", "convert", "--gzip", "9", "--followers", "text", utf8(root)];
        if !kill_while_writing(&args, &root.join("22/22.fws.new")) {
            continue;
        }
        assert_eq!(names(&root.join("22")), ["22.fws", "22.fws.new"]);
        assert_eq!(fs::metadata(&list).unwrap().len(), ids * 8);
        run(&args);
        assert_eq!(names(&root.join("22")), ["22.fws"]);
        let found = run(&["-o", "json", "dataset", "verify", utf8(root)]);
        assert!(found.contains(&format!("\"followers\":{ids}")), "{found}");
        return;
    }
    panic!("it could not be killed in the middle");
}
