//! Accounts as hosts describe them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::acct::Acct;
use super::known::Known;
use super::place::is_id;
use crate::source::{FieldNames, Profile};

/// Names of the profile that follow rules see, besides `raw`. Mastodon's accounts have no language.
pub const RULE_FIELDS: [&str; 12] = [
    "id",
    "screen_name",
    "name",
    "description",
    "url",
    "protected",
    "bot",
    "created_at",
    "followers_count",
    "friends_count",
    "statuses_count",
    "posts_count",
];

/// An account as a host describes it.
#[derive(Debug)]
pub(super) struct Account {
    pub acct: Acct,
    /// Its id at the host that described it.
    pub id: String,
    pub suspended: bool,
    /// Counts; `None` if the host does not say.
    pub posts: Option<u64>,
    pub followers: Option<u64>,
    pub hides_followers: Option<bool>,
    pub profile: Profile,
}

/// The fields that are read. Those that an account can do without are taken apart later: a value of another type
/// does not make the account unusable.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    acct: Cow<'a, str>,
    #[serde(borrow)]
    display_name: Option<&'a RawValue>,
    #[serde(borrow)]
    note: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    bot: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    followers_count: Option<&'a RawValue>,
    #[serde(borrow)]
    following_count: Option<&'a RawValue>,
    #[serde(borrow)]
    statuses_count: Option<&'a RawValue>,
    #[serde(borrow)]
    suspended: Option<&'a RawValue>,
    #[serde(borrow)]
    hide_collections: Option<&'a RawValue>,
}

impl Account {
    /// Reads an account that `host` (a domain) describes.
    pub fn read(raw: Box<RawValue>, host: &str) -> Result<Self, String> {
        let fields: Fields<'_> = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
        let acct = Acct::seen_at(&fields.acct, host)
            .map_err(|what| format!("acct {:?}: {what}", storage::text::excerpt(&fields.acct, 100)))?;
        let id = fields.id.get();
        let id = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id);
        if !is_id(id) {
            return Err(format!("id {:?} is none", storage::text::excerpt(id, 100)));
        }
        let key = acct.id().ok_or("its name is too long")?;
        let (id, suspended) = (id.to_owned(), value(fields.suspended).unwrap_or(false));
        let (posts, followers) = (value(fields.statuses_count), value(fields.followers_count));
        let hides_followers = value(fields.hide_collections);
        let common = common(&fields, &acct);
        let (screen_name, names) = (Some(acct.to_string()), FieldNames::default());
        let profile = Profile { id: key, screen_name, protected: false, names, common, raw };
        Ok(Self { acct, id, suspended, posts, followers, hides_followers, profile })
    }

    pub fn known(&self) -> Known {
        Known {
            id: self.id.clone(),
            posts: self.posts.unwrap_or(0),
            followers: self.followers.unwrap_or(0),
            hides_followers: self.hides_followers,
        }
    }
}

/// A value of the expected type.
fn value<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The fields whose names all networks share.
fn common(fields: &Fields<'_>, acct: &Acct) -> Option<Box<RawValue>> {
    let posts = value::<u64>(fields.statuses_count);
    let all = json!({
        "id": acct.to_string(),
        "screen_name": acct.to_string(),
        "name": value::<String>(fields.display_name),
        "description": value::<String>(fields.note),
        "url": value::<String>(fields.url),
        // Everybody sees public posts, also of accounts that choose their followers.
        "protected": false,
        "bot": value::<bool>(fields.bot),
        "created_at": value::<String>(fields.created_at),
        "followers_count": value::<u64>(fields.followers_count),
        "friends_count": value::<u64>(fields.following_count),
        "statuses_count": posts,
        "posts_count": posts,
    });
    let serde_json::Value::Object(mut all) = all else { return None };
    all.retain(|_, value| !value.is_null());
    serde_json::value::to_raw_value(&all).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Account, String> {
        Account::read(RawValue::from_string(json.to_owned()).unwrap(), "h1.test")
    }

    fn common_of(account: &Account) -> serde_json::Value {
        serde_json::from_str(account.profile.common.as_ref().unwrap().get()).unwrap()
    }

    #[test]
    fn a_follower_of_another_host_is_named_by_its_home() {
        let account =
            read(r#"{"id":"23972","username":"halcy","acct":"halcy@Icosahedron.website"}"#).unwrap();
        assert_eq!(account.profile.id.to_string(), "halcy@icosahedron.website");
        assert_eq!(read(r#"{"id":"1","acct":"Ada"}"#).unwrap().profile.id.to_string(), "Ada@h1.test");
    }

    #[test]
    fn the_fields_of_a_rule_are_there_and_what_is_missing_is_absent() {
        let account = read(
            r#"{"id":"117440810532227399","acct":"ada","display_name":"Ada","bot":true,"locked":true,
                "created_at":"2026-10-14T00:00:00.000Z","followers_count":5,"following_count":6,
                "statuses_count":7,"hide_collections":true}"#,
        )
        .unwrap();
        let common = common_of(&account);
        assert_eq!(common["followers_count"], 5);
        assert_eq!((&common["statuses_count"], &common["posts_count"]), (&json!(7), &json!(7)));
        assert_eq!(
            (&common["bot"], &common["created_at"]),
            (&json!(true), &json!("2026-10-14T00:00:00.000Z"))
        );
        assert_eq!(common.get("lang"), None);
        assert!(common.as_object().unwrap().keys().all(|name| RULE_FIELDS.contains(&name.as_str())));
        assert_eq!((account.followers, account.hides_followers), (Some(5), Some(true)));
        let bare = common_of(&read(r#"{"id":"1","acct":"ada"}"#).unwrap());
        assert_eq!(bare.get("followers_count"), None);
    }

    #[test]
    fn a_field_of_another_type_is_absent_and_costs_no_account() {
        let account = read(
            r#"{"id":5,"acct":"ada","followers_count":-1,"statuses_count":"many","bot":null,"suspended":"no",
                "display_name":{},"hide_collections":null}"#,
        )
        .unwrap();
        assert_eq!((account.id.as_str(), account.followers, account.posts), ("5", None, None));
        assert_eq!((account.suspended, account.hides_followers), (false, None));
        assert_eq!(common_of(&account).as_object().unwrap().len(), 3);
    }

    #[test]
    fn what_is_no_account_says_why() {
        for (json, said) in [
            ("[]", "expected"),
            (r#"{"acct":"ada"}"#, "missing field `id`"),
            (r#"{"id":"1"}"#, "missing field `acct`"),
            (r#"{"id":"../2","acct":"ada"}"#, "is none"),
            (r#"{"id":"1","acct":"a/da"}"#, "a user name is"),
            (r#"{"id":"1","acct":"ada@127.0.0.1"}"#, "no public domain"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
