//! Answers against the fields and types of the specification.

use serde_json::{Map, Value};
use twm_tests::emulator::x::{Wording, XEmulator};

use super::{ask, double};

/// The names and types of a version's fields: a type's name, `[type]`, or an object of fields.
struct Specification(Value);

impl Specification {
    fn read(wording: Wording) -> Self {
        let text = match wording {
            Wording::Tweets => include_str!("fields-2.166.json"),
            Wording::Posts => include_str!("fields-2.167.json"),
        };
        Self(serde_json::from_str(text).unwrap())
    }

    /// What does not agree, with its place.
    fn check(&self, at: &str, value: &Value, kind: &Value) -> Result<(), String> {
        let fits = match kind {
            Value::Array(of) => {
                let items = value.as_array().ok_or_else(|| format!("{at} is no array"))?;
                return items.iter().try_for_each(|item| self.check(&format!("{at}[]"), item, &of[0]));
            }
            Value::Object(fields) => return self.object(at, value, fields),
            Value::String(name) => match name.as_str() {
                "any" => true,
                "string" => value.is_string(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "Problem" => return self.problem(at, value),
                name => return self.check(at, value, &self.0["schemas"][name]),
            },
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{at} is {value} and not {kind}")) }
    }

    fn object(&self, at: &str, value: &Value, fields: &Map<String, Value>) -> Result<(), String> {
        let object = value.as_object().ok_or_else(|| format!("{at} is no object"))?;
        for (name, part) in object {
            let kind = fields.get(name).or_else(|| fields.get(&format!("{name}!")));
            let kind = kind.ok_or_else(|| format!("{at}.{name} is not in the specification"))?;
            self.check(&format!("{at}.{name}"), part, kind)?;
        }
        let required = fields.keys().filter_map(|name| name.strip_suffix('!'));
        match required.into_iter().find(|name| !object.contains_key(*name)) {
            Some(missing) => Err(format!("{at} lacks {missing}")),
            None => Ok(()),
        }
    }

    fn problem(&self, at: &str, value: &Value) -> Result<(), String> {
        let kind = value["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
        match &self.0["problems"][kind] {
            Value::Null => Err(format!("{at}: the specification has no problem {kind:?}")),
            fields => self.check(at, value, fields),
        }
    }
}

const EVERYTHING: [(&str, &str, [&str; 4]); 2] = [
    (
        "tweet.fields=created_at,lang,author_id,public_metrics,conversation_id,referenced_tweets,attachments,geo,in_reply_to_user_id,possibly_sensitive",
        "author_id,in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id,attachments.media_keys,geo.place_id",
        [
            "Get2UsersIdTweetsResponse",
            "Get2UsersIdFollowersResponse",
            "Get2UsersResponse",
            "Get2UsersByResponse",
        ],
    ),
    (
        "post.fields=created_at,lang,public_metrics,conversation_id,attachments,geo,possibly_sensitive",
        "author_id,in_reply_to_user_id,referenced_posts,attachments.media_keys,geo.place_id",
        [
            "GetUsersPostsResponse",
            "GetUsersFollowersResponse",
            "GetUsersByIdsResponse",
            "GetUsersByUsernamesResponse",
        ],
    ),
];
const USER: &str = "user.fields=created_at,description,location,url,protected,verified,verified_type,profile_image_url,public_metrics";

async fn agrees(double: &XEmulator, specification: &Specification, path: &str, schema: &str) -> Value {
    let answer = ask(double, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    let outcome = specification.check(schema, &answer.json(), &specification.0["schemas"][schema]);
    outcome.unwrap_or_else(|what| panic!("{path}: {what}"));
    answer.json()
}

#[tokio::test]
async fn every_answer_has_the_fields_and_types_of_the_specification() {
    for (wording, (fields, expansions, schemas)) in
        [Wording::Tweets, Wording::Posts].into_iter().zip(EVERYTHING)
    {
        let (specification, names) = (Specification::read(wording), wording);
        let double =
            double().wording(names).protected([7]).suspended([8]).missing([9]).start().await.unwrap();
        let pinned = if wording == Wording::Tweets { "pinned_tweet_id" } else { "pinned_post_id" };
        let included = if wording == Wording::Tweets { "tweets" } else { "posts" };
        let mut seen = std::collections::BTreeSet::new();
        for user in 1..=20u64 {
            let path =
                format!("/2/users/{user}/tweets?max_results=100&{fields}&{USER}&expansions={expansions}");
            let answer = agrees(&double, &specification, &path, schemas[0]).await;
            let parts = answer["includes"].as_object().cloned().unwrap_or_default();
            seen.extend(parts.into_iter().map(|(name, _)| name));
            let path = format!("/2/users/{user}/followers?{USER}&expansions={pinned}");
            agrees(&double, &specification, &path, schemas[1]).await;
        }
        assert!([included, "users", "media", "places"].iter().all(|part| seen.contains(*part)), "{seen:?}");
        let path = format!("/2/users?ids=1,7,8,9,999999&{USER}&expansions={pinned}");
        let answer = agrees(&double, &specification, &path, schemas[2]).await;
        assert_eq!(answer["data"].as_array().map(Vec::len), Some(2));
        let problems = answer["errors"].as_array().unwrap();
        assert_eq!(problems.len(), 3);
        let path = format!("/2/users/by?usernames=nobody&{USER}");
        let answer = agrees(&double, &specification, &path, schemas[3]).await;
        assert!(answer.get("data").is_none());
    }
}

#[tokio::test]
async fn refusals_are_problems_of_the_specification() {
    let specification = Specification::read(Wording::Tweets);
    let double = double().start().await.unwrap();
    for (path, status) in [
        ("/2/users/1/tweets?max_results=4", 400),
        ("/2/users/1/tweets?max_results=101", 400),
        ("/2/users/1/followers?max_results=1001", 400),
        ("/2/users/x/tweets", 400),
        ("/2/users?ids=", 400),
        ("/2/users/by?usernames=a%20b", 400),
        ("/2/users/1/tweets?pagination_token=nonsense", 400),
        ("/2/users/1/tweets?post.fields=lang", 400),
        ("/2/nothing", 404),
    ] {
        let answer = ask(&double, path).await;
        assert_eq!(answer.status, status, "{path}");
        specification.problem(path, &answer.json()).unwrap();
    }
    assert!(double.strike_off("one"));
    let answer = ask(&double, "/2/users/1/tweets").await;
    assert_eq!(answer.status, 403);
    specification.problem("403", &answer.json()).unwrap();
    assert!(double.revoke("one"));
    let answer = ask(&double, "/2/users/1/tweets").await;
    assert_eq!(answer.status, 401);
    specification.problem("401", &answer.json()).unwrap();
}

#[test]
fn a_wrong_type_an_unknown_field_and_a_missing_one_are_found() {
    let specification = Specification::read(Wording::Tweets);
    let user = |text: &str| {
        let value = serde_json::from_str(text).unwrap();
        specification.check("User", &value, &specification.0["schemas"]["User"])
    };
    assert_eq!(user(r#"{"id":"1","name":"a","username":"a"}"#), Ok(()));
    for (wrong, what) in [
        (r#"{"id":1,"name":"a","username":"a"}"#, "User.id is 1"),
        (r#"{"id":"1","name":"a","username":"a","followers":3}"#, "User.followers is not"),
        (r#"{"id":"1","name":"a"}"#, "User lacks username"),
    ] {
        assert!(user(wrong).unwrap_err().contains(what), "{wrong}");
    }
}
