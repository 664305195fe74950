//! A timeline in pages: `com.atproto.repo.listRecords` of each collection, merged.
//!
//! A page holds records of one collection. The ids of several collections interleave, so a record is handed on only once
//! the next record of every other collection is known too. Pages that are not used up wait in a bounded memory; a walk
//! that goes on elsewhere asks for them again, at most one for each collection.
//!
//! The cursor of the walk has for each collection the cursor of its current page and the last key that was handed on.
//! Servers' cursors stay opaque. The order of keys is not promised by servers: it is checked within and over pages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::ids::UserId;

use super::ids::{key_of, post_id};
use crate::source::bounded::AtMost;
use crate::source::{MOST_ITEMS, TimelinePage};

/// Most memory of pages that wait, bytes. If it does not suffice, pages are asked for again.
const MOST_WAITING: usize = 64 << 20;

/// A walk's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Which walk it is of: a page that an earlier one left behind may be outdated.
    #[serde(rename = "w")]
    walk: u64,
    /// Requests so far: every page's cursor is a new one.
    #[serde(rename = "n")]
    pub(super) requests: u32,
    /// Whether the whole repository was tried and is too large, or cannot be had.
    #[serde(rename = "r")]
    pub(super) repository_tried: bool,
    /// The place in each collection, in the order of the settings.
    #[serde(rename = "c")]
    pub(super) collections: Vec<Position>,
}

/// The place in one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The server's cursor of the current page; `None` for the first.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<String>,
    /// The lowest key of the page before: all of this page are below it.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    top: Option<String>,
    /// The last key of this page that was handed on.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    below: Option<String>,
    /// Whether there is nothing more.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    done: bool,
}

impl Place {
    pub(super) fn first(walk: u64, collections: usize, repository_tried: bool) -> Self {
        Self { walk, requests: 0, repository_tried, collections: vec![Position::default(); collections] }
    }

    pub(super) fn parse(cursor: &str, collections: usize) -> Option<Self> {
        let place: Self = serde_json::from_str(cursor).ok()?;
        (place.collections.len() == collections).then_some(place)
    }

    /// As a walk's cursor; `None` at the end.
    pub(super) fn cursor(&self) -> Option<String> {
        let ended = self.collections.iter().all(|position| position.done);
        (!ended).then(|| serde_json::to_string(self).ok()).flatten()
    }
}

/// One page of a collection.
#[derive(Debug)]
pub(super) struct Page {
    /// Keys and lines, the highest key first.
    records: Vec<(Box<str>, Box<str>)>,
    next: Option<String>,
    pub(super) unusable: usize,
    bytes: usize,
}

/// Why a page cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageError {
    /// It is no page.
    Garbage(String),
    /// Its records are not newest first.
    Unordered,
}

impl Page {
    /// Reads an answer.
    pub(super) fn parse(body: &[u8], did: &str, collection: &str) -> Result<Self, PageError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            records: AtMost<&'a RawValue, MOST_ITEMS>,
            cursor: Option<String>,
        }
        #[derive(Deserialize)]
        struct Record<'a> {
            #[serde(borrow)]
            uri: std::borrow::Cow<'a, str>,
        }
        let garbage = |error: serde_json::Error| PageError::Garbage(error.to_string());
        let body: Body<'_> = serde_json::from_slice(body).map_err(garbage)?;
        let mut page = Self {
            records: Vec::new(),
            next: body.cursor.filter(|next| !next.is_empty()),
            unusable: 0,
            bytes: 0,
        };
        for raw in body.records.0 {
            let record = serde_json::from_str::<Record<'_>>(raw.get()).ok();
            let key = record.as_ref().and_then(|record| key_of(&record.uri, did, collection));
            let Some(key) = key.filter(|key| post_id(key, collection).is_some()) else {
                page.unusable += 1;
                continue;
            };
            page.bytes += key.len() + raw.get().len() + 64;
            page.records.push((key.into(), raw.get().into()));
        }
        let ordered =
            page.records.windows(2).all(|pair| matches!(pair, [(newer, _), (older, _)] if newer > older));
        if page.records.is_empty() && page.unusable > 0 {
            // Accepting this as an empty page could silently truncate the timeline.
            return Err(PageError::Garbage(format!("none of {} records has a usable key", page.unusable)));
        }
        if ordered { Ok(page) } else { Err(PageError::Unordered) }
    }

    /// Whether it can follow what was seen of its collection.
    pub(super) fn follows(&self, position: &Position) -> bool {
        match (&position.top, self.records.first()) {
            (Some(top), Some((newest, _))) => **newest < **top,
            _ => true,
        }
    }

    /// Whether its cursor leads to itself.
    pub(super) fn repeats(&self, position: &Position) -> bool {
        self.next.is_some() && self.next == position.page
    }
}

