//! Bodies of successful responses.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::json;

use super::answer::{Answer, Refusal};
use super::call::CURSOR_BASE;
use crate::emulator::Endpoint;
use crate::emulator::body::Parts;
use crate::emulator::faults::Fault;
use crate::emulator::limits::Allowance;
use crate::emulator::world::{Accounts, Standing, TimelinePage};

fn require_open(accounts: &Accounts, user: u64) -> Result<(), Refusal> {
    match accounts.standing(user) {
        Standing::Open => Ok(()),
        Standing::Gone(status) => Err(Refusal::gone(status)),
    }
}

pub(super) fn timeline(accounts: &Accounts, user: u64, page: TimelinePage) -> Answer {
    require_open(accounts, user)?;
    Ok(accounts.timeline_page(user, page))
}

/// A page of followers; a fault can set the next cursor to the first page or beyond the last one.
pub(super) fn followers(
    accounts: &Accounts,
    user: u64,
    offset: u64,
    count: usize,
    as_text: bool,
    fault: Option<Fault>,
) -> Answer {
    require_open(accounts, user)?;
    let mut ids = Vec::with_capacity(count);
    accounts.followers(user, offset, count, &mut ids);
    let end = offset + ids.len() as u64;
    let more = end < accounts.follower_count(user);
    let next = match (fault, more) {
        (Some(Fault::Looping), _) => CURSOR_BASE,
        (Some(Fault::Unending), _) => CURSOR_BASE + end.max(offset + 1),
        (_, true) => CURSOR_BASE + end,
        (_, false) => 0,
    };
    // The API returned the previous page as a negative cursor.
    let previous = if offset == 0 { "0".to_owned() } else { format!("-{}", CURSOR_BASE + offset) };

    let quote = if as_text { "\"" } else { "" };
    let mut body = String::with_capacity(ids.len() * 22 + 200);
    let mut digits = itoa::Buffer::new();
    body.push_str("{\"ids\":[");
    for (position, id) in ids.iter().enumerate() {
        if position > 0 {
            body.push(',');
        }
        body.push_str(quote);
        body.push_str(digits.format(*id));
        body.push_str(quote);
    }
    body.push_str(&format!(
        "],\"next_cursor\":{next},\"next_cursor_str\":\"{next}\",\
         \"previous_cursor\":{previous},\"previous_cursor_str\":\"{previous}\"}}"
    ));
    Ok(Parts::from([body.into()]))
}

/// The profiles that exist, in the requested order.
pub(super) fn lookup(accounts: &Accounts, users: &[u64]) -> Answer {
    let mut parts = VecDeque::with_capacity(2 * users.len() + 1);
    for profile in users.iter().filter_map(|user| accounts.profile(*user)) {
        parts.push_back(Bytes::from_static(if parts.is_empty() { b"[" } else { b"," }));
        parts.push_back(profile);
    }
    parts.push_back(Bytes::from_static(if parts.is_empty() { b"[]" } else { b"]" }));
    Ok(parts)
}

pub(super) fn show(accounts: &Accounts, user: u64) -> Answer {
    let missing = match accounts.standing(user) {
        Standing::Gone(403) => Refusal::SUSPENDED,
        _ => Refusal::NO_SUCH_USER,
    };
    accounts.profile(user).map(|profile| Parts::from([profile])).ok_or(missing)
}

/// The remaining budgets of the client, grouped by family as in API v1.1.
pub(super) fn limits(allowances: &[(Endpoint, Allowance)]) -> Answer {
    let mut families: BTreeMap<&str, BTreeMap<&str, serde_json::Value>> = BTreeMap::new();
    for (endpoint, left) in allowances {
        let (family, resource) = endpoint.resource();
        let entry = json!({"limit": left.limit, "remaining": left.remaining, "reset": left.reset_unix});
        families.entry(family).or_default().insert(resource, entry);
    }
    Ok(Parts::from([json!({ "resources": families }).to_string().into()]))
}
