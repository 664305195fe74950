use storage::state::{MemoryStore, SledStore, WriteBatch};
use tempfile::TempDir;

use super::*;

fn profile(id: u64, name: &str, more: &str) -> Profile {
    Profile::parse(format!(r#"{{"id":{id},"screen_name":"{name}","x":"{more}"}}"#).as_bytes()).unwrap()
}

fn at(millis: u64) -> Stamp {
    Stamp { millis, sequence: 0 }
}

fn memory() -> Profiles {
    Profiles::open(Arc::new(MemoryStore::default()), &SourceName::default()).unwrap()
}

#[test]
fn the_newest_profile_of_an_account_wins_however_they_come() {
    let profiles = memory();
    let (old, new) = (profile(1, "a", "old"), profile(1, "a", "new"));
    let offered = profiles.offer(&[(new.clone(), at(2)), (old.clone(), at(1))], None).unwrap();
    assert_eq!(offered, Offered { stored: 1, older: 1 });
    assert_eq!(profiles.offer(&[(old, at(1))], None).unwrap(), Offered { stored: 0, older: 1 });
    assert_eq!(profiles.by_id("1").unwrap(), Some(new.json));
    let last = profile(1, "a", "of the same moment");
    profiles.offer(&[(last.clone(), at(2))], None).unwrap();
    assert_eq!(profiles.by_id("1").unwrap(), Some(last.json));
    assert_eq!(profiles.count().unwrap(), 1);
}

#[test]
fn a_name_leads_to_who_has_it_now() {
    let profiles = memory();
    profiles.offer(&[(profile(1, "Anna", ""), at(1))], None).unwrap();
    assert_eq!(profiles.by_name("@aNNA").unwrap(), profiles.by_id("1").unwrap());
    // 1 takes another name, and 2 takes the free one.
    profiles.offer(&[(profile(1, "Berta", ""), at(2))], None).unwrap();
    assert_eq!(profiles.by_name("anna").unwrap(), None);
    profiles.offer(&[(profile(2, "anna", ""), at(3))], None).unwrap();
    assert_eq!(profiles.by_name("Anna").unwrap(), profiles.by_id("2").unwrap());
    // 3 takes it before 2 is seen again: 2's old profile must not take it back, nor its new name remove 3's.
    profiles.offer(&[(profile(3, "ANNA", ""), at(4)), (profile(2, "carla", ""), at(5))], None).unwrap();
    assert_eq!(profiles.by_name("anna").unwrap(), profiles.by_id("3").unwrap());
    profiles.offer(&[(profile(4, "anna", ""), at(1))], None).unwrap();
    assert_eq!(profiles.by_name("anna").unwrap(), profiles.by_id("3").unwrap());
    assert_eq!(profiles.count().unwrap(), 4);
}

#[test]
fn profiles_and_position_are_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let open =
        || Profiles::open(Arc::new(SledStore::open(folder.path()).unwrap()), &SourceName::default()).unwrap();
    let position = Position { millis: 5, sequence: 6, number: Some(7), lost: 8 };
    let anna = profile(1, "anna", "");
    let profiles = open();
    assert_eq!(profiles.position().unwrap(), Position::START);
    profiles.offer(&[(anna.clone(), at(1))], Some(position)).unwrap();
    drop(profiles);
    let profiles = open();
    assert_eq!(profiles.by_name("anna").unwrap(), Some(anna.json));
    assert_eq!((profiles.position().unwrap(), profiles.count().unwrap()), (position, 1));
}

#[test]
fn a_newer_format_is_refused() {
    let store = MemoryStore::default();
    let mut batch = WriteBatch::new();
    batch.put(FORMAT_KEY, "2");
    store.write(batch).unwrap();
    assert!(matches!(
        Profiles::open(Arc::new(store), &SourceName::default()),
        Err(StoreError::NewerFormat { found: 2 })
    ));
}

#[test]
fn profiles_of_one_source_are_not_continued_with_those_of_another() {
    let (twitter, fedi): (SourceName, SourceName) = (SourceName::default(), "fedi".parse().unwrap());
    let store = Arc::new(MemoryStore::default());
    Profiles::open(store.clone(), &fedi).unwrap();
    Profiles::open(store.clone(), &fedi).unwrap().offer(&[(profile(1, "a", ""), at(1))], None).unwrap();
    let refused = Profiles::open(store, &twitter).map(drop).unwrap_err().to_string();
    assert!(refused.contains("source fedi, not of twitter") && refused.contains("--data-dir"), "{refused}");
    // As releases wrote them that know one source.
    let store = Arc::new(MemoryStore::default());
    Profiles::open(store.clone(), &twitter).unwrap().offer(&[(profile(1, "a", ""), at(1))], None).unwrap();
    assert_eq!(store.get(SOURCE_KEY).unwrap(), None);
    assert!(matches!(Profiles::open(store, &fedi), Err(StoreError::OtherSource { .. })));
}