/// A page: whose, of which walk and collection, and its cursor.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    user: UserId,
    walk: u64,
    collection: usize,
    page: Option<String>,
}

impl Key {
    fn of(user: &UserId, place: &Place, collection: usize) -> Self {
        let page = place.collections.get(collection).and_then(|position| position.page.clone());
        Self { user: user.clone(), walk: place.walk, collection, page }
    }
}

/// Pages that wait to be used up.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    pages: HashMap<Key, Arc<Page>>,
    bytes: usize,
}

impl Waiting {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, user: &UserId, place: &Place, collection: usize) -> Option<Arc<Page>> {
        self.held().pages.get(&Key::of(user, place, collection)).cloned()
    }

    /// Keeps the current page of a collection.
    pub(super) fn keep(&self, user: &UserId, place: &Place, collection: usize, page: Arc<Page>) {
        let mut held = self.held();
        if held.bytes + page.bytes > MOST_WAITING {
            // Walks that were given up leave theirs behind; the others ask again.
            *held = Held::default();
        }
        held.bytes += page.bytes;
        if let Some(before) = held.pages.insert(Key::of(user, place, collection), page) {
            held.bytes = held.bytes.saturating_sub(before.bytes);
        }
    }

    fn forget(&self, user: &UserId, place: &Place, collection: usize) {
        let mut held = self.held();
        if let Some(page) = held.pages.remove(&Key::of(user, place, collection)) {
            held.bytes = held.bytes.saturating_sub(page.bytes);
        }
    }
}

/// The first collection whose page is not there.
pub(super) fn missing(waiting: &Waiting, user: &UserId, place: &Place) -> Option<usize> {
    let absent = |at: &usize| !place.collections[*at].done && waiting.get(user, place, *at).is_none();
    (0..place.collections.len()).find(absent)
}

/// A collection's page in use.
struct Head {
    collection: usize,
    page: Arc<Page>,
    /// Its first record that was not handed on.
    next: usize,
}

impl Head {
    fn key(&self) -> Option<&str> {
        self.page.records.get(self.next).map(|(key, _)| &**key)
    }
}

/// Hands on what is certain to be next, down to but without `since`, and moves the place.
pub(super) fn advance(
    waiting: &Waiting,
    user: &UserId,
    collections: &[String],
    place: &mut Place,
    since: Option<&str>,
) -> TimelinePage {
    let mut out = TimelinePage::default();
    let Some(mut heads) = heads(waiting, user, place) else { return out };
    loop {
        let before = heads.len();
        let mut waits = false;
        heads.retain(|head| {
            let used_up = head.next == head.page.records.len();
            if used_up {
                waiting.forget(user, place, head.collection);
                waits |= !turn(&mut place.collections[head.collection], &head.page);
            }
            !used_up
        });
        // The next page of a collection has to come first.
        if waits || heads.is_empty() {
            return out;
        }
        if heads.len() < before {
            continue;
        }
        // Of equal keys, that of the later collection, as the ids have it.
        let order = |a: &&mut Head, b: &&mut Head| (a.key(), a.collection).cmp(&(b.key(), b.collection));
        let Some(head) = heads.iter_mut().max_by(order) else { return out };
        let (key, line) = &head.page.records[head.next];
        let Some(id) = post_id(key, &collections[head.collection]) else { return out };
        if since.is_some_and(|since| id.to_string().as_str() <= since) {
            // All others are below it.
            for head in &heads {
                waiting.forget(user, place, head.collection);
                place.collections[head.collection].done = true;
            }
            return out;
        }
        out.push(id, line);
        place.collections[head.collection].below = Some(key.to_string());
        head.next += 1;
    }
}

