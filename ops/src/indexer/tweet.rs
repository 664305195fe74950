//! Tweets and their indexed fields.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{instant, networks, place};

/// Largest tweet, bytes of JSON.
pub(super) const LARGEST: usize = 1 << 20;
/// Longest id, bytes: that of a document in a search server.
const LONGEST_ID: usize = 512;
/// Longest indexed hashtag, bytes; networks allow less.
const LONGEST_TAG: usize = 512;
/// Most indexed hashtags of a tweet.
const MOST_TAGS: usize = 100;

/// A tweet to index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tweet {
    /// Its id, which is also the id of its document.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) screen_name: Option<String>,
    /// The account's id.
    pub(super) user: Option<String>,
    /// Unix time, in milliseconds.
    pub(super) created_at: Option<i64>,
    /// In lower case, each once.
    pub(super) hashtags: Vec<String>,
    pub(super) lang: Option<String>,
    /// Latitude and longitude.
    pub(super) geo: Option<(f64, f64)>,
}

/// Why a text is not a tweet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TweetError {
    #[error("it has no field `json`")]
    Missing,
    #[error("{0} bytes are too large for a tweet; {LARGEST} at most")]
    TooLarge(usize),
    #[error("not a tweet's JSON: {0}")]
    NotJson(String),
    #[error("it has no id: `id_str`, or `id` as a number or text of at most {LONGEST_ID} bytes")]
    NoId,
    #[error("it has no `text`")]
    NoText,
}

/// The parsed fields of all networks. A field with an unexpected value counts as absent, except id and text.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Fields {
    pub(super) id: Value,
    id_str: Value,
    pub(super) text: Value,
    full_text: Value,
    pub(super) created_at: Value,
    pub(super) lang: Value,
    user: Value,
    pub(super) entities: Value,
    coordinates: Value,
    pub(super) geo: Value,
    /// Of Bluesky and Mastodon.
    pub(super) uri: Value,
    /// Of Bluesky.
    pub(super) value: Value,
    /// Of Mastodon.
    pub(super) content: Value,
    pub(super) account: Value,
    pub(super) reblog: Value,
    pub(super) language: Value,
    pub(super) tags: Value,
    /// Of X.
    pub(super) author_id: Value,
    pub(super) note_tweet: Value,
    pub(super) includes: Value,
}

impl Tweet {
    /// Parses a tweet, or a post of another network; `user` is the account, by the stream.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn parse(json: Option<&[u8]>, user: Option<&str>) -> Result<Self, TweetError> {
        let json = json.ok_or(TweetError::Missing)?;
        if json.len() > LARGEST {
            return Err(TweetError::TooLarge(json.len()));
        }
        let not_json = |error: &dyn std::fmt::Display| TweetError::NotJson(error.to_string());
        let json = std::str::from_utf8(json).map_err(|error| not_json(&error))?;
        if !json.trim_ascii_start().starts_with('{') {
            return Err(not_json(&"it is no object"));
        }
        let fields: Fields = serde_json::from_str(json).map_err(|error| not_json(&error))?;
        if let Some(post) = networks::read(&fields, user) {
            return post;
        }
        let text = fields.full_text.as_str().or(fields.text.as_str()).ok_or(TweetError::NoText)?;
        let entities = fields.entities["hashtags"].as_array().into_iter().flatten();
        Ok(Self {
            id: id(&fields.id_str).or_else(|| id(&fields.id)).ok_or(TweetError::NoId)?,
            text: text.to_owned(),
            screen_name: fields.user["screen_name"].as_str().map(str::to_owned),
            user: id(&fields.user["id_str"]).or_else(|| id(&fields.user["id"])),
            created_at: fields.created_at.as_str().and_then(instant::parse),
            hashtags: hashtags(entities.map(|entity| &entity["text"])),
            lang: fields.lang.as_str().map(str::to_owned),
            geo: place::of(&fields.coordinates["coordinates"], &fields.geo["coordinates"]),
        })
    }

    /// Its document, as indexed and stored by a search server.
    pub(super) fn document(&self) -> Value {
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("id", json!(self.id));
        put("text", json!(self.text));
        if let Some(name) = &self.screen_name {
            put("screen_name", json!(name));
        }
        if let Some(user) = &self.user {
            put("user", json!(user));
        }
        if let Some(created_at) = self.created_at.and_then(instant::format) {
            put("created_at", json!(created_at));
        }
        if !self.hashtags.is_empty() {
            put("hashtags", json!(self.hashtags));
        }
        if let Some(lang) = &self.lang {
            put("lang", json!(lang));
        }
        if let Some((lat, lon)) = self.geo {
            put("geo", json!({ "lat": lat, "lon": lon }));
            put("cell", json!(place::Cell::of(lat, lon).to_string()));
        }
        Value::Object(document)
    }
}

