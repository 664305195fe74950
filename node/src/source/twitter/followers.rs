//! Twitter's pages of followers.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use storage::ids::UserId;

use crate::source::{FollowersPage, MOST_FOLLOWERS};

/// A page of followers and its next cursor.
pub(super) fn parse_followers(body: &[u8]) -> Result<(FollowersPage, String), String> {
    #[derive(Deserialize)]
    struct Body {
        ids: Ids,
        next_cursor_str: Option<String>,
        next_cursor: Option<i64>,
    }
    let text = std::str::from_utf8(body).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    let body: Body = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let next = body.next_cursor_str.or_else(|| body.next_cursor.map(|next| next.to_string()));
    let next = next.filter(|next| !next.is_empty()).ok_or("the next cursor is missing")?;
    Ok((FollowersPage { ids: body.ids.good, unusable: body.ids.unusable, ..FollowersPage::default() }, next))
}

/// Account ids as strings or numbers.
struct Ids {
    good: Vec<UserId>,
    unusable: usize,
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdsVisitor;
        impl<'de> Visitor<'de> for IdsVisitor {
            type Value = Ids;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of ids")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Ids, A::Error> {
                let mut ids = Ids { good: Vec::new(), unusable: 0 };
                while let Some(entry) = entries.next_element::<Entry>()? {
                    if ids.good.len() + ids.unusable == MOST_FOLLOWERS {
                        return Err(A::Error::custom(format_args!("more than {MOST_FOLLOWERS} followers")));
                    }
                    match entry.0 {
                        Some(id) => ids.good.push(id),
                        None => ids.unusable += 1,
                    }
                }
                Ok(ids)
            }
        }
        deserializer.deserialize_seq(IdsVisitor)
    }
}

/// One entry of a list of ids; `None` if it is invalid. Pages have thousands, so no intermediate values are
/// created.
struct Entry(Option<UserId>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id")
    }

    fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry(text.parse().ok().filter(|&id| id > 0).map(UserId::Number)))
    }

    fn visit_u64<E>(self, id: u64) -> Result<Entry, E> {
        Ok(Entry((id > 0).then_some(UserId::Number(id))))
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<Entry, E> {
        Ok(Entry(None))
    }

    fn visit_f64<E>(self, _fraction: f64) -> Result<Entry, E> {
        Ok(Entry(None))
    }

    fn visit_bool<E>(self, _truth: bool) -> Result<Entry, E> {
        Ok(Entry(None))
    }

    fn visit_unit<E>(self) -> Result<Entry, E> {
        Ok(Entry(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entry, A::Error> {
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Entry, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Entry(None))
    }
}
