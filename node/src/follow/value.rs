//! Converts profiles to CEL values.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::source::{FieldNames, Profile};

/// The fields of a profile that a rule reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fields {
    /// These.
    These(BTreeSet<String>),
    /// It uses `user` as a whole.
    All,
}

impl Fields {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::These(names) => names.contains(name),
            Self::All => true,
        }
    }

    /// Whether a name is wanted that the object itself does not have. A rule on Twitter's profile as a whole is one on the
    /// object.
    fn has_common(&self, name: &str, names: FieldNames) -> bool {
        self.has(name) && !(names.are_own() && *self == Self::All)
    }
}

/// The field that holds the network's own object.
pub(super) const RAW: &str = "raw";

/// The profile as the value of `user`, with only the fields that the rule reads. Parsing ends with the last of them.
pub(super) fn profile_value(
    json: &str,
    names: FieldNames,
    fields: &Fields,
) -> Result<Value, serde_json::Error> {
    let mut found = HashMap::new();
    let mut complete = false;
    if fields.has_common(RAW, names) {
        let CelValue(raw) = serde_json::from_str(json)?;
        found.insert(Key::String(Arc::new(RAW.to_owned())), raw);
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let visitor = ProfileVisitor { names, fields, found: &mut found, complete: &mut complete };
    let outcome = reader.deserialize_map(visitor);
    match outcome {
        // The rest of the object was checked when it was taken from the answer.
        Err(error) if !complete => Err(error),
        _ => Ok(Value::Map(Map { map: Arc::new(found) })),
    }
}

/// The value of `user`: the fields that all networks share, and the network's own object if the rule reads it.
pub(super) fn user_value(profile: &Profile, raw: bool, fields: &Fields) -> Result<Value, serde_json::Error> {
    let (object, names) = match &profile.common {
        Some(common) => (common, FieldNames::Twitter),
        None => (&profile.raw, profile.names),
    };
    let user = profile_value(object.get(), names, fields)?;
    let (true, Value::Map(map)) = (raw, &user) else { return Ok(user) };
    let mut fields = (*map.map).clone();
    let CelValue(own) = serde_json::from_str(profile.raw.get())?;
    fields.insert(Key::String(Arc::new(RAW.to_owned())), own);
    Ok(Value::Map(Map { map: Arc::new(fields) }))
}

struct ProfileVisitor<'a> {
    names: FieldNames,
    fields: &'a Fields,
    found: &'a mut HashMap<Key, Value>,
    complete: &'a mut bool,
}

impl<'de> Visitor<'de> for ProfileVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(wanted) = map.next_key_seed(WantedKey { names: self.names, fields: self.fields })? {
            if wanted.is_empty() {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let CelValue(value) = map.next_value()?;
            for name in wanted {
                self.found.insert(Key::String(Arc::new(name)), value.clone());
            }
            if matches!(self.fields, Fields::These(names) if names.len() == self.found.len()) {
                *self.complete = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// A key, as the names under which it is wanted.
struct WantedKey<'a> {
    names: FieldNames,
    fields: &'a Fields,
}

impl<'de> DeserializeSeed<'de> for WantedKey<'_> {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for WantedKey<'_> {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, field: &str) -> Result<Vec<String>, E> {
        let own = self.names.are_own().then_some(field);
        let common = self.names.known_as(field).iter().copied();
        let common = common.filter(|name| self.fields.has_common(name, self.names));
        Ok(common.chain(own.filter(|own| self.fields.has(own))).map(str::to_owned).collect())
    }
}

/// Any JSON value. Its depth is bounded by `serde_json`'s limit of 128.
struct CelValue(Value);

impl<'de> Deserialize<'de> for CelValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(Arc::new(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(CelValue(value)) = entries.next_element()? {
            values.push(value);
        }
        Ok(Value::List(Arc::new(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = HashMap::new();
        while let Some((name, CelValue(value))) = entries.next_entry::<String, _>()? {
            values.insert(Key::String(Arc::new(name)), value);
        }
        Ok(Value::Map(Map { map: Arc::new(values) }))
    }
}
