use std::collections::HashSet;

use super::*;
use crate::env::{Entropy, SeededEntropy};

#[test]
fn a_timeline_is_newest_first_and_has_no_tweet_twice() {
    let (folder, dataset) = folder();
    let mut draft = dataset.begin_timeline(&user(), 1).unwrap();
    assert!(draft.push(&9.into(), &tweet(9)).unwrap());
    assert!(draft.push(&7.into(), "{\"id\":7,\r\n \"text\":\"a\\nb\"\n}").unwrap());
    assert!(!draft.push(&7.into(), &tweet(7)).unwrap(), "the page before ended with it");
    assert!(!draft.push(&8.into(), &tweet(8)).unwrap(), "passed already");
    assert!(draft.push(&3.into(), &tweet(3)).unwrap());
    let finished = draft.finish().unwrap();
    assert_eq!(finished.items, 3);
    assert!(!dataset.exists(&user().timeline()).unwrap(), "not before it is published");

    dataset.publish(&user().timeline(), 1).unwrap();
    let path = folder.path().join("22/22013880.twt");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), finished.bytes);
    let lines: Vec<String> = dataset.open_timeline(&user()).unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, [tweet(9), "{\"id\":7, \"text\":\"a\\nb\"}".to_owned(), tweet(3)]);
    assert_eq!(dataset.newest_post(&user()).unwrap(), Some(PostId::Number(9)));
    assert_eq!(dataset.newest_post(&UserId::Number(5).into()).unwrap(), None);
    assert_eq!(std::fs::read(&path).unwrap()[..2], [0x1f, 0x8b]);
}

