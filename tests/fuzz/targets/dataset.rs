//! Dataset files, intact and damaged: readers, verification, recovery, conversion.
#![no_main]

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use storage::dataset::rewrite::{Converted, Form, Recovered, Target, convert, recover};
use storage::dataset::{
    Codec, Compression, DatasetError, FileKey, FileKind, FollowersFormat, FollowersReader, TimelineReader,
    open_profiles, verify,
};
use storage::ids::UserId;
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(twm_fuzz::folder());
}

fn lines(path: &Path, kind: FileKind) -> Result<TimelineReader, DatasetError> {
    if kind == FileKind::Profiles { open_profiles(path) } else { TimelineReader::open(path) }
}

/// The ids of a file up to the first error.
fn ids(path: &Path, kind: FileKind) -> (Vec<String>, Option<DatasetError>) {
    let mut ids = Vec::new();
    match kind {
        FileKind::Followers => match FollowersReader::open(path) {
            Err(error) => return (ids, Some(error)),
            Ok(list) => {
                for id in list {
                    match id {
                        Ok(id) => ids.push(id.to_string()),
                        Err(error) => return (ids, Some(error)),
                    }
                }
            }
        },
        FileKind::Timeline | FileKind::Profiles => match lines(path, kind) {
            Err(error) => return (ids, Some(error)),
            Ok(mut tweets) => loop {
                match tweets.next_tweet() {
                    Ok(Some((id, _))) => ids.push(id.to_string()),
                    Ok(None) => break,
                    Err(error) => return (ids, Some(error)),
                }
            },
        },
    }
    (ids, None)
}

fn look(folder: &Path, name: &str, kind: FileKind, bytes: &[u8]) -> Vec<String> {
    let (inside, outside) = (folder.join("in"), folder.join("out"));
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir_all(&outside).unwrap();
    let path = inside.join(name);
    fs::write(&path, bytes).unwrap();
    let (read, error) = ids(&path, kind);
    let found = verify(&path, kind).unwrap();
    assert_eq!(found.items, read.len() as u64);
    assert!(error.is_none() || found.unreadable.is_some());
    let distinct: HashSet<&String> = read.iter().collect();
    assert_eq!(found.duplicates, (read.len() - distinct.len()) as u64);

    let key = FileKey { account: UserId::Number(5).into(), kind };
    let target = Target { key: key.clone(), path: path.clone(), force: false };
    let kept = match recover(&path, &target, Form::default()) {
        Ok(Recovered::Sound) => {
            assert!(found.is_sound() || doubtful(&read, bytes), "called sound: {found:?}");
            read.clone()
        }
        Ok(Recovered::Nothing { .. }) => Vec::new(),
        Ok(Recovered::Written(recovery)) => {
            let after = verify(&path, kind).unwrap();
            assert!(after.is_sound(), "recovered, and still {after:?}: {recovery:?}");
            assert_eq!(after.items, recovery.written.items);
            ids(&path, kind).0
        }
        // A list that no file can hold: its first id would be read as a packed one.
        Err(_) => {
            assert_eq!(fs::read(&path).unwrap(), bytes, "an error changed the file");
            read.clone()
        }
    };
    if found.is_sound() && !doubtful(&read, bytes) {
        assert_eq!(kept, read, "a sound file lost something");
        change_form(&outside, &path, &key, &kept);
    }
    for folder in [inside, outside] {
        for entry in fs::read_dir(folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    kept
}

/// Whether recovery may interpret the file differently from a reader: recovery recognizes text ids by `:` or `@`, expects
/// ids of one kind in a file, recognizes packed lists by unprintable bytes, and a damaged gzip header.
fn doubtful(read: &[String], bytes: &[u8]) -> bool {
    let number = |id: &String| id.parse::<u64>().is_ok_and(|number| number < 1 << 56);
    let text = |id: &String| id.is_ascii() && id.contains([':', '@']);
    !(read.iter().all(number) || read.iter().all(text))
        || (damaged_beginning(bytes) && !Codec::of_start(bytes).is_compressed())
}

/// Converts to every form, with the same ids.
fn change_form(folder: &Path, path: &Path, key: &FileKey, kept: &[String]) {
    let forms = [
        (Compression::None, FollowersFormat::Text),
        (Compression::Gzip(1), FollowersFormat::Packed),
        (Compression::Zstd(1), FollowersFormat::Text),
    ];
    for (number, (compression, followers)) in forms.into_iter().enumerate() {
        let other = folder.join(format!("other-{number}"));
        let target = Target { key: key.clone(), path: other.clone(), force: false };
        match convert(path, &target, Form { compression: Some(compression), followers: Some(followers) }) {
            Ok(Converted::Empty) => assert!(kept.is_empty()),
            Ok(_) => assert_eq!(ids(&other, key.kind).0, kept),
            // A text id does not fit the packed form.
            Err(error) => assert!(number == 1 && key.kind == FileKind::Followers, "{error}"),
        }
    }
}

fn run(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let (kind, name) = match mode % 2 {
        0 => (FileKind::Timeline, "5.twt"),
        _ => (FileKind::Followers, "5.fws"),
    };
    FOLDER.with_borrow(|folder| {
        let folder = folder.path();
        let kept = look(folder, name, kind, bytes);
        if mode & 2 != 0 && !Codec::of_start(bytes).is_compressed() {
            // Compressed, the result is the same; then one bit is flipped.
            let mut packed = twm_fuzz::gzip(bytes, 1 + usize::from(mode >> 3) * 16);
            let again = look(folder, name, kind, &packed);
            assert!(again == kept || doubtful(&kept, bytes), "{kept:?} {again:?}");
            if mode & 4 != 0 && !packed.is_empty() {
                let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % packed.len();
                packed[at] ^= 1 << (mode >> 5);
                look(folder, name, kind, &packed);
            }
        }
    });
}

/// Whether recovery takes plain bytes for a gzip file with one damaged byte.
fn damaged_beginning(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x1f) || bytes.get(1) == Some(&0x8b)
}

fuzz_target!(init: twm_fuzz::seeds_of("dataset", &[0, 1, 6, 7, 0xfe, 0xff]), |data: &[u8]| run(data));
