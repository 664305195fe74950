use super::*;
use crate::env::{Entropy, SeededEntropy};

#[test]
fn publishing_may_be_repeated_and_is_finished_after_a_crash() {
    let (folder, dataset) = folder();
    let key = user().timeline();
    place(&folder, "22013880.twt.gz", &gzip(tweets([1]).as_bytes()));
    let mut draft = dataset.begin_timeline(&user(), 6).unwrap();
    push_all(&mut *draft, [2]);
    draft.finish().unwrap();
    assert_eq!(dataset.drafts().unwrap(), [(key.clone(), 6)]);

    // A crash between the rename and the removal of the twin; another node continues.
    let temporary = folder.path().join(".tmp");
    let (draft, proof) = (temporary.join("22013880.twt.6"), temporary.join("22013880.twt.6.published"));
    std::fs::hard_link(&draft, &proof).unwrap();
    std::fs::rename(&draft, folder.path().join("22/22013880.twt")).unwrap();
    assert_eq!(timeline(&dataset), [2], "our name counts");
    assert_eq!(
        dataset.drafts().unwrap(),
        [(key.clone(), 6)],
        "the proof is found by the search for leftovers"
    );
    let dataset = open(folder.path());
    dataset.publish(&key, 6).unwrap();
    dataset.publish(&key, 6).unwrap();
    assert_eq!(names(&folder.path().join("22")), ["22013880.twt"]);
    assert_eq!(timeline(&dataset), [2]);
    let stat = dataset.stat(&key).unwrap().unwrap();
    assert!(stat.place.ends_with("22/22013880.twt") && stat.bytes > 0);

    // A power cut that kept the proof and lost the new name.
    std::fs::remove_file(folder.path().join("22/22013880.twt")).unwrap();
    dataset.publish(&key, 6).unwrap();
    assert_eq!(timeline(&dataset), [2]);
    dataset.discard(&key, 6).unwrap();
    assert_eq!(names(&temporary), Vec::<String>::new());
}

/// Its volume was unmounted: a file with that name may be an older one, or none may exist.
#[test]
fn a_draft_that_is_not_there_counts_as_published_only_if_that_is_proved() {
    let (folder, dataset) = folder();
    let key = user().timeline();
    for old in [false, true] {
        if old {
            place(&folder, "22013880.twt", &gzip(tweets([1]).as_bytes()));
        }
        let mut draft = dataset.begin_timeline(&user(), 6).unwrap();
        push_all(&mut *draft, [2]);
        draft.finish().unwrap();
        std::fs::remove_file(folder.path().join(".tmp/22013880.twt.6")).unwrap();
        let error = dataset.publish(&key, 6).unwrap_err();
        assert!(matches!(error, DatasetError::DraftLost { lease: 6, .. }), "{error}");
        assert_eq!(dataset.exists(&key).unwrap(), old);
    }
}

/// A frozen publisher wakes up after another session has published its draft and a newer one.
#[test]
fn a_publisher_that_was_frozen_replaces_no_newer_file() {
    let (_folder, dataset) = folder();
    let key = user().timeline();
    for (lease, tweets) in [(6, [2]), (9, [3])] {
        let mut draft = dataset.begin_timeline(&user(), lease).unwrap();
        push_all(&mut *draft, tweets);
        draft.finish().unwrap();
        dataset.publish(&key, lease).unwrap();
        dataset.discard(&key, lease).unwrap();
    }
    let error = dataset.publish(&key, 6).unwrap_err();
    assert!(matches!(error, DatasetError::DraftLost { .. }), "{error}");
    assert_eq!(timeline(&dataset), [3]);
}

