//! A user of X by the names that follow rules use for every network.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The names that a user of X can have. X tells no language and nothing of
/// bots.
pub const FACTS: [&str; 20] = [
    "id",
    "id_str",
    "name",
    "screen_name",
    "description",
    "location",
    "url",
    "protected",
    "verified",
    "verified_type",
    "created_at",
    "profile_image_url_https",
    "entities",
    "followers_count",
    "friends_count",
    "listed_count",
    "favourites_count",
    "media_count",
    "statuses_count",
    "posts_count",
];

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    name: Raw<'a>,
    #[serde(borrow)]
    username: Raw<'a>,
    #[serde(borrow)]
    description: Raw<'a>,
    #[serde(borrow)]
    location: Raw<'a>,
    #[serde(borrow)]
    url: Raw<'a>,
    #[serde(borrow)]
    protected: Raw<'a>,
    #[serde(borrow)]
    verified: Raw<'a>,
    #[serde(borrow)]
    verified_type: Raw<'a>,
    #[serde(borrow)]
    created_at: Raw<'a>,
    #[serde(borrow)]
    profile_image_url: Raw<'a>,
    #[serde(borrow)]
    entities: Raw<'a>,
    #[serde(borrow)]
    public_metrics: Option<Metrics<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics<'a> {
    #[serde(borrow)]
    followers_count: Raw<'a>,
    #[serde(borrow)]
    following_count: Raw<'a>,
    #[serde(borrow)]
    listed_count: Raw<'a>,
    #[serde(borrow)]
    like_count: Raw<'a>,
    #[serde(borrow)]
    media_count: Raw<'a>,
    #[serde(borrow, alias = "post_count")]
    tweet_count: Raw<'a>,
}

/// The user as a JSON object with these names. What the API did not send is absent.
///
/// # Errors
/// It is no JSON object, or its `public_metrics` are none.
pub(in crate::source) fn facts(raw: &str) -> Result<String, serde_json::Error> {
    let user: User<'_> = serde_json::from_str(raw)?;
    let counts = user.public_metrics.unwrap_or_default();
    let id = user.id.map(RawValue::get);
    let number = id.map(|id| id.trim_matches('"')).filter(|id| id.parse::<u64>().is_ok());
    let values = [
        number,
        id,
        user.name.map(RawValue::get),
        user.username.map(RawValue::get),
        user.description.map(RawValue::get),
        user.location.map(RawValue::get),
        user.url.map(RawValue::get),
        user.protected.map(RawValue::get),
        user.verified.map(RawValue::get),
        user.verified_type.map(RawValue::get),
        user.created_at.map(RawValue::get),
        user.profile_image_url.map(RawValue::get),
        user.entities.map(RawValue::get),
        counts.followers_count.map(RawValue::get),
        counts.following_count.map(RawValue::get),
        counts.listed_count.map(RawValue::get),
        counts.like_count.map(RawValue::get),
        counts.media_count.map(RawValue::get),
        counts.tweet_count.map(RawValue::get),
        counts.tweet_count.map(RawValue::get),
    ];
    let mut text = String::with_capacity(2 * raw.len() + 64);
    text.push('{');
    for (name, value) in FACTS.iter().zip(values) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, "\"{name}\":{value},");
        }
    }
    if text.ends_with(',') {
        text.pop();
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_names_of_all_networks() {
        let raw = r#"{"id":"18446744073709551615","name":"\u00c9va","username":"eva","protected":false,
            "public_metrics":{"followers_count":7,"following_count":3,"tweet_count":9,"listed_count":1}}"#;
        let facts: serde_json::Value = serde_json::from_str(&facts(raw).unwrap()).unwrap();
        let expected = serde_json::json!({
            "id": u64::MAX, "id_str": "18446744073709551615", "name": "\u{c9}va", "screen_name": "eva",
            "protected": false, "followers_count": 7, "friends_count": 3, "listed_count": 1,
            "statuses_count": 9, "posts_count": 9,
        });
        assert_eq!(facts, expected);
    }

    #[test]
    fn what_the_api_did_not_send_is_absent_and_what_is_no_user_is_an_error() {
        assert_eq!(facts(r#"{"id":"x"}"#).unwrap(), r#"{"id_str":"x"}"#);
        assert!(facts(r#"{"public_metrics":{"post_count":5}}"#).unwrap().contains(r#""posts_count":5"#));
        for bad in ["7", "[1", r#"{"public_metrics":7}"#] {
            assert!(facts(bad).is_err(), "{bad}");
        }
    }
}
