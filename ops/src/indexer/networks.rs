//! Posts of other networks than Twitter, by the fields that all have in an index.
//!
//! A post is known by its form, as a line of the dataset has it: a record of the AT Protocol by its `at://` URI, a status
//! of the Mastodon API by its `content` and `account`, a post of the X API v2 by its `author_id`. The id of a document is one that
//! no other account has: the URI, or X's id.

use serde_json::Value;

use super::tweet::{Fields, Tweet, TweetError, hashtags, id};
use super::{instant, place};

/// The kind of a facet that marks a hashtag.
const TAG_FACET: &str = "app.bsky.richtext.facet#tag";

/// The post, if it is one of these networks. `user` is the account, by the stream.
pub(super) fn read(fields: &Fields, user: Option<&str>) -> Option<Result<Tweet, TweetError>> {
    let is_record = fields.uri.as_str().is_some_and(|uri| uri.starts_with("at://"));
    if is_record && fields.value.is_object() {
        return Some(record(fields, user));
    }
    if fields.content.is_string() && fields.account.is_object() {
        return Some(status(fields, user));
    }
    fields.author_id.is_string().then(|| post(fields))
}

/// A record of Bluesky: `{"uri": ..., "cid": ..., "value": ...}`. One without a text, such as a repost, is indexed with an
/// empty one.
fn record(fields: &Fields, user: Option<&str>) -> Result<Tweet, TweetError> {
    let value = &fields.value;
    let facets = value["facets"].as_array().into_iter().flatten();
    let features = facets.flat_map(|facet| facet["features"].as_array().into_iter().flatten());
    let marked = features.filter(|feature| feature["$type"] == TAG_FACET).map(|feature| &feature["tag"]);
    let listed = value["tags"].as_array().into_iter().flatten();
    Ok(Tweet {
        id: id(&fields.uri).ok_or(TweetError::NoId)?,
        text: text_of(&value["text"]),
        screen_name: None,
        user: user.map(str::to_owned),
        created_at: moment(&value["createdAt"]),
        hashtags: hashtags(marked.chain(listed)),
        lang: value["langs"][0].as_str().map(str::to_owned),
        geo: None,
    })
}

/// A status of the Mastodon API. One that boosts another has the text and the hashtags of that one.
fn status(fields: &Fields, user: Option<&str>) -> Result<Tweet, TweetError> {
    let boosted = &fields.reblog;
    let (content, tags) = match boosted.is_object() {
        true => (&boosted["content"], &boosted["tags"]),
        false => (&fields.content, &fields.tags),
    };
    let tags = tags.as_array().into_iter().flatten().map(|tag| &tag["name"]);
    Ok(Tweet {
        id: id(&fields.uri).ok_or(TweetError::NoId)?,
        text: text_of_html(content.as_str().unwrap_or_default()),
        screen_name: user.map(str::to_owned).or_else(|| fields.account["acct"].as_str().map(str::to_owned)),
        user: user.map(str::to_owned),
        created_at: moment(&fields.created_at),
        hashtags: hashtags(tags),
        lang: fields.language.as_str().map(str::to_owned),
        geo: None,
    })
}

