//! Parses the call in a request.

use super::answer::Refusal;
use super::query::Query;
use crate::emulator::Endpoint;
use crate::emulator::world::{Accounts, TimelinePage};

/// Maximum tweets on a page, and the default number (API v1.1, `user_timeline`).
const TIMELINE_PAGE: u64 = 200;
const TIMELINE_DEFAULT: u64 = 20;
/// Maximum accounts in a lookup (API v1.1, `users/lookup`).
const LOOKUP_MOST: usize = 100;
/// Cursors are as large as real ones, which a 64-bit float cannot represent exactly.
pub(super) const CURSOR_BASE: u64 = 1_300_000_000_000_000_000;

/// A parsed request. An unknown screen name becomes id 0, which no account has.
pub(super) enum Call {
    Timeline { user: u64, page: TimelinePage },
    Followers { user: u64, offset: u64, count: usize, as_text: bool },
    Lookup { users: Vec<u64> },
    Show { user: u64 },
    Limits,
}

const NOBODY: u64 = 0;

impl Call {
    /// Parses the parameters of a request to `endpoint`; `page_size` is the maximum number of followers on a
    /// page.
    pub fn read(
        endpoint: Endpoint,
        query: &Query,
        accounts: &Accounts,
        page_size: usize,
    ) -> Result<Self, Refusal> {
        match endpoint {
            Endpoint::Timeline => {
                let count = query.number("count")?.unwrap_or(TIMELINE_DEFAULT).min(TIMELINE_PAGE);
                let (since, max) = (query.number("since_id")?, query.number("max_id")?);
                let page = TimelinePage { since, max, count: count as usize };
                Ok(Self::Timeline { user: user(query, accounts)?, page })
            }
            Endpoint::Followers => {
                let count = query.number("count")?.map_or(page_size, |count| page_size.min(count as usize));
                let offset = offset(query.text("cursor"))?;
                let as_text = query.flag("stringify_ids");
                Ok(Self::Followers { user: user(query, accounts)?, offset, count: count.max(1), as_text })
            }
            Endpoint::Lookup => users(query, accounts).map(|users| Self::Lookup { users }),
            Endpoint::Show => user(query, accounts).map(|user| Self::Show { user }),
            Endpoint::Limits => Ok(Self::Limits),
        }
    }

    /// The accounts that the request is about.
    pub fn users(&self) -> &[u64] {
        match self {
            Self::Timeline { user, .. } | Self::Followers { user, .. } | Self::Show { user } => {
                std::slice::from_ref(user)
            }
            Self::Lookup { users } => users,
            Self::Limits => &[],
        }
    }
}

fn user(query: &Query, accounts: &Accounts) -> Result<u64, Refusal> {
    if let Some(id) = query.number("user_id")? {
        return Ok(id);
    }
    let name = query.text("screen_name").ok_or(Refusal::NO_ACCOUNT_NAMED)?;
    Ok(accounts.find(name).unwrap_or(NOBODY))
}

fn users(query: &Query, accounts: &Accounts) -> Result<Vec<u64>, Refusal> {
    let ids = query.list("user_id").map(|id| id.parse().unwrap_or(NOBODY));
    let named = query.list("screen_name").map(|name| accounts.find(name).unwrap_or(NOBODY));
    let mut users: Vec<u64> = ids.chain(named).take(LOOKUP_MOST + 1).collect();
    match users.len() {
        0 => return Err(Refusal::NO_ACCOUNT_NAMED),
        1..=LOOKUP_MOST => {}
        _ => return Err(Refusal::TOO_MANY),
    }
    let mut seen = std::collections::HashSet::new();
    users.retain(|id| *id != NOBODY && seen.insert(*id));
    Ok(users)
}

/// The position of the first follower on the page that a cursor names; no cursor and -1 name the first page.
fn offset(cursor: Option<&str>) -> Result<u64, Refusal> {
    match cursor {
        None | Some("-1") => Ok(0),
        Some(text) => {
            let offset = text.parse::<u64>().ok().and_then(|cursor| cursor.checked_sub(CURSOR_BASE));
            offset.ok_or(Refusal::BAD_PARAMETER)
        }
    }
}