#[test]
fn an_output_that_is_not_the_one_that_was_opened_is_neither_read_nor_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("dataset");
    let owner = Marker { cluster: 5, storage: 6, epoch: 0 };
    owner.claim(&output).unwrap();
    let options = FilesOptions { owner: Some(owner), ..FilesOptions::new(&output) };
    let dataset = FilesDataset::open(options).unwrap();
    let key = user().timeline();
    let mut draft = dataset.begin_timeline(&user(), 6).unwrap();
    push_all(&mut *draft, [2]);
    draft.finish().unwrap();
    // The volume disappears and leaves an empty mount point, or another one is mounted in its place.
    std::fs::rename(&output, folder.path().join("away")).unwrap();
    std::fs::create_dir(&output).unwrap();
    for other in [None, Some(Marker { storage: 7, ..owner })] {
        if let Some(other) = other {
            other.claim(&output).unwrap();
        }
        let before = names(&output);
        let not_mounted = |error: DatasetError| matches!(error, DatasetError::NotMounted { .. });
        assert!(not_mounted(dataset.publish(&key, 6).unwrap_err()));
        assert!(not_mounted(dataset.begin_timeline(&user(), 7).err().unwrap()));
        assert!(not_mounted(dataset.exists(&key).unwrap_err()));
        assert!(not_mounted(dataset.drafts().unwrap_err()));
        assert!(not_mounted(dataset.discard(&key, 6).unwrap_err()));
        assert_eq!(names(&output), before, "nothing is made beside the volume");
    }
    std::fs::remove_dir_all(&output).unwrap();
    std::fs::rename(folder.path().join("away"), &output).unwrap();
    dataset.publish(&key, 6).unwrap();
    assert_eq!(timeline(&dataset), [2]);
}

#[test]
fn a_stamp_tells_a_file_from_the_one_before() {
    let (folder, dataset) = folder();
    let key = user().timeline();
    assert_eq!(dataset.stamp(&key).unwrap(), 0);
    place(&folder, "22013880.twt", &gzip(tweets([1]).as_bytes()));
    let first = dataset.stamp(&key).unwrap();
    assert_eq!(dataset.stamp(&key).unwrap(), first);
    let mut draft = dataset.begin_timeline(&user(), 6).unwrap();
    push_all(&mut *draft, [1]);
    draft.finish().unwrap();
    dataset.publish(&key, 6).unwrap();
    assert!(![0, first].contains(&dataset.stamp(&key).unwrap()));
}

#[test]
fn a_draft_that_cannot_be_seen_is_not_taken_for_a_published_one() {
    let (folder, dataset) = folder();
    let key = user().timeline();
    let mut draft = dataset.begin_timeline(&user(), 6).unwrap();
    push_all(&mut *draft, [2]);
    draft.finish().unwrap();
    // As if the volume were unmounted for a while.
    let (drafts, away) = (folder.path().join(".tmp"), folder.path().join("away"));
    std::fs::rename(&drafts, &away).unwrap();
    let error = dataset.publish(&key, 6).unwrap_err();
    assert!(matches!(&error, DatasetError::File(file) if file.is_of_the_place()), "{error}");
    assert!(error.to_string().contains(".tmp") && error.to_string().contains("not mounted"), "{error}");
    let error = dataset.begin_timeline(&user(), 7).err().unwrap();
    assert!(matches!(&error, DatasetError::File(file) if file.is_of_the_place()), "{error}");
    std::fs::rename(&away, &drafts).unwrap();
    dataset.publish(&key, 6).unwrap();
    assert_eq!(timeline(&dataset), [2]);
}

#[test]
fn leftovers_of_dead_workers_are_listed_and_removed() {
    let (folder, dataset) = folder();
    let text = Account { source: "bluesky".parse().unwrap(), user: "did:plc:a.b".parse().unwrap() };
    for (account, lease) in [(&user(), 5), (&text, 6)] {
        dataset.begin_timeline(account, lease).unwrap();
        dataset.begin_followers(account, lease).unwrap();
    }
    let temporary = folder.path().join(".tmp");
    for name in ["22013880.fws.7.rewritten", "22013880.fws.8.spill", "not ours"] {
        std::fs::write(temporary.join(name), b"x").unwrap();
    }
    let drafts = dataset.drafts().unwrap();
    assert_eq!(drafts.len(), 6);
    assert!(drafts.contains(&(user().followers(), 7)));
    assert!(drafts.contains(&(text.timeline(), 6)));
    for (key, lease) in &drafts {
        dataset.discard(key, *lease).unwrap();
        dataset.discard(key, *lease).unwrap();
    }
    assert_eq!(names(&temporary), ["not ours"]);
}

#[test]
fn a_draft_of_the_same_lease_starts_anew_in_a_file_of_its_own() {
    let (_folder, dataset) = folder();
    let mut frozen = dataset.begin_timeline(&user(), 1).unwrap();
    push_all(&mut *frozen, [9]);
    let mut draft = dataset.begin_timeline(&user(), 1).unwrap();
    push_all(&mut *draft, [5]);
    frozen.save_point().unwrap();
    draft.finish().unwrap();
    dataset.publish(&user().timeline(), 1).unwrap();
    assert_eq!(timeline(&dataset), [5]);
}

