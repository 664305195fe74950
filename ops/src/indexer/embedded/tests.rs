use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::indexer::inspection::document;
use crate::indexer::question::Asked;
use crate::stream::Position;

fn tweet(id: u64, text: &str, created_at: Option<i64>) -> Tweet {
    Tweet {
        id: id.to_string(),
        text: text.to_owned(),
        screen_name: Some("Lea".to_owned()),
        user: None,
        created_at,
        hashtags: vec!["roma".to_owned()],
        lang: None,
        geo: Some((41.9, 12.49)),
    }
}

fn progress(entries: u64) -> Progress {
    Progress { position: Position { millis: 1, sequence: 2, number: Some(entries), lost: 3 }, dead: 4 }
}

fn asked(from: &str, to: &str, query: &str) -> Question {
    let asked: Asked = serde_json::from_value(json!({ "from": from, "to": to, "query": query })).unwrap();
    Question::of(&asked).unwrap()
}

#[test]
fn tweets_and_progress_are_there_after_a_commit_together_and_before_it_neither() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    assert_eq!(index.progress().unwrap(), Progress::START);
    index.add(&[tweet(1, "one", Some(5)), tweet(1, "again", Some(5))]).unwrap();
    index.commit(progress(2)).unwrap();
    index.add(&[tweet(1, "newer", Some(5)), tweet(2, "two", None)]).unwrap();
    assert_eq!((index.count(), index.progress().unwrap()), (1, progress(2)));
    drop(index);
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    assert_eq!((index.count(), index.progress().unwrap()), (1, progress(2)));
    assert_eq!(index.find(&asked("", "", "again"), None).unwrap().total, 1);
    index.add(&[tweet(1, "newer", Some(5))]).unwrap();
    index.commit(progress(3)).unwrap();
    assert_eq!(index.find(&asked("", "", "again"), None).unwrap().total, 0);
    assert_eq!(index.find(&asked("", "", "NEWER @lea #Roma"), None).unwrap().total, 1);
}

#[test]
fn the_newest_are_told_first_whatever_segment_they_are_in() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    for part in 0..3_u64 {
        let tweets: Vec<_> =
            (0..30).map(|n| tweet(n * 3 + part, "x", Some((n * 3 + part) as i64 / 2))).collect();
        index.add(&tweets).unwrap();
        index.add(&[tweet(1000 + part, "undated", None)]).unwrap();
        index.commit(progress(part)).unwrap();
    }
    assert_eq!(index.extent(&asked("", "", "")).unwrap(), Some((0, 44)));
    let question = asked("", "", "");
    let buckets = Buckets::over(0, 45);
    let found = index.find(&question, Some(buckets)).unwrap();
    let told = document(&question, Some(buckets), &found);
    let ids: Vec<_> =
        told["samples"].as_array().unwrap().iter().map(|sample| sample["id"].as_str().unwrap()).collect();
    let newest: Vec<_> = (70..90).rev().map(|id| id.to_string()).collect();
    assert_eq!(ids, newest);
    assert_eq!((found.total, found.placed), (93, 93));
    assert_eq!(found.hashtags, [("roma".to_owned(), 93)]);
    assert_eq!(found.cells, [("419,124".to_owned(), 93)]);
    assert_eq!(found.over_time.values().sum::<u64>(), 90);
    let dated = index.find(&asked("1970-01-01", "1970-01-01T00:00:00.010Z", ""), None).unwrap();
    assert_eq!(dated.total, 20);
}

#[test]
fn of_tweets_of_the_same_second_those_with_the_last_ids_are_told() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    let tweets: Vec<_> = (10..60).map(|id| tweet(id, "x", Some(5))).collect();
    index.add(&tweets).unwrap();
    index.commit(progress(1)).unwrap();
    let question = asked("", "", "");
    let told = document(&question, None, &index.find(&question, None).unwrap());
    let ids: Vec<_> = told["samples"].as_array().unwrap().iter().map(|sample| sample["id"].clone()).collect();
    let last: Vec<_> = (40..60).rev().map(|id| json!(id.to_string())).collect();
    assert_eq!(ids, last);
}

#[test]
fn only_tweets_with_a_place_count_as_placed() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    let nowhere = Tweet { geo: None, ..tweet(2, "two", None) };
    index.add(&[tweet(1, "one", None), nowhere]).unwrap();
    index.commit(progress(2)).unwrap();
    let found = index.find(&asked("", "", ""), None).unwrap();
    assert_eq!((found.total, found.placed), (2, 1));
}

#[test]
fn what_cannot_be_indexed_is_refused_and_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    let long = Tweet { screen_name: Some("x".repeat(40_000)), ..tweet(2, "two", None) };
    let refused = index.add(&[tweet(1, "one", None), long, tweet(3, "three", None)]).unwrap();
    assert_eq!(refused.iter().map(|refused| refused.place).collect::<Vec<_>>(), [1]);
    index.commit(progress(3)).unwrap();
    assert_eq!(index.count(), 2);
}

#[test]
fn a_folder_is_used_by_one_and_only_if_it_is_an_index_or_empty() {
    let folder = TempDir::new().unwrap();
    let index = EmbeddedIndex::open(folder.path(), false).unwrap();
    index.add(&[tweet(1, "one", None)]).unwrap();
    index.commit(progress(1)).unwrap();
    for recreate in [false, true] {
        let second = EmbeddedIndex::open(folder.path(), recreate).err();
        assert!(matches!(second, Some(EmbeddedError::InUse { .. })), "{second:?}");
    }
    drop(index);
    let index = EmbeddedIndex::open(folder.path(), true).unwrap();
    assert_eq!((index.count(), index.progress().unwrap()), (0, Progress::START));
    drop(index);
    // Interrupted between deletion and creation.
    std::fs::remove_file(folder.path().join("meta.json")).unwrap();
    assert_eq!(EmbeddedIndex::open(folder.path(), false).unwrap().count(), 0);

    let foreign = TempDir::new().unwrap();
    std::fs::write(foreign.path().join("thesis.txt"), "x").unwrap();
    let refused = EmbeddedIndex::open(foreign.path(), true).err().unwrap().to_string();
    assert!(refused.contains("thesis.txt"), "{refused}");
    let (other, _) = (tantivy::schema::Schema::builder().build(), ());
    let folder = TempDir::new().unwrap();
    tantivy::Index::create_in_dir(folder.path(), other).unwrap();
    let refused = EmbeddedIndex::open(folder.path(), false).err().unwrap().to_string();
    assert!(refused.contains("--recreate"), "{refused}");
    EmbeddedIndex::open(folder.path(), true).unwrap();
}
