//! Recovery of damaged files.

use super::*;

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
fn a_zstd_file_that_ends_too_early_gives_what_was_before_its_end() {
    let whole = zstd(&tweets((1..=3_000).rev(), "a"));
    for cut in [1, 4, whole.len() / 2] {
        let rig = Rig::new();
        let path = rig.put("5.twt", &whole[..whole.len() - cut]);
        let recovery = recovered(&path);
        let ids = timeline(&path);
        assert!(ids.iter().rev().is_sorted() && ids[0] == 3_000, "its head is there");
        // Blocks of up to 128 KiB are decoded as a whole.
        let expected = if cut == 1 { 3_000 } else { 1_000 };
        assert!(ids.len() >= expected, "{} of a file that lost {cut} bytes", ids.len());
        assert!(recovery.loss.truncated && recovery.loss.unverified == recovery.written.items);
        let found = verify(&path, FileKind::Timeline).unwrap();
        assert!(found.is_sound() && found.codec == Codec::Zstd);
    }
}

#[test]
fn a_flipped_bit_costs_the_rest_of_its_member_alone() {
    for (compress, magic) in [(gzip as fn(&[u8]) -> Vec<u8>, 2), (zstd, 4)] {
        let members: Vec<Vec<u8>> = [(2_001..=3_000), (1_001..=2_000), (1..=1_000)]
            .map(|ids| compress(&tweets(ids.rev(), "a")))
            .into();
        let entropy = SeededEntropy::new(3);
        for _ in 0..60 {
            let rig = Rig::new();
            let mut bytes = members.concat();
            let at = entropy.next_u64() as usize % members[1].len();
            bytes[members[0].len() + at] ^= 1 << (entropy.next_u64() % 8);
            let path = rig.put("5.twt", &bytes);
            match recover(&path, &target(&path), Form::default()).unwrap() {
                // The time in a gzip member's header is irrelevant.
                Recovered::Sound => assert!(magic == 2 && (3..10).contains(&at), "byte {at}"),
                Recovered::Written(recovery) => {
                    let ids = timeline(&path);
                    let of = |from, to| ids.iter().filter(|id| (from..=to).contains(*id)).count();
                    assert_eq!((of(2_001, 3_000), of(1, 1_000)), (1_000, 1_000), "byte {at}");
                    // With its magic number alone damaged, the member is whole.
                    assert!(at < magic || recovery.loss.unverified as usize >= of(1_001, 2_000), "byte {at}");
                    assert!(!recovery.loss.is_none() && !recovery.loss.truncated);
                }
                Recovered::Nothing { .. } => panic!("byte {at}"),
            }
            assert!(verify(&path, FileKind::Timeline).unwrap().is_sound(), "byte {at}");
        }
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
fn a_flipped_bit_anywhere_in_a_file_of_one_frame_is_told() {
    let whole = zstd(&packed(1_000..2_000));
    let ids: Vec<String> = (1_000..2_000).map(|id| id.to_string()).collect();
    let mut harmless = 0;
    for at in 0..whole.len() {
        let rig = Rig::new();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let path = rig.put("5.fws", &bytes);
        let sound = verify(&path, FileKind::Followers).unwrap().is_sound();
        match recover(&path, &target(&path), Form::default()).unwrap() {
            // Some bits have no meaning, as one of the frame's descriptor.
            Recovered::Sound => {
                assert!(sound && followers(&path) == ids, "byte {at} was flipped unnoticed");
                harmless += 1;
            }
            Recovered::Written(_) => {
                assert!(!sound && verify(&path, FileKind::Followers).unwrap().is_sound(), "byte {at}");
            }
            Recovered::Nothing { aside, .. } => {
                assert!(!sound && aside.is_some() && !path.exists(), "byte {at}");
            }
        }
    }
    assert!(harmless < whole.len() / 50, "{harmless} of {} flips were harmless", whole.len());
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

/// Recovery used to keep tweets of up to 32 KiB more, and no reader took the file that it wrote.
#[test]
fn a_tweet_that_is_too_long_for_readers_is_one_bad_item_and_what_follows_is_kept() {
    let sized = |bytes: usize| {
        let (head, tail) = ("{\"id\": 6, \"text\": \"", "\"}");
        [head, &"x".repeat(bytes - head.len() - tail.len()), tail].concat().into_bytes()
    };
    let more = [b"\n", &tweets([5], "a")[..]].concat();
    let cases: [(usize, &[u8]); 4] = [
        (MAX_LINE_BYTES - 1, &more),
        (MAX_LINE_BYTES, b""),
        (MAX_LINE_BYTES + 900, &more),
        (MAX_LINE_BYTES + 500_000, &more),
    ];
    for (bytes, rest) in cases {
        let rig = Rig::new();
        let path = rig.put("5.twt", &[&tweets([9], "a")[..], b"[]\n", &sized(bytes), rest].concat());
        let recovery = recovered(&path);
        let fits = bytes < MAX_LINE_BYTES;
        let kept = [(9, true), (6, fits), (5, !rest.is_empty())];
        assert!(timeline(&path).into_iter().eq(kept.into_iter().filter(|(_, kept)| *kept).map(|(id, _)| id)));
        let lost = if fits { (1, 2) } else { (2, 2 + bytes as u64) };
        assert_eq!((recovery.loss.bad_items, recovery.loss.bad_bytes), lost, "{bytes}");
        assert!(verify(&path, FileKind::Timeline).unwrap().is_sound(), "{bytes}");
    }
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
    let frames = [9, 5].map(|id| zstd(&tweets([id], "a")));
    let path = rig.put("7.twt", &[&frames[0][..], &noise, &frames[1], b"end"].concat());
    let recovery = recovered(&path);
    assert_eq!(timeline(&path), [9, 5]);
    assert_eq!((recovery.loss.skipped_bytes, recovery.loss.bad_items), (100_003, 0));
    assert_eq!(recovery.loss.unverified, 0);
    let mut headless = members[0].clone();
    headless[0] = 0;
    let path = rig.put("6.twt", &headless);
    // Its data and checksum are intact, so only the first byte is lost.
    assert!(verify(&path, FileKind::Timeline).unwrap().unreadable.is_some());
    recovered(&path);
    assert_eq!(timeline(&path), [9]);
}

#[test]
fn nothing_readable_makes_no_file_and_stays_aside() {
    let rig = Rig::new();
    for bytes in [
        &b"\x1f\x8b\x08 no gzip"[..],
        b"\x28\xb5\x2f\xfd no zstd",
        b"\x28\xb5\x2f\xfd",
        b"GIF89a",
        b"\x00\x00",
    ] {
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
    let path = rig.put("7.twt", &gzip(&tweets([9, 9, 5], "a")));
    assert_eq!(recovered(&path).written.duplicates, 1);
    assert_eq!(timeline(&path), [9, 5]);
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
fn white_space_around_an_item_means_the_same_to_readers_and_to_recovery() {
    let followers = "15\n 16\n\u{a0}17\u{3000}\n\u{a0}\n18\t\n";
    let timeline = "{\"id\":9}\u{a0}\n \u{2003}\n  {\"id\":8}\r\n";
    for (name, kind, text, items) in
        [("5.fws", FileKind::Followers, followers, 4), ("5.twt", FileKind::Timeline, timeline, 2)]
    {
        let rig = Rig::new();
        let path = rig.put(name, text.as_bytes());
        let found = verify(&path, kind).unwrap();
        assert!(found.is_sound() && found.items == items, "{found:?}");
        assert_eq!(recover(&path, &target(&path), Form::default()).unwrap(), Recovered::Sound);
    }
}

#[test]
fn a_packed_list_whose_first_byte_is_damaged_is_not_sound_to_recovery_either() {
    let rig = Rig::new();
    let mut bytes = packed(1..=20);
    bytes[0] = b'{';
    let path = rig.put("5.fws", &bytes);
    assert!(!verify(&path, FileKind::Followers).unwrap().is_sound());
    let recovery = recovered(&path);
    assert!(!recovery.loss.is_none(), "{recovery:?}");
    assert!(verify(&path, FileKind::Followers).unwrap().is_sound());
    assert_eq!(followers(&path), (2..=20).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_form_of_a_list_is_seen_though_its_first_members_are_short() {
    let rig = Rig::new();
    let mut bytes = packed(1..=20);
    bytes[0] = b'{';
    let members: Vec<u8> = bytes.chunks(8).flat_map(gzip).collect();
    let path = rig.put("5.fws", &members);
    recovered(&path);
    assert_eq!(followers(&path), (2..=20).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_list_of_many_members_is_sound() {
    let rig = Rig::new();
    for compress in [gzip, zstd] {
        let members: Vec<u8> = lines(1..=300).chunks(40).flat_map(compress).collect();
        let path = rig.put("5.fws", &members);
        assert_eq!(recover(&path, &target(&path), Form::default()).unwrap(), Recovered::Sound);
    }
}

#[test]
fn a_member_that_breaks_before_its_first_item_is_not_sound() {
    let empty = gzip(b"");
    let mut wrong_checksum = empty.clone();
    wrong_checksum[empty.len() - 8] ^= 1;
    let broken_off = [&empty[..10], b"V\x06"].concat();
    for bytes in [broken_off, wrong_checksum] {
        let rig = Rig::new();
        let path = rig.put("5.twt", &bytes);
        assert!(!verify(&path, FileKind::Timeline).unwrap().is_sound());
        match recover(&path, &target(&path), Form::default()).unwrap() {
            Recovered::Nothing { loss, aside } => {
                assert_eq!(loss.broken_members, 1);
                assert!(aside.is_some() && !path.exists());
            }
            other => panic!("{other:?}"),
        }
    }
}