#[test]
fn a_temporary_folder_on_another_volume_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = Path::new("/dev/shm");
    let mut options = FilesOptions::new(folder.path());
    options.temporary = Some(folder.path().join("drafts"));
    FilesDataset::open(options.clone()).unwrap();
    use std::os::unix::fs::MetadataExt;
    let volume = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
    if volume(other).is_ok_and(|volume_id| volume_id != volume(folder.path()).unwrap()) {
        options.temporary = Some(other.to_owned());
        let error = FilesDataset::open(options).unwrap_err();
        assert!(matches!(error, DatasetError::OtherVolume { .. }), "{error}");
        assert!(error.to_string().contains("/dev/shm"));
    }
}

#[test]
fn files_of_a_dataset_are_walked_without_drafts_and_what_was_set_aside() {
    let (folder, dataset) = folder();
    let entropy = SeededEntropy::new(51);
    let mut expected = Vec::new();
    for lease in 0..50 {
        let user = UserId::Number(entropy.next_u64() >> (entropy.next_u64() % 60) | 1);
        let source = if lease % 3 == 0 { "mastodon" } else { "twitter" };
        let account = Account { source: source.parse().unwrap(), user };
        let mut draft = dataset.begin_timeline(&account, lease).unwrap();
        push_all(&mut *draft, [lease + 1]);
        draft.finish().unwrap();
        dataset.publish(&account.timeline(), lease).unwrap();
        expected.push(account.timeline());
    }
    dataset.begin_timeline(&user(), 99).unwrap();
    place(&folder, "22013880.twt.unreadable", b"x");
    place(&folder, "notes.txt", b"x");
    let files: Result<Vec<_>> = dataset_files(folder.path()).unwrap().collect();
    let mut found: Vec<FileKey> = files.unwrap().into_iter().map(|(key, _)| key).collect();
    found.sort();
    expected.sort();
    expected.dedup();
    assert_eq!(found, expected);
}

#[test]
fn verification_counts_what_is_wrong_and_where_a_file_is_torn() {
    let (folder, _) = folder();
    let path = folder.path().join("22/22013880.twt");
    let check = |bytes: &[u8]| {
        place(&folder, "22013880.twt", bytes);
        verify(&path, FileKind::Timeline).unwrap()
    };
    let sound = check(&gzip(tweets([9, 5, 1]).as_bytes()));
    let edge = |id| Some(Edge { id: u64::to_string(&id), created_at: None });
    let plain_bytes = tweets([9, 5, 1]).len() as u64;
    let (first, last) = (edge(9), edge(1));
    let expected =
        Verification { items: 3, codec: Codec::Gzip, plain_bytes, first, last, ..Default::default() };
    assert_eq!(sound, expected);
    assert!(sound.is_sound());
    let messy = check(tweets([5, 9, 5, 9, 1]).as_bytes());
    assert_eq!((messy.items, messy.duplicates, messy.out_of_order), (5, 2, 1));
    let whole = gzip(tweets((1..100).rev()).as_bytes());
    let torn = check(&[&whole[..], &whole[..whole.len() - 4]].concat());
    assert_eq!((torn.items, torn.duplicates), (198, 99));
    assert!(torn.unreadable.unwrap().contains("ends in the middle"));
    assert!(verify(&folder.path().join("none"), FileKind::Timeline).is_err());
    let dated = check(b"{\"id\": 2, \"created_at\": \"Tue\"}\n{\"id\": 1, \"created_at\": 7}\n");
    let dates = [dated.first, dated.last].map(|edge| edge.unwrap().created_at);
    assert_eq!(dates, [Some("Tue".to_owned()), None]);
}

#[test]
fn a_list_whose_last_line_has_no_end_is_not_sound() {
    let (folder, _) = folder();
    let path = folder.path().join("22/22013880.fws");
    for (bytes, sound) in [("1\n2\n", true), ("1\n2\n ", true), ("", true), ("1\n2", false)] {
        place(&folder, "22013880.fws", bytes.as_bytes());
        assert_eq!(verify(&path, FileKind::Followers).unwrap().is_sound(), sound, "{bytes:?}");
    }
}
