use std::collections::HashSet;

use super::*;
use crate::env::{Entropy, SeededEntropy};

fn dataset(folder: &TempDir, followers: FollowersFormat, compression: Compression) -> FilesDataset {
    let options = FilesOptions { followers, compression, ..FilesOptions::new(folder.path()) };
    FilesDataset::open(options).unwrap()
}

fn published(dataset: &FilesDataset) -> Vec<UserId> {
    dataset.open_followers(&user()).unwrap().unwrap().map(Result::unwrap).collect()
}

fn numbers(ids: impl IntoIterator<Item = u64>) -> Vec<UserId> {
    ids.into_iter().map(UserId::Number).collect()
}

#[test]
fn each_follower_once_in_the_order_given_whatever_the_size_and_the_restarts() {
    let entropy = SeededEntropy::new(41);
    for format in [FollowersFormat::Text, FollowersFormat::Packed] {
        for (compression, filter_bytes) in [
            (Compression::None, 18_000),
            (Compression::Gzip(6), 18_000),
            (Compression::Zstd(3), 18_000),
            (Compression::Gzip(1), 1 << 20),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let dataset = dataset(&folder, format, compression).with_filter_bytes(filter_bytes);
            let source: Vec<u64> = (0..20_000).map(|_| 1 + entropy.next_u64() % 15_000).collect();

            let mut draft = dataset.begin_followers(&user(), 0).unwrap();
            for (lease, page) in (0..).zip(source.chunks(2_000)) {
                for id in page {
                    draft.push(&UserId::Number(*id)).unwrap();
                }
                let saved = draft.save_point().unwrap();
                // Lost with the worker, and sent again by the source.
                for id in &page[..100] {
                    draft.push(&UserId::Number(*id + 50_000)).unwrap();
                }
                draft = dataset.resume_followers(&user(), saved, lease, lease + 1).unwrap();
                assert_eq!(draft.items(), saved.items);
            }
            let finished = draft.finish().unwrap();
            dataset.publish(&user().followers(), 10).unwrap();

            let mut seen = HashSet::new();
            let expected = numbers(source.into_iter().filter(|id| seen.insert(*id)));
            assert_eq!(published(&dataset), expected);
            let path = folder.path().join("22/22013880.fws");
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert_eq!(finished, Finished { items: expected.len() as u64, bytes });
            let found = verify(&path, FileKind::Followers).unwrap();
            assert!(found.is_sound());
            assert_eq!(found.packed, format == FollowersFormat::Packed);
            assert_eq!(found.codec, compression.codec());
        }
    }
}

#[test]
fn a_repeated_follower_is_told_at_once_while_memory_lasts() {
    let (_folder, dataset) = folder();
    let mut draft = dataset.begin_followers(&user(), 1).unwrap();
    for (id, new) in [("7", true), ("did:plc:a", true), ("7", false), ("did:plc:a", false), ("8", true)] {
        assert_eq!(draft.push(&id.parse().unwrap()).unwrap(), new, "{id}");
    }
    assert_eq!(draft.finish().unwrap().items, 3);
    dataset.publish(&user().followers(), 1).unwrap();
    let ids: Vec<String> = published(&dataset).iter().map(UserId::to_string).collect();
    assert_eq!(ids, ["7", "did:plc:a", "8"]);
}

#[test]
fn no_followers_make_no_file_and_leave_the_old_one() {
    let (folder, dataset) = folder();
    place(&folder, "22013880.fws", b"1\n");
    let key = user().followers();
    let draft = dataset.begin_followers(&user(), 1).unwrap();
    assert_eq!(draft.finish().unwrap(), Finished { items: 0, bytes: 0 });
    let error = dataset.publish(&key, 1).unwrap_err();
    assert!(matches!(error, DatasetError::DraftLost { .. }), "{error}");
    assert_eq!(published(&dataset), numbers([1]));
    assert!(dataset.drafts().unwrap().is_empty());
}

