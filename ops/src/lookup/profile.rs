//! Profiles, as they came.

use serde::Deserialize;
use serde_json::Value;
use storage::state::MAX_VALUE_BYTES;

use crate::stream::Stamp;

/// Largest profile, bytes.
pub(super) const LARGEST_PROFILE: usize = MAX_VALUE_BYTES - Stamp::BYTES;
/// Longest id or name, bytes.
pub(super) const LONGEST_KEY: usize = 512;

/// A profile whose JSON is stored unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) id: String,
    /// In lower case.
    pub(super) name: Option<String>,
    pub(super) json: Vec<u8>,
}

/// Why bytes are not a profile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProfileError {
    #[error("a profile of {0} bytes is too large; {LARGEST_PROFILE} at most")]
    TooLarge(usize),
    #[error("not a JSON object: {0}")]
    NotJson(String),
    #[error(
        "the profile has no id: it needs `id_str`, or `id` as a number or text of at most {LONGEST_KEY} bytes"
    )]
    NoId,
    #[error("the profile's screen_name is longer than {LONGEST_KEY} bytes")]
    LongName,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    id_str: Value,
    #[serde(default)]
    screen_name: Value,
    /// Mastodon's; without the host where it is the account's home.
    #[serde(default)]
    acct: Value,
    /// Bluesky's name.
    #[serde(default)]
    handle: Value,
    /// X's name.
    #[serde(default)]
    username: Value,
}

impl Fields {
    /// The account's name in its network. An account of Mastodon is known by its name.
    fn name<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        let names = [&self.screen_name, &self.handle, &self.username];
        let mut names = names.into_iter().filter_map(Value::as_str);
        let name = match self.acct.is_string() && id.contains('@') {
            true => Some(id),
            false => names.next(),
        };
        name.filter(|name| !name.is_empty())
    }
}

impl Profile {
    /// Parses a profile: an object with an `id_str` or `id`, and possibly a `screen_name`, or the name of another network.
    ///
    /// # Errors
    /// It is not a profile, or too large.
    pub(super) fn parse(json: &[u8]) -> Result<Self, ProfileError> {
        Self::parse_of(None, json)
    }

    /// The same for an account whose id is known: not every network's profiles use the same field.
    ///
    /// # Errors
    /// It is not a profile, or too large.
    pub(super) fn parse_of(account: Option<&str>, json: &[u8]) -> Result<Self, ProfileError> {
        if json.len() > LARGEST_PROFILE {
            return Err(ProfileError::TooLarge(json.len()));
        }
        // The JSON parser skips what it does not need, so invalid UTF-8 must be found here.
        std::str::from_utf8(json).map_err(|error| ProfileError::NotJson(error.to_string()))?;
        let not_json = |error: serde_json::Error| ProfileError::NotJson(error.to_string());
        if json.trim_ascii_start().first() != Some(&b'{') {
            let found = serde_json::from_slice::<Value>(json).map_err(not_json)?;
            return Err(ProfileError::NotJson(format!("found {}", kind(&found))));
        }
        let fields: Fields = serde_json::from_slice(json).map_err(not_json)?;
        let id = match account {
            Some(account) => id(&Value::from(account)),
            None => id(&fields.id_str).or_else(|| id(&fields.id)),
        };
        let id = id.ok_or(ProfileError::NoId)?;
        let name = fields.name(&id).map(fold_name);
        if name.as_ref().is_some_and(|name| name.len() > LONGEST_KEY) {
            return Err(ProfileError::LongName);
        }
        Ok(Self { id, name, json: json.to_vec() })
    }
}

/// An id, which may be a number or a string.
pub(super) fn id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return None,
    };
    (!id.is_empty() && id.len() <= LONGEST_KEY).then_some(id)
}

/// A name in canonical form.
pub(super) fn fold_name(name: &str) -> String {
    name.strip_prefix('@').unwrap_or(name).to_lowercase()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_kept_as_it_came() {
        let json = br#" { "id":12 , "screen_name":"JoHn", "x": 1.0 } "#;
        let profile = Profile::parse(json).unwrap();
        assert_eq!((profile.id.as_str(), profile.name.as_deref()), ("12", Some("john")));
        assert_eq!(profile.json, json);
        let text = Profile::parse(br#"{"id_str":"did:plc:x","id":5}"#).unwrap();
        assert_eq!((text.id.as_str(), text.name), ("did:plc:x", None));
        let named = Profile::parse_of(Some("a"), br#"{"did":"a"}"#).unwrap();
        assert_eq!(
            (named.id.as_str(), Profile::parse_of(Some(""), br#"{"id":1}"#)),
            ("a", Err(ProfileError::NoId))
        );
        assert_eq!(Profile::parse(br#"{"id":18446744073709551615}"#).unwrap().id, u64::MAX.to_string());
    }

    #[test]
    fn an_account_of_each_network_has_its_name() {
        for (id, json, name) in [
            ("7", r#"{"id":7,"screen_name":"Ada","username":"other"}"#, Some("ada")),
            ("did:plc:a", r#"{"did":"did:plc:a","handle":"Ada.test","displayName":"A"}"#, Some("ada.test")),
            ("ada@h1.test", r#"{"id":"9","username":"ada","acct":"ada"}"#, Some("ada@h1.test")),
            ("7", r#"{"id":"7","username":"Ada","name":"A"}"#, Some("ada")),
            ("7", r#"{"id":"7","screen_name":null,"handle":""}"#, None),
        ] {
            let profile = Profile::parse_of(Some(id), json.as_bytes()).unwrap();
            assert_eq!((profile.id.as_str(), profile.name.as_deref()), (id, name), "{json}");
        }
    }

    #[test]
    fn what_is_no_profile_is_refused_with_the_reason() {
        let error = |json: &[u8]| Profile::parse(json).unwrap_err().to_string();
        assert_eq!(error(b"[1]"), "not a JSON object: found an array");
        assert!(error(b"{").starts_with("not a JSON object: EOF"));
        assert!(error(b"").starts_with("not a JSON object: EOF"));
        assert!(error(b"{\"id\":1}x").starts_with("not a JSON object: trailing"));
        for json in
            [r#"{}"#, r#"{"id":null}"#, r#"{"id":-1}"#, r#"{"id":1.5}"#, r#"{"id":""}"#, r#"{"id":[1]}"#]
        {
            assert_eq!(Profile::parse(json.as_bytes()), Err(ProfileError::NoId), "{json}");
        }
        let large = vec![b' '; LARGEST_PROFILE + 1];
        assert_eq!(Profile::parse(&large), Err(ProfileError::TooLarge(LARGEST_PROFILE + 1)));
        let name = "x".repeat(LONGEST_KEY + 1);
        assert_eq!(
            Profile::parse(format!(r#"{{"id":1,"screen_name":"{name}"}}"#).as_bytes()),
            Err(ProfileError::LongName)
        );
    }
}