/// An id, which may be a number or a text.
pub(super) fn id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return None,
    };
    (!id.is_empty() && id.len() <= LONGEST_ID).then_some(id)
}

/// Hashtags in lower case, each once.
pub(super) fn hashtags<'a>(found: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in found {
        let tag = tag.as_str().unwrap_or_default().to_lowercase();
        if (1..=LONGEST_TAG).contains(&tag.len()) && !tags.contains(&tag) && tags.len() < MOST_TAGS {
            tags.push(tag);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Tweet, TweetError> {
        Tweet::parse(Some(json.as_bytes()), None)
    }

    #[test]
    fn a_tweet_is_read_as_the_api_sends_it() {
        let json = r##"{"created_at":"Wed May 29 19:23:05 +0000 2013","id":1,"id_str":"18446744073709551615",
            "text":"Hi #A","user":{"id":7,"id_str":"7","screen_name":"Lea"},"lang":"it",
            "coordinates":{"type":"Point","coordinates":[12.49,41.9]},"geo":null,
            "entities":{"hashtags":[{"text":"A"},{"text":"a"},{"text":"É"},{"text":""},{"x":1}]}}"##;
        let tweet = parse(json).unwrap();
        assert_eq!(tweet.id, u64::MAX.to_string());
        assert_eq!(tweet.hashtags, ["a", "é"]);
        assert_eq!(
            tweet.document(),
            json!({
                "id": "18446744073709551615", "text": "Hi #A", "screen_name": "Lea", "user": "7",
                "created_at": "2013-05-29T19:23:05.000Z", "hashtags": ["a", "é"], "lang": "it",
                "geo": { "lat": 41.9, "lon": 12.49 }, "cell": "419,124",
            })
        );
        let bare = parse(r#"{"id":5,"text":"","created_at":"soon","user":3,"entities":[],"geo":7}"#).unwrap();
        assert_eq!(bare.document(), json!({ "id": "5", "text": "" }));
    }

    #[test]
    fn what_is_no_tweet_is_refused_with_the_reason() {
        assert_eq!(Tweet::parse(None, None), Err(TweetError::Missing));
        assert_eq!(parse(r#"{"id":-1,"text":""}"#), Err(TweetError::NoId));
        assert_eq!(parse(&format!(r#"{{"id":"{}","text":""}}"#, "x".repeat(513))), Err(TweetError::NoId));
        assert_eq!(parse(r#"{"id":1,"text":null}"#), Err(TweetError::NoText));
        for json in ["", "[1]", "{", "no json", r#"{"id":1,"text":""}x"#] {
            assert!(matches!(parse(json), Err(TweetError::NotJson(_))), "{json}");
        }
        assert!(matches!(
            Tweet::parse(Some(b"{\"id\":1,\"text\":\"\xff\"}"), None),
            Err(TweetError::NotJson(_))
        ));
        let large = vec![b' '; LARGEST + 1];
        assert_eq!(Tweet::parse(Some(&large), None), Err(TweetError::TooLarge(LARGEST + 1)));
    }
}