#[test]
fn the_formats_of_the_original_are_read() {
    let packed: Vec<u8> = [5u64, 1 << 60, 7].iter().flat_map(|id| id.to_be_bytes()).collect();
    let text = format!("5\n{}\r\n\n7", 1u64 << 60);
    for bytes in [packed, text.into_bytes()] {
        for name in ["22013880.fws", "22013880.fws.gz"] {
            for stored in [bytes.clone(), gzip(&bytes), [gzip(&bytes[..8]), gzip(&bytes[8..])].concat()] {
                let (folder, dataset) = folder();
                place(&folder, name, &stored);
                assert_eq!(published(&dataset), numbers([5, 1 << 60, 7]));
            }
        }
    }
}

#[test]
fn a_list_that_packing_cannot_hold_is_written_as_text_or_refused() {
    for (first, second) in [(u64::MAX.to_string(), "5"), ("did:plc:a".to_owned(), "6")] {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(&folder, FollowersFormat::Packed, Compression::None);
        let mut draft = dataset.begin_followers(&user(), 1).unwrap();
        let ids: [UserId; 2] = [first.parse().unwrap(), second.parse().unwrap()];
        assert!(draft.push(&ids[0]).unwrap() && draft.push(&ids[1]).unwrap());
        draft.finish().unwrap();
        dataset.publish(&user().followers(), 1).unwrap();
        assert_eq!(published(&dataset), ids);
    }
    let folder = tempfile::tempdir().unwrap();
    let dataset = dataset(&folder, FollowersFormat::Packed, Compression::None);
    let mut draft = dataset.begin_followers(&user(), 1).unwrap();
    let unfit = |pushed: Result<bool>| matches!(pushed, Err(DatasetError::UnfitFollower { .. }));
    assert!(unfit(draft.push(&"!odd".parse().unwrap())), "as a first one it would look packed");
    assert!(unfit(draft.push(&UserId::Number(0))));
    assert!(draft.push(&UserId::Number(5)).unwrap());
    assert!(unfit(draft.push(&"did:plc:a".parse().unwrap())));
    assert!(draft.push(&UserId::Number(u64::MAX)).unwrap());
    assert_eq!(draft.finish().unwrap(), Finished { items: 2, bytes: 16 });
}

#[test]
fn a_plain_packed_list_that_would_look_compressed_is_written_as_text() {
    let heads = [0x1f8b << 48, 0x28b5_2ffd << 32];
    for (compression, head) in heads.iter().flat_map(|head| {
        [Compression::None, Compression::Gzip(6), Compression::Zstd(3)]
            .map(|compression| (compression, *head))
    }) {
        let bytes = head.to_string().len() as u64 + 1;
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(&folder, FollowersFormat::Packed, compression);
        let mut draft = dataset.begin_followers(&user(), 1).unwrap();
        let id = UserId::Number(head);
        draft.push(&id).unwrap();
        let finished = draft.finish().unwrap();
        dataset.publish(&user().followers(), 1).unwrap();
        assert_eq!(published(&dataset), [id]);
        assert!(compression.codec().is_compressed() || finished.bytes == bytes);
    }
}

#[test]
fn a_damaged_list_ends_with_an_error_that_names_it() {
    let packed: Vec<u8> = (1..100u64).flat_map(|id| id.to_be_bytes()).collect();
    let zipped = gzip(&packed);
    for (bytes, good) in [
        (&packed[..packed.len() - 3], 98),
        (&[&packed[..16], &[0; 8]].concat(), 2),
        (b"5\n6\nnot an id\n7\n", 2),
        (b"5\n\xff\xfe\n", 1),
        (&zipped[..zipped.len() - 4], 99),
    ] {
        let (folder, dataset) = folder();
        place(&folder, "22013880.fws", bytes);
        let mut ids = dataset.open_followers(&user()).unwrap().unwrap();
        assert_eq!(ids.by_ref().take_while(Result::is_ok).count(), good);
        assert!(ids.next().is_none(), "it ends there");
        let found = verify(&folder.path().join("22/22013880.fws"), FileKind::Followers).unwrap();
        assert_eq!(found.items, good as u64);
        assert!(found.unreadable.is_some());
        let key = user().followers();
        let stamp = dataset.stamp(&key).unwrap();
        assert_eq!(dataset.set_aside(&key, stamp ^ 1).unwrap(), None, "another file was read");
        let to = dataset.set_aside(&key, stamp).unwrap().unwrap();
        assert!(to.ends_with("22/22013880.fws.unreadable"), "{to}");
        assert!(dataset.open_followers(&user()).unwrap().is_none());
    }
}