/// The pages of all collections that have not ended; `None` if one is not there.
fn heads(waiting: &Waiting, user: &UserId, place: &Place) -> Option<Vec<Head>> {
    let open = place.collections.iter().enumerate().filter(|(_, position)| !position.done);
    open.map(|(collection, position)| {
        let page = waiting.get(user, place, collection)?;
        let seen = |key: &str| position.below.as_deref().is_some_and(|below| key >= below);
        let next = page.records.partition_point(|(key, _)| seen(key));
        Some(Head { collection, page, next })
    })
    .collect()
}

/// Goes on to the next page. `true` if there is none.
fn turn(position: &mut Position, page: &Page) -> bool {
    let top = page.records.last().map(|(key, _)| key.to_string()).or(position.top.take());
    match &page.next {
        Some(next) => *position = Position { page: Some(next.clone()), top, below: None, done: false },
        None => *position = Position { done: true, ..Position::default() },
    }
    position.done
}

#[cfg(test)]
mod tests {
    use super::*;

    const DID: &str = "did:plc:abcdefghijklmnopqrstuvwx";

    fn body(collection: &str, keys: &[&str], cursor: Option<&str>) -> Vec<u8> {
        let records: Vec<String> = keys
            .iter()
            .map(|key| format!(r#"{{"uri":"at://{DID}/{collection}/{key}","cid":"b","value":{{}}}}"#))
            .collect();
        let cursor = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":"{cursor}""#));
        format!(r#"{{"records":[{}]{cursor}}}"#, records.join(",")).into_bytes()
    }

    /// A page: its cursor, its keys, and the next page's cursor.
    type Listed<'a> = (Option<&'a str>, &'a [&'a str], Option<&'a str>);
    /// A collection's name and pages.
    type Collection<'a> = (&'a str, &'a [Listed<'a>]);

    /// Walks over pages of each collection, with their cursors; returns the ids and the number of requests.
    fn walk(pages: &[Collection<'_>], since: Option<&str>, forgetful: bool) -> (Vec<String>, u32) {
        let collections: Vec<String> = pages.iter().map(|(name, _)| (*name).to_owned()).collect();
        let user: UserId = DID.parse().unwrap();
        let mut waiting = Waiting::default();
        let (mut ids, mut cursor, mut requests) =
            (Vec::new(), Place::first(1, collections.len(), false).cursor(), 0);
        while let Some(text) = cursor {
            let mut place = Place::parse(&text, collections.len()).unwrap();
            if let Some(at) = missing(&waiting, &user, &place) {
                let position = place.collections[at].clone();
                let (_, keys, next) =
                    pages[at].1.iter().find(|(page, ..)| *page == position.page.as_deref()).unwrap();
                let page = Page::parse(&body(pages[at].0, keys, *next), DID, pages[at].0).unwrap();
                assert!(page.follows(&position) && !page.repeats(&position));
                waiting.keep(&user, &place, at, Arc::new(page));
                requests += 1;
                place.requests += 1;
            }
            let page = advance(&waiting, &user, &collections, &mut place, since);
            ids.extend(page.posts().map(|(id, _)| id.to_string()));
            cursor = place.cursor();
            assert!(requests < 1000);
            if forgetful && cursor.as_ref().is_some_and(|_| !page.items().is_empty()) {
                waiting = Waiting::default();
            }
        }
        (ids, requests)
    }

    #[test]
    fn collections_are_merged_over_short_empty_and_last_pages() {
        let pages: [Collection<'_>; 2] = [
            (
                "a.b.post",
                &[
                    (None, &["9", "7"], Some("x")),
                    (Some("x"), &["3"], Some("y")),
                    (Some("y"), &[], Some("z")),
                    (Some("z"), &["1"], None),
                ],
            ),
            ("a.b.repost", &[(None, &["8", "7", "2"], Some("2")), (Some("2"), &[], None)]),
        ];
        let all = [
            "9+a.b.post",
            "8+a.b.repost",
            "7+a.b.repost",
            "7+a.b.post",
            "3+a.b.post",
            "2+a.b.repost",
            "1+a.b.post",
        ];
        assert_eq!(walk(&pages, None, false), (all.map(str::to_owned).to_vec(), 6));
        // Elsewhere, pages are asked for again, and nothing comes twice.
        let (ids, requests) = walk(&pages, None, true);
        assert_eq!(ids, all);
        assert!(requests > 6 && requests < 15, "{requests}");
        let (ids, requests) = walk(&pages, Some("7+a.b.post"), false);
        assert_eq!((ids, requests), (all[..3].iter().map(|id| (*id).to_owned()).collect(), 2));
    }

    #[test]
    fn nothing_and_one_collection_are_walked_too() {
        assert_eq!(walk(&[("a.b.post", &[(None, &[], None)])], None, false), (Vec::new(), 1));
        let one: [Collection<'_>; 1] = [(
            "a.b.post",
            &[(None, &["2"], Some("2")), (Some("2"), &["1"], Some("1")), (Some("1"), &[], None)],
        )];
        assert_eq!(walk(&one, None, false), (vec!["2+a.b.post".to_owned(), "1+a.b.post".to_owned()], 3));
    }

