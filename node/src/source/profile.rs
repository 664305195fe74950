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
    /// The whole object.
    pub raw: Box<RawValue>,
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
    /// An object without a usable `id` or `id_str`.
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
        Ok(Self {
            id,
            screen_name: fields.screen_name,
            protected: fields.protected.unwrap_or(false),
            common: None,
            raw,
        })
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
    fn what_is_no_profile_is_an_error() {
        assert!(matches!(profile(r#"{"id":0}"#), Err(ProfileError::NoId)));
        assert!(matches!(profile(r#"{"id":-4,"id_str":"x y"}"#), Err(ProfileError::NoId)));
        assert!(matches!(profile("[1]"), Err(ProfileError::NoObject)));
        assert!(matches!(profile(r#"{"id":1,"protected":"yes"}"#), Err(ProfileError::Json(_))));
    }
}
