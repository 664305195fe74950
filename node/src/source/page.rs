//! Pages of posts and of followers.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use storage::ids::{PostId, UserId};

use super::bounded::AtMost;
use super::{MOST_ITEMS, Profile};

/// One post within a page.
#[derive(Debug, Clone)]
pub struct TimelineItem {
    /// Its id.
    pub id: PostId,
    range: Range<usize>,
}

/// One page of posts. The body is kept as received; the posts are slices of it.
#[derive(Debug, Default)]
pub struct TimelinePage {
    body: String,
    items: Vec<TimelineItem>,
    /// Number of posts without a usable id, which are left out.
    pub unusable: usize,
    /// Where the next page starts; `None` at the end of the walk.
    pub next: Option<String>,
    /// What the same answer has beyond this page, older than it, if it was too long for one.
    pub rest: Option<Box<dyn MorePosts>>,
}

/// The pages after the first one of an answer that holds a whole timeline. They are on this host: no request is needed.
/// Such a walk cannot be resumed in the middle, only started over.
pub trait MorePosts: fmt::Debug + Send {
    /// The next page, older than those before; `None` at the end. Blocks, on the disk or on computations.
    ///
    /// # Errors
    /// What is wrong with the rest of the answer.
    fn next_page(&mut self) -> Result<Option<TimelinePage>, String>;
}

impl TimelinePage {
    /// A page without posts, after which the walk goes on at `next`.
    pub fn empty(next: Option<String>) -> Self {
        Self { next, ..Self::default() }
    }

    /// Appends a post, which must be older than all before it.
    pub fn push(&mut self, id: PostId, json: &str) {
        let start = self.body.len();
        self.body.push_str(json);
        self.items.push(TimelineItem { id, range: start..self.body.len() });
    }

    /// Splits a JSON array of posts. `next` is left to the source.
    ///
    /// An error concerns the page as a whole: not UTF-8, not JSON, not an array.
    pub fn parse(body: Vec<u8>) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|&id: &u64| id > 0).map(PostId::Number);
        Self::parse_with(body, number)
    }

    /// The same for a network whose ids `read` reads: the text of a JSON number or, without its quotes, string.
    pub(super) fn parse_with(body: Vec<u8>, read: fn(&str) -> Option<PostId>) -> Result<Self, String> {
        let body = String::from_utf8(body)
            .map_err(|e| format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()))?;
        let AtMost(posts) =
            serde_json::from_str::<AtMost<&RawValue, MOST_ITEMS>>(&body).map_err(|e| e.to_string())?;
        let mut items = Vec::with_capacity(posts.len());
        let mut unusable = 0;
        for post in posts {
            match post_id(post.get(), read) {
                Some(id) => {
                    // A `&RawValue` is a slice of its input.
                    let start = post.get().as_ptr() as usize - body.as_ptr() as usize;
                    items.push(TimelineItem { id, range: start..start + post.get().len() });
                }
                None => unusable += 1,
            }
        }
        // A dataset is newest first and rejects what is not below the last one: a page that is out of order
        // must not lose what comes after a low id.
        items.sort_by_key(|item| Reverse(item.id.clone()));
        Ok(Self { body, items, unusable, next: None, rest: None })
    }

    /// Leaves out the posts that are not newer than `since`; whether there were any.
    pub(super) fn cut_at(&mut self, since: &PostId) -> bool {
        let newer = self.items.iter().take_while(|item| item.id > *since).count();
        let cut = newer < self.items.len();
        self.items.truncate(newer);
        cut
    }

    /// The posts with usable ids, newest first.
    pub fn items(&self) -> &[TimelineItem] {
        &self.items
    }

    /// A post's JSON object exactly as the network sent it. `item` must belong to this page.
    pub fn json(&self, item: &TimelineItem) -> &str {
        self.body.get(item.range.clone()).unwrap_or_default()
    }

    /// The posts with their JSON.
    pub fn posts(&self) -> impl Iterator<Item = (&PostId, &str)> {
        self.items.iter().map(|item| (&item.id, self.json(item)))
    }

    /// Size of the whole page, bytes.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// One page of followers.