/// A post of the X API v2, with the parts of `includes` that it names.
fn post(fields: &Fields) -> Result<Tweet, TweetError> {
    let users = fields.includes["users"].as_array().into_iter().flatten();
    let author = users.into_iter().find(|user| user["id"] == fields.author_id);
    let long = fields.note_tweet["text"].as_str();
    let tags = fields.entities["hashtags"].as_array().into_iter().flatten().map(|entity| &entity["tag"]);
    Ok(Tweet {
        id: id(&fields.id).ok_or(TweetError::NoId)?,
        text: long.or(fields.text.as_str()).ok_or(TweetError::NoText)?.to_owned(),
        screen_name: author.and_then(|user| user["username"].as_str()).map(str::to_owned),
        user: id(&fields.author_id),
        created_at: moment(&fields.created_at),
        hashtags: hashtags(tags),
        lang: fields.lang.as_str().map(str::to_owned),
        geo: place::of(&fields.geo["coordinates"]["coordinates"], &Value::Null),
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn moment(value: &Value) -> Option<i64> {
    value.as_str().and_then(instant::parse)
}

/// The text of a post's HTML: paragraphs and breaks are line ends, other tags are left out.
fn text_of_html(html: &str) -> String {
    let (mut rest, mut text) = (html, String::with_capacity(html.len()));
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (end, shown) = match rest.starts_with('<') {
            true => tag(rest),
            false => entity(rest),
        };
        text.extend(shown);
        rest = &rest[end..];
    }
    text.push_str(rest);
    text.trim_end().to_owned()
}

/// A tag at the beginning: where it ends, and what is shown for it.
fn tag(html: &str) -> (usize, Option<char>) {
    let Some(end) = html.find('>') else { return (html.len(), None) };
    let inside = html[1..end].trim_end_matches('/').trim();
    let name = inside.split_ascii_whitespace().next().unwrap_or_default();
    let breaks = name.eq_ignore_ascii_case("br") || name.eq_ignore_ascii_case("/p");
    (end + 1, breaks.then_some('\n'))
}

/// An entity at the beginning: where it ends, and what is shown for it. What is none is shown as it is.
fn entity(html: &str) -> (usize, Option<char>) {
    const LONGEST: usize = 10;
    let end = html.bytes().take(LONGEST).position(|byte| byte == b';');
    let shown = end.and_then(|end| match &html[1..end] {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        number => {
            let number = number.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    });
    match (end, shown) {
        (Some(end), Some(shown)) => (end + 1, Some(shown)),
        _ => (1, Some('&')),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(json: &str, user: &str) -> Value {
        Tweet::parse(Some(json.as_bytes()), Some(user)).unwrap().document()
    }

    #[test]
    fn a_record_of_bluesky_is_found_by_its_uri() {
        let json = r##"{"uri":"at://did:plc:a/app.bsky.feed.post/3k2a","cid":"b","value":{"$type":"app.bsky.feed.post",
            "text":"Ciao #Roma","createdAt":"2026-11-29T12:00:00.5+01:00","langs":["it","en"],"tags":["Extra"],
            "facets":[{"index":{},"features":[{"$type":"app.bsky.richtext.facet#tag","tag":"Roma"}]},
                {"features":[{"$type":"app.bsky.richtext.facet#link","uri":"https://a"}]}]}}"##;
        assert_eq!(
            document(json, "did:plc:a"),
            json!({
                "id": "at://did:plc:a/app.bsky.feed.post/3k2a", "text": "Ciao #Roma", "user": "did:plc:a",
                "created_at": "2026-11-29T11:00:00.500Z", "hashtags": ["roma", "extra"], "lang": "it",
            })
        );
        let repost = r#"{"uri":"at://did:plc:a/app.bsky.feed.repost/3k","value":{"subject":{},"facets":7,"langs":{}}}"#;
        assert_eq!(
            document(repost, "did:plc:a"),
            json!({"id": "at://did:plc:a/app.bsky.feed.repost/3k", "text": "", "user": "did:plc:a"})
        );
    }

    #[test]
    fn a_status_of_mastodon_is_found_by_its_uri_and_its_text_is_no_html() {
        let json = r#"{"id":"109","uri":"https://h1.test/users/ada/statuses/109","content":"<p>Hi<br />a &lt; b &amp;&#39;c&#x27; &no <a href=\"x\">#<span>Roma</span></a></p><p>x</p>",
            "account":{"acct":"ada"},"created_at":"2026-10-14T19:10:00.526Z","language":"en","reblog":null,
            "tags":[{"name":"Roma","url":"u"}]}"#;
        assert_eq!(
            document(json, "ada@h1.test"),
            json!({
                "id": "https://h1.test/users/ada/statuses/109", "text": "Hi\na < b &'c' &no #Roma\nx",
                "screen_name": "ada@h1.test", "user": "ada@h1.test", "created_at": "2026-10-14T19:10:00.526Z",
                "hashtags": ["roma"], "lang": "en",
            })
        );
        let boost = r#"{"uri":"u","content":"","account":{},"reblog":{"content":"<p>of b</p>","tags":[{"name":"b"}]}}"#;
        assert_eq!(document(boost, "a@h")["text"], "of b");
        assert_eq!(document(boost, "a@h")["hashtags"], json!(["b"]));
        for (html, text) in [
            ("<", ""),
            ("a<b", "a"),
            ("&", "&"),
            ("&#1114112;", "&#1114112;"),
            ("\u{e9}&\u{e9};", "\u{e9}&\u{e9};"),
        ] {
            assert_eq!(text_of_html(html), text);
        }
    }

    #[test]
    fn a_post_of_x_has_its_author_from_what_came_with_it() {
        let json = r##"{"id":"5","author_id":"7","text":"Hi","note_tweet":{"text":"Hi at length"},"lang":"en",
            "created_at":"2026-01-02T03:04:05.000Z","entities":{"hashtags":[{"tag":"A","start":1}]},
            "geo":{"coordinates":{"type":"Point","coordinates":[12.49,41.9]}},
            "includes":{"users":[{"id":"8","username":"x"},{"id":"7","username":"ada"}]}}"##;
        assert_eq!(
            document(json, "7"),
            json!({
                "id": "5", "text": "Hi at length", "screen_name": "ada", "user": "7", "hashtags": ["a"], "lang": "en",
                "created_at": "2026-01-02T03:04:05.000Z", "geo": {"lat": 41.9, "lon": 12.49}, "cell": "419,124",
            })
        );
    }

    #[test]
    fn a_post_without_what_identifies_it_is_none() {
        for json in [
            r#"{"uri":{},"content":"","account":{}}"#,
            r#"{"author_id":"7","text":""}"#,
            &format!(r#"{{"uri":"at://{}","value":{{}}}}"#, "x".repeat(600)),
        ] {
            assert_eq!(Tweet::parse(Some(json.as_bytes()), None), Err(TweetError::NoId), "{json}");
        }
    }
}
