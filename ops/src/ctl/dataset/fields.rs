//! Fields of tweets, as `cat -e` prints them.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Comma-separated fields, each a path into the object: `created_at,user/screen_name,text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<Vec<String>>);

impl FromStr for Fields {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: Vec<Vec<String>> =
            text.split(',').map(|field| field.split('/').map(str::to_owned).collect()).collect();
        if fields.iter().flatten().any(String::is_empty) {
            return Err(
                "expected names with commas between, like created_at,user/screen_name,text".to_owned()
            );
        }
        Ok(Self(fields))
    }
}

impl Fields {
    /// Appends the fields of a JSON object to `line`, separated by tabs.
    pub fn write_tabbed(&self, json: &str, line: &mut String) {
        for (n, path) in self.0.iter().enumerate() {
            if n > 0 {
                line.push('\t');
            }
            if let Some(value) = find(json, path) {
                write_plain(value, line);
            }
        }
    }

    /// Appends the fields of a JSON object to `line`, as a JSON array; a missing one is `null`.
    pub fn write_json(&self, json: &str, line: &mut String) {
        line.push('[');
        for (n, path) in self.0.iter().enumerate() {
            if n > 0 {
                line.push(',');
            }
            line.push_str(find(json, path).map_or("null", RawValue::get));
        }
        line.push(']');
    }
}

/// The value at a path. A number is an index into an array.
fn find<'a>(json: &'a str, path: &[String]) -> Option<&'a RawValue> {
    let mut value: &RawValue = serde_json::from_str(json).ok()?;
    for name in path {
        let mut inner = serde_json::Deserializer::from_str(value.get());
        value = Child { name, lifetime: PhantomData }.deserialize(&mut inner).ok()??;
    }
    Some(value)
}

/// A string without its quotes, nothing for `null`, anything else as in the file. What would break the line
/// or control a terminal is escaped as in JSON.
fn write_plain(value: &RawValue, line: &mut String) {
    let raw = value.get();
    if raw == "null" {
        return;
    }
    if !raw.starts_with('"') {
        return line.push_str(&raw.replace(['\n', '\r', '\t'], " "));
    }
    // An unpaired surrogate is not a string; the field is then printed as it is.
    let Ok(text) = serde_json::from_str::<String>(raw) else { return line.push_str(raw) };
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            // Writing to a String cannot fail.
            c if c.is_control() => drop(write!(line, "\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
}

/// Finds the value of one name in an object, or of one index in an array.
struct Child<'n, 'a> {
    name: &'n str,
    lifetime: PhantomData<&'a ()>,
}

impl<'de> DeserializeSeed<'de> for Child<'_, 'de> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Child<'_, 'de> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.name {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let place: Option<usize> = self.name.parse().ok();
        let mut found = None;
        let mut n = 0;
        while Some(n) != place {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
            n += 1;
        }
        if let Some(value) = items.next_element()? {
            found = Some(value);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWEET: &str = r#"{"id": 12345678901234567890123, "text": "a\tb\n\"c\" \\ \u001b[2J é",
        "user": {"screen_name": "jack", "lang": null, "id": 7}, "truncated": false,
        "entities": {"hashtags": [{"text": "x"}, {"text": "y"}]}, "geo": null, "odd": "\ud800"}"#;

    fn tabbed(fields: &str) -> String {
        let mut line = String::new();
        fields.parse::<Fields>().unwrap().write_tabbed(TWEET, &mut line);
        line
    }

    #[test]
    fn fields_are_separated_by_tabs_and_stay_on_their_line() {
        assert_eq!(tabbed("id,user/screen_name,truncated"), "12345678901234567890123\tjack\tfalse");
        assert_eq!(tabbed("text"), r#"a\tb\n"c" \\ \u001b[2J é"#);
        assert_eq!(tabbed("entities/hashtags/1/text,entities/hashtags/2/text"), "y\t");
        assert_eq!(tabbed("entities/hashtags/0"), r#"{"text": "x"}"#);
        assert_eq!(tabbed("odd"), r#""\ud800""#);
    }

    #[test]
    fn what_is_missing_or_null_is_empty() {
        assert_eq!(tabbed("geo,user/lang,nothing,text/inside,user/screen_name/inside,geo/lat"), "\t\t\t\t\t");
    }

    #[test]
    fn json_has_the_values_as_they_stand() {
        let mut line = String::new();
        let fields: Fields = "user/id,nothing,entities/hashtags/0/text,geo".parse().unwrap();
        fields.write_json(TWEET, &mut line);
        assert_eq!(line, r#"[7,null,"x",null]"#);
    }

    #[test]
    fn a_field_without_a_name_is_refused() {
        for bad in ["", ",", "a,", "a//b", "/a"] {
            assert!(bad.parse::<Fields>().is_err(), "{bad:?}");
        }
    }
}