#[derive(Debug, Default)]
pub struct FollowersPage {
    /// The followers, in the order of the page.
    pub ids: Vec<UserId>,
    /// Their profiles, if the network includes them; otherwise empty.
    pub profiles: Vec<Profile>,
    /// Number of entries that are not account ids.
    pub unusable: usize,
    /// Where the next page starts; `None` at the end of the walk.
    pub next: Option<String>,
}

/// The `id_str` or `id` of a post. Stops reading there: both are near the front.
fn post_id(json: &str, read: fn(&str) -> Option<PostId>) -> Option<PostId> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(json);
    // The rest of the object was checked with the page.
    let _ended_early = reader.deserialize_map(IdVisitor { found: &mut found, read });
    found
}

struct IdVisitor<'a> {
    found: &'a mut Option<PostId>,
    read: fn(&str) -> Option<PostId>,
}

impl<'de> Visitor<'de> for IdVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a post")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(is_id)) = map.next_key()? {
            if !is_id {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &RawValue = map.next_value()?;
            let text = value.get();
            let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
            if text == "null" {
                continue;
            }
            // A post with an invalid `id` is unusable, whatever its other fields say.
            *self.found = (self.read)(digits);
            return Ok(());
        }
        Ok(())
    }
}

/// Whether a key is that of an id.
struct Key(bool);

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(Key(key == "id" || key == "id_str"))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_or_misplaced_post_loses_no_other() {
        let page = parse(r#"[{"id":"one","id_str":1},{"id":5},{"id":9},{"id":null,"id_str":"7"}]"#);
        let ids: Vec<_> = page.posts().map(|(id, _)| id.to_string()).collect();
        assert_eq!((ids, page.unusable), (vec!["9".to_owned(), "7".to_owned(), "5".to_owned()], 1));
    }

    fn parse(body: &str) -> TimelinePage {
        TimelinePage::parse(body.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn posts_are_the_bytes_that_came() {
        let body = "[ {\"created_at\" : \"x\", \"id\":7,\"id_str\":\"7\"} ,\n{\"text\":\"a\\u00e9\u{e9}\",\"user\":{\"id\":1},\"id_str\":\"5\"}]";
        let page = parse(body);
        let posts: Vec<_> = page.posts().map(|(id, json)| (id.to_string(), json)).collect();
        assert_eq!(posts[0], ("7".to_owned(), "{\"created_at\" : \"x\", \"id\":7,\"id_str\":\"7\"}"));
        assert_eq!(posts[1].0, "5");
        assert!(posts[1].1.contains("a\\u00e9\u{e9}"));
        assert_eq!((posts.len(), page.unusable), (2, 0));
    }

    #[test]
    fn a_post_without_a_usable_id_is_counted_and_the_others_stay() {
        let page = parse(
            r#"[{"id":3},5,null,[1],{"text":"no id"},{"id":null,"id_str":"2"},{"id":-1},{"id":1.5},{"id":0},{"user":{"id":9}}]"#,
        );
        let ids: Vec<_> = page.items().iter().map(|item| item.id.clone()).collect();
        assert_eq!(ids, [PostId::Number(3), PostId::Number(2)]);
        assert_eq!(page.unusable, 8);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for body in [
            &b""[..],
            b"null",
            b"{}",
            b"[{\"id\":1}",
            b"[{\"id\":1},]",
            b"\xff\xfe",
            b"<html>",
            b"[{\"id\":\"1",
        ] {
            assert!(TimelinePage::parse(body.to_vec()).is_err(), "{body:?}");
        }
        let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
        assert_eq!(TimelinePage::parse(deep).unwrap().unusable, 1);
    }

    #[test]
    fn a_page_of_a_million_nothings_is_garbage_and_takes_no_room() {
        let body = format!("[{}0]", "0,".repeat(1_000_000));
        assert!(TimelinePage::parse(body.into_bytes()).unwrap_err().contains("more than 10000 items"));
    }

    #[test]
    fn a_page_is_cut_at_what_is_not_newer() {
        for (since, left, cut) in [(9, 0, true), (5, 1, true), (6, 1, true), (4, 3, false)] {
            let mut page = parse(r#"[{"id":9},{"id":5},{"id":5}]"#);
            assert_eq!((page.cut_at(&PostId::Number(since)), page.items().len()), (cut, left), "{since}");
        }
    }

    #[test]
    fn an_empty_page_is_a_page() {
        assert!(parse("[]").items().is_empty());
    }
}
