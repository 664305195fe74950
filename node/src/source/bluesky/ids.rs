//! Names of the AT Protocol: DIDs, handles, record keys, and the ids of posts that are made of them.

use std::fmt;

use serde::Deserialize;
use storage::ids::{PostId, UserId};

/// Between a record key and its collection in a post's id: below every character of record keys, so that ids sort as their
/// record keys do.
const SEPARATOR: char = '+';

/// Longest handle (RFC 1035).
const LONGEST_HANDLE: usize = 253;
/// Longest record key.
const LONGEST_KEY: usize = 512;

/// A DID of one of the two kinds that the network knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Did<'a> {
    /// Registered in the PLC directory.
    Plc(&'a str),
    /// Published by the host of this name.
    Web(&'a str),
}

impl<'a> Did<'a> {
    /// Reads a DID; `None` if it is of another kind.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(id) = text.strip_prefix("did:plc:") {
            let fits = id.len() == 24 && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
            return fits.then_some(Self::Plc(text));
        }
        // Paths are not allowed, ports only for this host.
        text.strip_prefix("did:web:").filter(|host| is_handle(host)).map(Self::Web)
    }

    /// The DID of an account.
    pub(super) fn of(user: &'a UserId) -> Option<Self> {
        match user {
            UserId::Text(text) => Self::parse(text),
            UserId::Number(_) => None,
        }
    }
}

impl fmt::Display for Did<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plc(text) => f.write_str(text),
            Self::Web(host) => write!(f, "did:web:{host}"),
        }
    }
}

/// Whether a text is a handle: a host name of at least two labels, the last of which begins with a letter.
pub(super) fn is_handle(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= LONGEST_HANDLE
        && text.contains('.')
        && last.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.split('.').all(label)
}

/// Whether a text is a collection's name.
pub(super) fn is_collection(text: &str) -> bool {
    let segment = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 317 && text.split('.').count() >= 3 && text.split('.').all(segment)
}

fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'~');
    (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(allowed)
}

/// The id of a record: `KEY+COLLECTION`, such as `3k2yihcrp6f2c+app.bsky.feed.post`. `None` if the key is none, or too long.
///
/// The key comes first because ids are compared by their bytes, and a dataset and an update of it rely on the newest post
/// having the highest id: record keys are made from the time, and are comparable over collections.
pub(super) fn post_id(key: &str, collection: &str) -> Option<PostId> {
    let id = || PostId::parse(&format!("{key}{SEPARATOR}{collection}"));
    is_key(key).then(id).flatten()
}

/// The record key and the collection of a post's id.
pub(super) fn parts(id: &str) -> Option<(&str, &str)> {
    id.split_once(SEPARATOR)
}

/// The record key in the URI of a record of this account and collection.
pub(super) fn key_of<'a>(uri: &'a str, did: &str, collection: &str) -> Option<&'a str> {
    let path = uri.strip_prefix("at://")?.strip_prefix(did)?.strip_prefix('/')?;
    path.strip_prefix(collection)?.strip_prefix('/')
}

/// The id of a post in a dataset, from its line `{"uri": ..., "cid": ..., "value": ...}`.
pub fn item_id(line: &str) -> Option<PostId> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        uri: std::borrow::Cow<'a, str>,
    }
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    let mut path = line.uri.strip_prefix("at://")?.split('/');
    let (_did, collection, key) = (path.next()?, path.next()?, path.next()?);
    match path.next() {
        None => post_id(key, collection),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_datasets_find_the_same_id() {
        let line = r#"{"uri":"at://did:plc:z72i7hdynmk6r22z27h6tvur/app.bsky.feed.post/3k2aexample2c","cid":"b","value":{}}"#;
        assert!(item_id(line).is_some());
        assert_eq!(item_id(line), storage::dataset::post_id(line));
    }

    #[test]
    fn dids_of_both_kinds_and_no_others_are_read() {
        assert!(matches!(Did::parse("did:plc:z72i7hdynmk6r22z27h6tvur"), Some(Did::Plc(_))));
        assert_eq!(Did::parse("did:web:example.com"), Some(Did::Web("example.com")));
        let no_dids = [
            "did:plc:short",
            "did:plc:z72i7hdynmk6r22z27h6tvu1",
            "did:web:localhost",
            "did:web:a.com:path",
            "did:web:a.com%3A22",
            "did:web:10.0.0.1",
            "did:web:a.com/x",
            "did:key:z6Mk",
            "22013880",
            "",
        ];
        for none in no_dids {
            assert_eq!(Did::parse(none), None, "{none}");
        }
    }

    #[test]
    fn handles_are_host_names() {
        for good in ["ada.test", "xn--ls8h.test", "a.b.c.example.co"] {
            assert!(is_handle(good), "{good}");
        }
        for bad in [
            "ada",
            "",
            ".test",
            "ada..test",
            "-a.test",
            "a-.test",
            "a b.test",
            "ada.test.",
            "1.2.3.4",
            "a/b.test",
        ] {
            assert!(!is_handle(bad), "{bad}");
        }
    }

    #[test]
    fn ids_sort_as_record_keys_do_over_all_collections() {
        let (post, repost) = ("app.bsky.feed.post", "app.bsky.feed.repost");
        let id = |key, collection| post_id(key, collection).unwrap();
        assert!(
            id("3k2yihcrp6f2c", post) > id("3jzfcijpj2z2a", repost),
            "a later post is newer than an earlier repost"
        );
        for (older, newer) in [("3k", "3k2"), ("3k", "3k-2"), ("3k", "3k.2"), ("a", "b"), ("A", "a")] {
            assert!(id(older, repost) < id(newer, post), "{older} {newer}");
        }
        assert!(id("3k", post) < id("3k", repost));
        assert_eq!(parts("3k+app.bsky.feed.post"), Some(("3k", post)));
    }

    #[test]
    fn the_id_of_a_line_is_that_of_its_uri() {
        let line = r#"{"uri":"at://did:plc:x/app.bsky.feed.post/3k2","cid":"b","value":{"uri":"at://y"}}"#;
        assert_eq!(item_id(line), post_id("3k2", "app.bsky.feed.post"));
        for none in [
            "",
            "{}",
            "[]",
            r#"{"uri":"at://did:plc:x/c"}"#,
            r#"{"uri":"at://d/c/k/x"}"#,
            r#"{"uri":"at://d/c/k k"}"#,
        ] {
            assert_eq!(item_id(none), None, "{none}");
        }
        assert_eq!(key_of("at://did:x/a.b.c/k", "did:x", "a.b.c"), Some("k"));
        for (uri, did) in
            [("at://did:y/a.b.c/k", "did:x"), ("at://did:x/a.b.d/k", "did:x"), ("did:x/a.b.c/k", "did:x")]
        {
            assert_eq!(key_of(uri, did, "a.b.c"), None);
        }
        assert_eq!(post_id(&"k".repeat(300), "a.b.c"), None, "longer than an id may be");
    }
}
