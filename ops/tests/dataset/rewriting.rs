//! `convert`, `recover` and `merge`.

use super::*;

#[test]
fn convert_changes_form_in_place_and_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let before = cat(&output.join("7/7.fws"));
    let elsewhere = folder.path().join("text");
    let args =
        ["dataset", "convert", "--followers", "text", "--plain", "--to", utf8(&elsewhere), utf8(&output)];
    let converted = ctl(&args);
    assert!(converted.status.success(), "{}", text(&converted.stderr));
    assert!(text(&converted.stdout).contains("4 rewritten"), "{}", text(&converted.stdout));
    assert_eq!(fs::read_to_string(elsewhere.join("7/7.fws")).unwrap(), before.join("\n") + "\n");
    let again = ctl(&args);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("7.fws is there already"), "{}", text(&again.stderr));
    assert!(ctl(&[&args[..], &["--force"]].concat()).status.success());

    let back =
        ctl(&["-o", "json", "dataset", "convert", "--followers", "packed", "--gzip", "9", utf8(&elsewhere)]);
    let told = documents(&back);
    assert_eq!((told.len(), &told[4]["written"]), (5, &4.into()));
    assert_eq!(cat(&elsewhere.join("7/7.fws")), before);
    assert!(fs::metadata(elsewhere.join("7/7.fws")).unwrap().len() < 2_400);
    let unchanged = ctl(&["dataset", "convert", utf8(&elsewhere)]);
    assert!(text(&unchanged.stdout).contains("4 left as they are"), "{}", text(&unchanged.stdout));
    assert_eq!(ctl(&["dataset", "convert", "--gzip", "10", utf8(&output)]).status.code(), Some(2));
    assert_eq!(ctl(&["dataset", "convert", "--gzip", "1", "--plain", utf8(&output)]).status.code(), Some(2));
}

#[test]
fn recover_saves_what_is_good_and_tells_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let torn = output.join("7/7.twt");
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() - 12]).unwrap();
    let list = put(&output, "33/33.fws", b"51\n52\nx\n5");
    let recovered = ctl(&["-o", "json", "dataset", "recover", utf8(&output)]);
    assert!(recovered.status.success(), "{}", text(&recovered.stderr));
    let told = documents(&recovered);
    let of = |path: &Path| told.iter().find(|file| file["file"] == utf8(path)).unwrap();
    assert_eq!((&of(&list)["items"], &of(&list)["lost"]["bad_items"]), (&2.into(), &2.into()));
    assert_eq!(of(&torn)["lost"]["truncated"], true);
    assert_eq!(of(&torn)["aside"], utf8(&output.join("7/7.twt.unreadable")));
    assert_eq!(fs::read(output.join("7/7.twt.unreadable")).unwrap(), bytes[..bytes.len() - 12]);
    assert_eq!((&told[2]["sound"], &told[2]["recovered"]), (&3.into(), &2.into()));
    let items = ids(&torn);
    assert!(items.len() > 400 && items[0] == "500", "{} tweets", items.len());
    assert!(ctl(&["dataset", "verify", utf8(&output)]).status.success());
    let again = ctl(&["dataset", "recover", utf8(&output)]);
    assert!(again.status.success() && text(&again.stdout).contains("2 set aside and left"));
}

#[test]
fn a_file_of_which_nothing_can_be_read_is_reported_once_and_then_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let hopeless = put(&output, "33/33.fws", b"\x89PNG\r\n");
    let aside = output.join("33/33.fws.unreadable");
    let first = ctl(&["dataset", "recover", utf8(&output)]);
    assert_eq!(first.status.code(), Some(1), "somebody has to know");
    assert!(text(&first.stderr).contains(&format!("it is now {}", utf8(&aside))), "{}", text(&first.stderr));
    for _ in 0..2 {
        let later = ctl(&["dataset", "recover", utf8(&output)]);
        let (out, err) = (text(&later.stdout), text(&later.stderr));
        assert!(later.status.success(), "{out}{err}");
        assert!(err.contains(utf8(&aside)) && err.contains("nothing can be read of it"), "{err}");
        assert!(out.contains("1 set aside and left, 0 failed"), "{out}");
    }
    assert_eq!(fs::read(&aside).unwrap(), b"\x89PNG\r\n");
    assert!(!hopeless.exists());
    // When this file itself is named, the exit code reports the failure.
    assert_eq!(ctl(&["dataset", "recover", utf8(&aside)]).status.code(), Some(1));
}