#[test]
fn a_tweet_larger_than_any_line_is_refused_and_the_draft_goes_on() {
    let (_folder, dataset) = folder();
    let mut draft = dataset.begin_timeline(&user(), 1).unwrap();
    let huge = format!("{{\"id\":9,\"text\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES));
    assert!(matches!(draft.push(&9.into(), &huge), Err(DatasetError::ItemTooLarge { .. })));
    let large = format!("{{\"id\":8,\"text\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES / 2));
    assert!(draft.push(&8.into(), &large).unwrap());
    draft.finish().unwrap();
    dataset.publish(&user().timeline(), 1).unwrap();
    assert_eq!(timeline(&dataset), [8]);
}

#[test]
fn a_walk_goes_on_at_its_save_point_under_a_new_lease() {
    for compression in [Compression::None, Compression::Gzip(6), Compression::Zstd(3)] {
        let folder = tempfile::tempdir().unwrap();
        let options = FilesOptions { compression, ..FilesOptions::new(folder.path()) };
        let dataset = FilesDataset::open(options).unwrap();
        let mut old = dataset.begin_timeline(&user(), 1).unwrap();
        push_all(&mut *old, (500..1_000).rev());
        let saved = old.save_point().unwrap();
        assert_eq!(saved.items, 500);
        push_all(&mut *old, (400..500).rev());

        let mut new = dataset.resume_timeline(&user(), saved, 1, 2).unwrap();
        // The old worker was only frozen, and continues.
        push_all(&mut *old, (300..400).rev());
        old.save_point().unwrap();
        push_all(&mut *new, (100..600).rev());
        let again = new.save_point().unwrap();
        assert_eq!(again.items, 900);
        drop(new);

        let new = dataset.resume_timeline(&user(), again, 2, 3).unwrap();
        assert_eq!(new.finish().unwrap().items, 900);
        dataset.publish(&user().timeline(), 3).unwrap();
        assert!(timeline(&dataset).into_iter().eq((100..1_000).rev()));
    }
}

#[test]
fn a_draft_that_is_not_as_its_save_point_says_is_missing() {
    let (folder, dataset) = folder();
    let mut draft = dataset.begin_timeline(&user(), 1).unwrap();
    push_all(&mut *draft, (0..500).rev());
    let saved = draft.save_point().unwrap();
    let path = folder.path().join(".tmp/22013880.twt.1");
    let good = std::fs::read(&path).unwrap();
    let why = |saved, lease| match dataset.resume_timeline(&user(), saved, lease, 9).map(drop) {
        Err(DatasetError::DraftMissing { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(saved, 7), "it is not on this node");
    assert_eq!(why(SavePoint { token: saved.token + 1, ..saved }, 1), "it is shorter than its save point");
    assert!(why(SavePoint { items: 3, ..saved }, 1).contains("500 items"));
    assert!(why(SavePoint { token: saved.token - 1, ..saved }, 1).contains("ends in the middle"));
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    why(saved, 1);
    assert_eq!(names(&folder.path().join(".tmp")), ["22013880.twt.1"], "a bad copy is removed");
    assert!(matches!(
        dataset.resume_timeline(&user(), saved, 1, 1).map(drop),
        Err(DatasetError::SameLease { .. })
    ));
}

/// The result of updating `old` with the tweets `new`.
fn update(name: &str, old: &[u8], new: &[u64], compression: Compression) -> (Vec<u64>, Finished) {
    let folder = tempfile::tempdir().unwrap();
    place(&folder, name, old);
    let options = FilesOptions { compression, ..FilesOptions::new(folder.path()) };
    let dataset = FilesDataset::open(options).unwrap();
    let mut draft = dataset.begin_timeline(&user(), 4).unwrap();
    push_all(&mut *draft, new.iter().copied());
    let appended = draft.append_existing().unwrap();
    assert!(appended.set_aside.is_none());
    let finished = draft.finish().unwrap();
    assert_eq!(finished.items, new.len() as u64 + appended.items);
    dataset.publish(&user().timeline(), 4).unwrap();
    assert_eq!(names(&folder.path().join("22")), ["22013880.twt"], "the old name is gone");
    (timeline(&dataset), finished)
}

#[test]
fn an_update_is_the_new_tweets_and_the_old_ones_each_once() {
    let old: Vec<u64> = (1..300).rev().collect();
    let text = tweets(old.iter().copied());
    let two_members = [gzip(text.as_bytes()), gzip(tweets([0]).as_bytes())].concat();
    for compression in [Compression::None, Compression::Gzip(6), Compression::Zstd(3)] {
        for (name, bytes, last) in [
            ("22013880.twt", gzip(text.as_bytes()), 1),
            ("22013880.twt.gz", gzip(text.as_bytes()), 1),
            ("22013880.twt", text.clone().into_bytes(), 1),
            ("22013880.twt", two_members.clone(), 0),
        ] {
            let new = [400, 350, 300];
            let expected: Vec<u64> = new.into_iter().chain((last..300).rev()).collect();
            assert_eq!(update(name, &bytes, &new, compression).0, expected);
            // The pages overlap with the existing tweets.
            let overlap = [310, 299, 298];
            let expected: Vec<u64> = [310].into_iter().chain((last..300).rev()).collect();
            assert_eq!(update(name, &bytes, &overlap, compression).0, expected);
            assert_eq!(update(name, &bytes, &[], compression).0, expected[1..]);
        }
    }
}

#[test]
fn a_doubled_or_disordered_old_file_comes_out_with_each_tweet_once() {
    let doubled = gzip(tweets([5, 3, 1, 5, 3, 1]).as_bytes());
    assert_eq!(update("22013880.twt", &doubled, &[8, 7], Compression::Gzip(6)).0, [8, 7, 5, 3, 1]);
    let disordered = gzip(tweets([1, 5, 3, 8]).as_bytes());
    assert_eq!(update("22013880.twt", &disordered, &[9, 8, 7], Compression::Gzip(6)).0, [9, 8, 7, 1, 5, 3]);
}

#[test]
fn a_disordered_file_whose_ids_do_not_fit_into_memory_comes_out_with_each_tweet_once() {
    let entropy = SeededEntropy::new(47);
    let old: Vec<u64> = (0..20_000).map(|_| 1 + entropy.next_u64() % 12_000).collect();
    let new: Vec<u64> = (11_000..13_000).rev().collect();
    let mut seen = HashSet::new();
    let expected: Vec<u64> = new.iter().chain(&old).copied().filter(|id| seen.insert(*id)).collect();
    // Nothing in memory; some of the new ids; some of the old ones.
    for filter_bytes in [0, 18_000, 90_000] {
        let (folder, dataset) = folder();
        let dataset = dataset.with_filter_bytes(filter_bytes);
        place(&folder, "22013880.twt", &gzip(tweets(old.iter().copied()).as_bytes()));
        let mut draft = dataset.begin_timeline(&user(), 4).unwrap();
        push_all(&mut *draft, new.iter().copied());
        assert_eq!(draft.append_existing().unwrap().items, (expected.len() - new.len()) as u64);
        assert_eq!(draft.finish().unwrap().items, expected.len() as u64);
        assert_eq!(names(&folder.path().join(".tmp")), ["22013880.twt.4"], "spilled ids have no names");
        dataset.publish(&user().timeline(), 4).unwrap();
        assert_eq!(timeline(&dataset), expected, "{filter_bytes}");
    }
}

#[test]
fn compressed_bytes_that_can_follow_are_copied() {
    let text = tweets((1..1_000).rev());
    for (old, compression) in
        [(gzip(text.as_bytes()), Compression::Gzip(6)), (zstd(text.as_bytes()), Compression::Zstd(3))]
    {
        let (_, finished) = update("22013880.twt", &old, &[2_000], compression);
        let member = finished.bytes - old.len() as u64;
        assert!(member < 200, "{member} bytes for one new tweet");
    }
}

#[test]
fn an_old_file_with_another_codec_is_compressed_again() {
    let text = tweets((1..1_000).rev());
    let forms = [gzip(text.as_bytes()), zstd(text.as_bytes()), text.clone().into_bytes()];
    for compression in [Compression::None, Compression::Gzip(6), Compression::Zstd(3)] {
        for old in &forms {
            let (ids, _) = update("22013880.twt", old, &[2_000], compression);
            assert_eq!((ids.len(), ids[0], ids[1]), (1_000, 2_000, 999), "{compression}");
        }
    }
}

#[test]
fn a_draft_is_continued_with_its_own_codec_by_a_node_with_another_setting() {
    let all = [Compression::None, Compression::Gzip(6), Compression::Zstd(3)];
    for (before, after) in all.iter().flat_map(|before| all.iter().map(move |after| (*before, *after))) {
        let folder = tempfile::tempdir().unwrap();
        let open = |compression| {
            FilesDataset::open(FilesOptions { compression, ..FilesOptions::new(folder.path()) }).unwrap()
        };
        let mut draft = open(before).begin_timeline(&user(), 1).unwrap();
        push_all(&mut *draft, (500..600).rev());
        let saved = draft.save_point().unwrap();
        let dataset = open(after);
        let mut draft = dataset.resume_timeline(&user(), saved, 1, 2).unwrap();
        push_all(&mut *draft, (400..500).rev());
        draft.finish().unwrap();
        dataset.publish(&user().timeline(), 2).unwrap();
        assert_eq!(timeline(&dataset), (400..600).rev().collect::<Vec<_>>(), "{before} to {after}");

        let mut list = open(before).begin_followers(&user(), 1).unwrap();
        assert!(list.push(&UserId::Number(1)).unwrap());
        let saved = list.save_point().unwrap();
        let mut list = dataset.resume_followers(&user(), saved, 1, 2).unwrap();
        assert!(list.push(&UserId::Number(2)).unwrap());
        list.finish().unwrap();
        dataset.publish(&user().followers(), 2).unwrap();
        let ids: Vec<_> = dataset.open_followers(&user()).unwrap().unwrap().map(Result::unwrap).collect();
        assert_eq!(ids, [UserId::Number(1), UserId::Number(2)], "{before} to {after}");
    }
}

#[test]
fn an_unreadable_old_file_is_set_aside_and_named() {
    let good = gzip(tweets((1..200).rev()).as_bytes());
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x10;
    let frame = zstd(tweets((1..200).rev()).as_bytes());
    let mut flipped_frame = frame.clone();
    flipped_frame[frame.len() / 2] ^= 0x10;
    let damaged: [&[u8]; 8] = [
        &frame[..frame.len() - 3],
        &flipped_frame,
        &[&frame[..], b"garbage"].concat(),
        &good[..good.len() - 9],
        &flipped,
        b"{\"no\": \"id\"}\n",
        b"{\"id\": 5}\n{\"id\": 4",
        &[&good[..], b"garbage"].concat(),
    ];
    for bytes in damaged {
        let (folder, dataset) = folder();
        place(&folder, "22013880.twt", bytes);
        place(&folder, "22013880.twt.unreadable", b"an earlier one");
        let mut draft = dataset.begin_timeline(&user(), 4).unwrap();
        push_all(&mut *draft, [300]);
        let appended = draft.append_existing().unwrap();
        let text = appended.set_aside.expect("it is unreadable").to_string();
        assert!(text.contains("22013880.twt.unreadable-2"), "{text}");
        draft.finish().unwrap();
        dataset.publish(&user().timeline(), 4).unwrap();
        assert_eq!(timeline(&dataset), [300]);
        let kept = std::fs::read(folder.path().join("22/22013880.twt.unreadable-2")).unwrap();
        assert_eq!(kept, bytes, "nothing of it is lost");
    }
}

#[test]
fn the_newest_post_of_an_unreadable_file_is_none_the_second_time() {
    let (folder, dataset) = folder();
    place(&folder, "22013880.twt.gz", b"\x1f\x8b no gzip");
    assert!(matches!(dataset.newest_post(&user()), Err(DatasetError::SetAside { .. })));
    assert_eq!(dataset.newest_post(&user()).unwrap(), None);
    assert_eq!(names(&folder.path().join("22")), ["22013880.twt.gz.unreadable"]);
}

#[test]
fn posts_with_text_ids_of_one_source_are_kept_apart_from_an_account_of_another() {
    let (folder, dataset) = folder();
    let bluesky = Account { source: "bluesky".parse().unwrap(), ..user() };
    let line = |id: &str| format!(r#"{{"id":"{id}"}}"#);
    let [old, middle, new] = ["3jzfcijpj2z2a", "3k2yihcrp6f2c", "3kzzzzzzzzzz2"];
    for (lease, ids) in [(1, &[middle, old][..]), (2, &[new])] {
        let mut draft = dataset.begin_timeline(&bluesky, lease).unwrap();
        for id in ids {
            assert!(draft.push(&PostId::Text((*id).into()), &line(id)).unwrap());
        }
        assert!(!draft.push(&PostId::Text(ids[0].into()), &line(ids[0])).unwrap());
        draft.append_existing().unwrap();
        draft.finish().unwrap();
        dataset.publish(&bluesky.timeline(), lease).unwrap();
        dataset.discard(&bluesky.timeline(), lease).unwrap();
    }
    let lines: Vec<String> = dataset.open_timeline(&bluesky).unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, [line(new), line(middle), line(old)]);
    assert_eq!(dataset.newest_post(&bluesky).unwrap(), PostId::parse(new));
    let path = folder.path().join("bluesky/22/22013880.twt");
    let found = verify(&path, FileKind::Timeline).unwrap();
    assert!(found.is_sound() && found.items == 3, "{found:?}");
    assert!(dataset.open_timeline(&user()).unwrap().is_none());
}
