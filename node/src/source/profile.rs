//! An account's profile.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use storage::ids::UserId;

/// A profile: the few fields that a crawl uses, and the object exactly as the network sent it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The account.
    pub id: UserId,
    /// Its name, without `@`.
    pub screen_name: Option<String>,
    /// Whether only followers may see its posts.
    pub protected: bool,
    /// The fields whose names all networks share, as an object; `None` if `raw` has these names itself. What the
    /// network does not have is absent.
    pub common: Option<Box<RawValue>>,
    /// How the network calls the fields that follow rules know, if there is no `common` object.
    pub names: FieldNames,
    /// The whole object.
    pub raw: Box<RawValue>,
}

/// The names by which follow rules read a profile of Bluesky, besides `raw`. It tells neither a language nor bots.
pub const BLUESKY_RULE_FIELDS: [&str; 10] = [
    "id",
    "id_str",
    "screen_name",
    "name",
    "description",
    "created_at",
    "followers_count",
    "friends_count",
    "statuses_count",
    "posts_count",
];

/// How a network's profiles call the fields that follow rules read by one name everywhere. What a network does not have is
/// absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldNames {
    /// Rules read the object's own fields, and `posts_count` for `statuses_count`.
    #[default]
    Twitter,
    /// `app.bsky.actor.defs` of the AT Protocol. Counts are only in profiles that were looked up.
    Bluesky,
}

impl FieldNames {
    /// The names in a rule under which the network's field `field` is read, besides those of `user.raw`.
    pub fn known_as(self, field: &str) -> &[&'static str] {
        match (self, field) {
            (Self::Twitter, "statuses_count") => &["posts_count"],
            (Self::Twitter, _) => &[],
            (Self::Bluesky, "did") => &["id", "id_str"],
            (Self::Bluesky, "handle") => &["screen_name"],
            (Self::Bluesky, "displayName") => &["name"],
            (Self::Bluesky, "description") => &["description"],
            (Self::Bluesky, "followersCount") => &["followers_count"],
            (Self::Bluesky, "followsCount") => &["friends_count"],
            (Self::Bluesky, "postsCount") => &["posts_count", "statuses_count"],
            (Self::Bluesky, "createdAt") => &["created_at"],
            (Self::Bluesky, _) => &[],
        }
    }

    /// Whether rules read the object's own fields too, without `raw`.
    pub fn are_own(self) -> bool {
        self == Self::Twitter
    }
}

/// Why a JSON value is not a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// An array or a bare value.
    #[error("not a profile: no JSON object")]
    NoObject,
    /// Fields of a wrong type.
    #[error("not a profile: {0}")]
    Json(#[from] serde_json::Error),
    /// An object without a usable `id`, `id_str` or `did`.
    #[error("the profile has no usable id")]
    NoId,
}

