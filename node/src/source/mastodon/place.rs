//! Cursors of a walk through the pages of an account.

/// Longest id or `max_id` of a host, in bytes.
const LONGEST: usize = 200;

/// What the next request of a walk is. A cursor holds the account's id at its home, so that a walk that goes on at
/// another node needs no look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// No cursor: the first page, if the account's id is known; else its look-up.
    Start,
    /// The look-up, even if the id is known.
    LookUp,
    /// The first page of the account with this id.
    First(String),
    /// The page of posts or follows before `max_id`.
    Before { id: String, max_id: String },
}

impl Place {
    /// Reads a cursor; `None` if it is none of this source.
    pub fn parse(cursor: Option<&str>) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self::Start) };
        if cursor == "?" {
            return Some(Self::LookUp);
        }
        match cursor.split_once('/') {
            None => is_id(cursor).then(|| Self::First(cursor.to_owned())),
            Some((id, max_id)) => (is_id(id) && is_max_id(max_id))
                .then(|| Self::Before { id: id.to_owned(), max_id: max_id.to_owned() }),
        }
    }

    /// The cursor; `None` at the start.
    pub fn cursor(&self) -> Option<String> {
        match self {
            Self::Start => None,
            Self::LookUp => Some("?".to_owned()),
            Self::First(id) => Some(id.clone()),
            Self::Before { id, max_id } => Some(format!("{id}/{max_id}")),
        }
    }

    /// Whether Mastodon counts the request against its limit of pages as well.
    pub fn is_paging(&self) -> bool {
        matches!(self, Self::Before { .. })
    }
}

/// Whether a text can be an account's id: digits, or letters and digits. It becomes a part of a path.
pub(super) fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether a text can be the `max_id` of a page, which is opaque.
pub(super) fn is_max_id(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_others_are_refused() {
        let id = "117440810532227399".to_owned();
        let before = Place::Before { id: id.clone(), max_id: "a/b=?".to_owned() };
        for place in [Place::Start, Place::LookUp, Place::First(id), before] {
            assert_eq!(Place::parse(place.cursor().as_deref()), Some(place));
        }
        for cursor in ["", "-1/", "a/", "/5", "../x/5", "a b", "1/\n", &"1".repeat(201)] {
            assert_eq!(Place::parse(Some(cursor)), None, "{cursor:?}");
        }
        assert_eq!(Place::parse(Some("5/6")).map(|place| place.is_paging()), Some(true));
        assert_eq!(Place::parse(Some("5")).map(|place| place.is_paging()), Some(false));
    }
}