    #[test]
    fn another_order_is_found_within_and_over_pages() {
        let parse = |keys: &[&str], cursor| Page::parse(&body("a.b.c", keys, cursor), DID, "a.b.c");
        assert_eq!(parse(&["1", "2"], None).unwrap_err(), PageError::Unordered);
        assert_eq!(parse(&["2", "2"], None).unwrap_err(), PageError::Unordered);
        let mut position = Position::default();
        assert!(!turn(&mut position, &parse(&["1"], Some("x")).unwrap()));
        assert!(!parse(&["2"], None).unwrap().follows(&position), "oldest first, a record a page");
        assert!(parse(&["0"], None).unwrap().follows(&position));
        assert!(parse(&[], Some("x")).unwrap().repeats(&position));
    }

    #[test]
    fn garbage_is_an_error_and_foreign_records_are_left_out() {
        for body in [
            &b""[..],
            b"[]",
            b"{}",
            br#"{"records":{}}"#,
            br#"{"records":[{"uri":"at://did:plc:y/a.b.c/1"}]}"#,
            b"\xff",
        ] {
            assert!(matches!(Page::parse(body, DID, "a.b.c"), Err(PageError::Garbage(_))), "{body:?}");
        }
        let mixed = format!(
            r#"{{"records":[{{"uri":"at://{DID}/a.b.c/5","cid":"x","value":{{ "a" : 1 }}}},{{"uri":7}},{{"uri":"at://{DID}/a.b.c/\u0001"}}]}}"#
        );
        let page = Page::parse(mixed.as_bytes(), DID, "a.b.c").unwrap();
        assert_eq!((page.records.len(), page.unusable), (1, 2));
        assert!(page.records[0].1.contains(r#"{ "a" : 1 }"#), "as it came");
    }

    #[test]
    fn waiting_pages_are_bounded() {
        let (waiting, user) = (Waiting::default(), DID.parse::<UserId>().unwrap());
        for n in 0..100 {
            let page = Page { records: Vec::new(), next: None, unusable: 0, bytes: 1 << 20 };
            waiting.keep(&user, &Place::first(n, 1, false), 0, Arc::new(page));
            let held = waiting.held();
            assert!(held.bytes <= MOST_WAITING && held.pages.len() << 20 == held.bytes);
        }
    }

    #[test]
    fn a_walk_that_ends_leaves_no_page_and_another_one_finds_none_of_it() {
        let (waiting, user) = (Waiting::default(), DID.parse::<UserId>().unwrap());
        let collections = ["a.b.post".to_owned()];
        let mut place = Place::first(1, 1, false);
        let page = || {
            Arc::new(Page::parse(&body("a.b.post", &["3", "2", "1"], Some("1")), DID, "a.b.post").unwrap())
        };
        waiting.keep(&user, &place, 0, page());
        assert_eq!(missing(&waiting, &user, &place), None);
        assert_eq!(
            missing(&waiting, &user, &Place::first(2, 1, false)),
            Some(0),
            "it could be outdated by then"
        );
        let found = advance(&waiting, &user, &collections, &mut place, Some("2+a.b.post"));
        assert_eq!((found.items().len(), place.cursor()), (1, None));
        assert!(waiting.held().pages.is_empty());
    }
}