impl Profile {
    /// Parses a profile in Twitter's format: `id_str` or `id`, `screen_name`, `protected`.
    pub fn from_twitter(raw: Box<RawValue>) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            id: Option<serde_json::Number>,
            #[serde(borrow)]
            id_str: Option<Cow<'a, str>>,
            screen_name: Option<String>,
            protected: Option<bool>,
        }
        if !raw.get().starts_with('{') {
            return Err(ProfileError::NoObject);
        }
        let fields: Fields<'_> = serde_json::from_str(raw.get())?;
        let by_text = fields.id_str.and_then(|text| text.parse().ok());
        let by_number = || fields.id.as_ref().and_then(serde_json::Number::as_u64).filter(|&id| id > 0);
        let id = by_text.or_else(|| by_number().map(UserId::Number)).ok_or(ProfileError::NoId)?;
        let (protected, names) = (fields.protected.unwrap_or(false), FieldNames::Twitter);
        Ok(Self { id, screen_name: fields.screen_name, protected, names, common: None, raw })
    }

    /// Parses a profile of Bluesky's AppView: `did` and `handle`.
    ///
    /// # Errors
    /// It is no object, or has no DID.
    pub fn from_bluesky(raw: Box<RawValue>) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            did: Option<Cow<'a, str>>,
            handle: Option<String>,
        }
        if !raw.get().starts_with('{') {
            return Err(ProfileError::NoObject);
        }
        let fields: Fields<'_> = serde_json::from_str(raw.get())?;
        let did = fields.did.filter(|did| did.starts_with("did:"));
        let id = did.and_then(|did| did.parse().ok()).ok_or(ProfileError::NoId)?;
        let names = FieldNames::Bluesky;
        Ok(Self { id, screen_name: fields.handle, protected: false, names, common: None, raw })
    }

    /// Parses a profile in the format of the X API v2: `id`, `username`, `protected`.
    pub fn from_x(raw: Box<RawValue>) -> Result<Self, ProfileError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            id: Option<Cow<'a, str>>,
            username: Option<String>,
            protected: Option<bool>,
        }
        if !raw.get().starts_with('{') {
            return Err(ProfileError::NoObject);
        }
        let fields: Fields<'_> = serde_json::from_str(raw.get())?;
        let id =
            fields.id.and_then(|id| id.parse().ok()).filter(|&id: &u64| id > 0).ok_or(ProfileError::NoId)?;
        let (id, protected, names) =
            (UserId::Number(id), fields.protected.unwrap_or(false), FieldNames::default());
        let common = Some(RawValue::from_string(super::x::facts(raw.get())?)?);
        Ok(Self { id, screen_name: fields.username, protected, names, common, raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(json: &str) -> Result<Profile, ProfileError> {
        Profile::from_twitter(RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn the_object_is_kept_as_it_came() {
        let json = r#"{"lang": "it",  "id":12,"id_str":"12","screen_name":"jack\u00e9","protected":true}"#;
        let profile = profile(json).unwrap();
        assert_eq!(profile.id, UserId::Number(12));
        assert_eq!(profile.screen_name.as_deref(), Some("jack\u{e9}"));
        assert!(profile.protected);
        assert_eq!(profile.raw.get(), json);
    }

    #[test]
    fn a_profile_of_bluesky_is_known_by_its_did() {
        let parse = |json: &str| Profile::from_bluesky(RawValue::from_string(json.to_owned()).unwrap());
        let json = r#"{"did":"did:plc:z72i7hdynmk6r22z27h6tvur", "handle":"ada.test","labels":[]}"#;
        let profile = parse(json).unwrap();
        assert_eq!(profile.id.to_string(), "did:plc:z72i7hdynmk6r22z27h6tvur");
        assert_eq!((profile.screen_name.as_deref(), profile.raw.get()), (Some("ada.test"), json));
        for none in [r#"{"handle":"ada.test"}"#, r#"{"did":"7"}"#, r#"{"did":"did:plc:a b"}"#] {
            assert!(matches!(parse(none), Err(ProfileError::NoId)), "{none}");
        }
        assert!(matches!(parse("[]"), Err(ProfileError::NoObject)));
        assert!(matches!(parse(r#"{"did":7}"#), Err(ProfileError::Json(_))));
    }

    #[test]
    fn the_names_of_rules_on_bluesky_are_those_that_its_fields_are_read_by() {
        let fields = [
            "did",
            "handle",
            "displayName",
            "description",
            "createdAt",
            "followersCount",
            "followsCount",
            "postsCount",
        ];
        let mut read: Vec<&str> =
            fields.iter().flat_map(|field| FieldNames::Bluesky.known_as(field)).copied().collect();
        let mut listed = BLUESKY_RULE_FIELDS.to_vec();
        read.sort_unstable();
        listed.sort_unstable();
        assert_eq!(read, listed);
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        assert!(matches!(profile(r#"{"id":0}"#), Err(ProfileError::NoId)));
        assert!(matches!(profile(r#"{"id":-4,"id_str":"x y"}"#), Err(ProfileError::NoId)));
        assert!(matches!(profile("[1]"), Err(ProfileError::NoObject)));
        assert!(matches!(profile(r#"{"id":1,"protected":"yes"}"#), Err(ProfileError::Json(_))));
    }
}
