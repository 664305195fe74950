//! The bundled fixture, in both layouts.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use twm_tests::emulator::Emulator;

use super::client::get;
use super::paging::{walk_followers, walk_timeline};

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture")
}

async fn serve(folder: &Path) -> Emulator {
    Emulator::builder().dataset(folder).page_size(20).start().await.unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn it_is_what_its_readme_says() {
    let emulator = serve(&bundled()).await;
    let users = emulator.users(0, u64::MAX);
    let mut targets: Vec<u64> =
        lines(&bundled().join("targets")).iter().map(|line| line.parse().unwrap()).collect();
    targets.sort_unstable();
    assert_eq!(users, targets);
    let tweets: Vec<_> = users.iter().map(|user| emulator.expected_timeline(*user).len()).collect();
    let followers: Vec<_> = users.iter().map(|user| emulator.expected_followers(*user)).collect();
    assert_eq!(users.len(), 60);
    assert!((2000..3000).contains(&tweets.iter().sum::<usize>()), "{} tweets", tweets.iter().sum::<usize>());
    assert!(tweets.iter().filter(|n| **n > 200).count() >= 2);
    assert!(tweets.iter().filter(|n| **n == 0).count() > 2, "besides those that are gone");
    assert!(followers.iter().filter(|ids| ids.is_empty()).count() > 2);
    assert!(followers.iter().any(|ids| ids.len() > 40), "more than two pages of 20");
    let all: Vec<_> = followers.concat();
    let known = all.iter().filter(|id| users.contains(id)).count();
    assert!(known * 10 > all.len() * 7 && known < all.len(), "{known} of {} followers are known", all.len());
}

#[tokio::test]
async fn a_walk_of_it_finds_everything() {
    let emulator = serve(&bundled()).await;
    let gone = lines(&bundled().join("gone"));
    assert_eq!(gone.len(), 2);
    for user in emulator.users(0, u64::MAX) {
        let status = gone.iter().find_map(|line| line.strip_prefix(&format!("{user} ")));
        if let Some(status) = status {
            let url = format!("{}/1/statuses/user_timeline.json?user_id={user}", emulator.url());
            assert_eq!(get(&url).await.status.to_string(), status);
            continue;
        }
        assert_eq!(walk_timeline(&emulator, user).await, emulator.expected_timeline(user));
        assert_eq!(walk_followers(&emulator, user).await, emulator.expected_followers(user));
    }
}

#[tokio::test]
async fn the_originals_layout_serves_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(bundled()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            let target = folder.path().join(entry.file_name().unwrap());
            fs::create_dir(&target).unwrap();
            fs::read_dir(&entry).unwrap().for_each(|file| to_original(&file.unwrap().path(), &target));
        } else {
            fs::copy(&entry, folder.path().join(entry.file_name().unwrap())).unwrap();
        }
    }
    let (ours, originals) = (serve(&bundled()).await, serve(folder.path()).await);
    let users = ours.users(0, u64::MAX);
    assert_eq!(originals.users(0, u64::MAX), users);
    for user in users {
        assert_eq!(originals.expected_timeline(user), ours.expected_timeline(user));
        assert_eq!(originals.expected_followers(user), ours.expected_followers(user));
        assert_eq!(originals.profile(user), ours.profile(user));
    }
}

/// Writes a file as the original did: with the suffix `.gz`, followers packed.
fn to_original(file: &Path, folder: &Path) {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
    if file.extension().unwrap() == "fws" {
        let ids = std::str::from_utf8(&bytes).unwrap().lines().map(|line| line.parse::<u64>().unwrap());
        bytes = ids.flat_map(u64::to_be_bytes).collect();
    }
    let name = format!("{}.gz", file.file_name().unwrap().to_str().unwrap());
    let mut encoder = GzEncoder::new(fs::File::create(folder.join(name)).unwrap(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
}