#[test]
fn recover_does_for_a_file_set_aside_by_a_node_what_the_error_says() {
    let folder = tempfile::tempdir().unwrap();
    let output = dataset(folder.path());
    let whole = gzip(&tweets((1..=2_000).rev()));
    put(&output, "22/22013880.twt", &whole[..whole.len() / 2]);
    let dataset = FilesDataset::open(FilesOptions::new(&output)).unwrap();
    let account = Account::from(UserId::Number(22_013_880));
    let mut update = dataset.begin_timeline(&account, 9).unwrap();
    let error = update.append_existing().unwrap().set_aside.unwrap().to_string();
    update.finish().unwrap();
    let aside = output.join("22/22013880.twt.unreadable");
    let command = format!("dataset recover {}", utf8(&aside));
    assert!(error.contains(&format!("`twm-ctl {command}`")), "{error}");
    assert_eq!(dataset.newest_post(&account).unwrap(), None);
    let recovered = ctl(&command.split(' ').collect::<Vec<_>>());
    assert!(recovered.status.success(), "{}", text(&recovered.stderr));
    assert_eq!(dataset.newest_post(&account).unwrap(), Some(2_000.into()));
    assert!(aside.exists());

    // If a node has fetched the account again in the meantime, the saved items are written elsewhere and both
    // are merged.
    let refused = ctl(&["dataset", "recover", utf8(&aside)]);
    assert!(text(&refused.stderr).contains("left, since"), "{}", text(&refused.stderr));
    put(&output, "22/22013880.twt", &gzip(&tweets([2_002, 2_001])));
    let saved = folder.path().join("saved");
    assert!(ctl(&["dataset", "recover", "--to", utf8(&saved), utf8(&aside)]).status.success());
    let merged = ctl(&["dataset", "merge", utf8(&saved), utf8(&output), "--to", utf8(&output)]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    assert_eq!(ids(&output.join("22/22013880.twt"))[..4], ["2002", "2001", "2000", "1999"]);
}

#[test]
fn merge_joins_datasets_and_leaves_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, to) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("to"));
    put(&old, "22/22.twt.gz", &gzip(&tweets([5, 4, 3])));
    put(&old, "22/22.fws.gz", &gzip(&packed([7, 8])));
    put(&old, "33/33.twt", &tweets([1]));
    put(&new, "22/22.twt", &gzip(&tweets([6, 5])));
    put(&new, "22/22.fws", b"9\n7\n");
    let merged = ctl(&["-o", "json", "dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&to)]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    let told = &documents(&merged)[0];
    assert_eq!((&told["files"], &told["items"], &told["duplicates"]), (&3.into(), &8.into(), &2.into()));
    assert_eq!(ids(&to.join("22/22.twt")), ["6", "5", "4", "3"]);
    assert_eq!(gunzip(&to.join("22/22.twt")).into_bytes(), tweets([6, 5, 4, 3]));
    assert_eq!(cat(&to.join("22/22.fws")), ["9", "7", "8"]);
    assert_eq!(ids(&to.join("33/33.twt")), ["1"]);
    assert_eq!(names(&old.join("22")), ["22.fws.gz", "22.twt.gz"]);
    let refused = ctl(&["dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&to)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("there already"), "{}", text(&refused.stderr));
    let into_old = ctl(&["dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&old)]);
    assert!(text(&into_old.stdout).contains("1 left as they are"), "{}", text(&into_old.stdout));
    assert_eq!(names(&old.join("22")), ["22.fws", "22.twt"], "our names alone");
    assert_eq!(fs::read(old.join("22/22.twt")).unwrap(), fs::read(to.join("22/22.twt")).unwrap());
}

#[test]
fn merge_keeps_the_provenance_of_all_its_datasets() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, to) = (folder.path().join("old"), folder.path().join("new"), folder.path().join("to"));
    let names_of = |dataset: &Path| names(&dataset.join(".provenance"));
    let batch = |number: u64| format!("1-{:016x}-{number}.jsonl.gz", 5);
    put(&old, "22/22.twt", &gzip(&tweets([5, 4])));
    put(&new, "22/22.twt", &gzip(&tweets([6, 5])));
    put(&old, &format!(".provenance/{}", batch(1)), &gzip(b"{}\n"));
    put(&new, &format!(".provenance/{}", batch(2)), &gzip(b"{}\n{}\n"));
    let merged = ctl(&["-o", "json", "dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&to)]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    assert_eq!(documents(&merged)[0]["provenance_batches"], 2);
    assert_eq!(names_of(&to), [batch(1), batch(2)]);
    let same = |name: &str| fs::read(to.join(".provenance").join(name)).unwrap();
    assert_eq!(same(&batch(2)), fs::read(new.join(".provenance").join(batch(2))).unwrap());
    // Into one of the inputs, which keeps its own.
    let merged = ctl(&["dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&new)]);
    assert!(text(&merged.stdout).contains("1 batches of provenance copied"), "{}", text(&merged.stdout));
    assert_eq!((names_of(&new), names_of(&old)), (vec![batch(1), batch(2)], vec![batch(1)]));
    // One that cannot be copied is named.
    fs::create_dir(old.join(".provenance").join(batch(3))).unwrap();
    let failed = ctl(&["dataset", "merge", utf8(&old), utf8(&new), "--to", utf8(&new)]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.contains(&batch(3)) && said.contains("1 batches of provenance were not copied"), "{said}");
}

#[test]
fn merge_joins_copies_of_a_file_and_refuses_what_is_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let one = put(folder.path(), "one", &gzip(&tweets([3, 1])));
    let two = put(folder.path(), "two", &tweets([2, 3]));
    let list = put(folder.path(), "5.fws", b"1\n");
    let to = folder.path().join("5.twt");
    let merged = ctl(&["dataset", "merge", utf8(&one), utf8(&two), "--to", utf8(&to)]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    assert_eq!(ids(&to), ["3", "2", "1"]);
    for (paths, code, why) in [
        ([&one, &list], 2, "does not hold what a .twt file holds"),
        ([&one, &folder.path().to_owned()], 2, "not both"),
        ([&one, &folder.path().join("none")], 1, "is not there"),
    ] {
        let refused = ctl(&["dataset", "merge", utf8(paths[0]), utf8(paths[1]), "--to", utf8(&to)]);
        assert_eq!(refused.status.code(), Some(code));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
    let no_name = ctl(&["dataset", "merge", utf8(&one), "--to", utf8(&folder.path().join("notes"))]);
    assert_eq!(no_name.status.code(), Some(2));
    assert_eq!(ids(&to), ["3", "2", "1"]);
}

/// Runs `twm-ctl dataset` with at most 96 MiB of address space.
fn run_small(args: &str, folder: &Path) -> Output {
    let command = format!("ulimit -v 98304; exec {} dataset {args}", env!("CARGO_BIN_EXE_twm-ctl"));
    Command::new("sh").args(["-c", &command]).current_dir(folder).output().unwrap()
}

#[test]
fn memory_is_bounded_whatever_the_files_size() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // 110 MB of tweets, oldest first, so that all of them are sorted, and 1.2 million followers, each listed
    // twice.
    let noise = "x".repeat(1_400);
    let lines = (1..75_000).map(|id| format!("{{\"id\": {id}, \"text\": \"{noise}\"}}\n"));
    let path = put(root, "7.twt", b"");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    lines.for_each(|line| file.write_all(line.as_bytes()).unwrap());
    file.flush().unwrap();
    put(root, "7.fws", &packed((1..1_200_000).chain(1..1_200_000)));
    for (args, told) in [
        ("stat 7.twt 7.fws", "1,199,999 of 2,399,998 items are there twice"),
        ("convert --gzip 1 7.twt", "1 rewritten"),
        ("merge 7.twt 7.twt --to 8.twt", "74,999 items"),
        ("recover 7.fws", "1,199,999 items saved"),
        ("merge 7.fws 7.fws.unreadable --to 8.fws", "1,199,999 items"),
    ] {
        let output = run_small(args, root);
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(told), "{args}: {}", text(&output.stdout));
    }
    assert!(ctl(&["dataset", "verify", utf8(&root.join("8.twt"))]).status.success());
}
