//! Posts and users as API v2 shows them, made from the objects of API v1.1 that the world has.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::wording::Names;
use crate::emulator::body::join;
use crate::emulator::world::{Accounts, TimelinePage, draw};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Purposes of random numbers.
mod purpose {
    pub const REFERENCE: u64 = 101;
    pub const MEDIA: u64 = 102;
    pub const PLACE: u64 = 103;
}

/// `2026-11-23T08:21:01.000Z` from `Mon Nov 23 08:21:01 +0000 2026`.
fn iso(date: &str) -> Option<String> {
    let mut words = date.split(' ').skip(1);
    let (month, day, time) = (words.next()?, words.next()?, words.next()?);
    let year = words.nth(1)?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Some(format!("{year}-{month:02}-{day}T{time}.000Z"))
}

/// `2026-11-23` of a moment in Unix seconds.
pub(super) fn iso_date(unix: u64) -> String {
    let mut text = String::new();
    crate::emulator::world::write_date(unix, &mut text);
    iso(&text).map_or_else(String::new, |date| date.chars().take(10).collect())
}

/// A user with all its fields.
pub(super) fn user(accounts: &Accounts, names: &Names, id: u64) -> Option<Map<String, Value>> {
    let old: Value = serde_json::from_slice(&accounts.profile(id)?).ok()?;
    let count = |name: &str| old[name].as_u64().unwrap_or(0);
    let user = json!({
        "id": id.to_string(),
        "name": old["name"], "username": old["screen_name"], "description": old["description"],
        "location": old["location"], "url": old["url"], "protected": old["protected"], "verified": false,
        "verified_type": "none", "created_at": iso(old["created_at"].as_str()?),
        "profile_image_url": old["profile_image_url_https"],
        "public_metrics": {
            "followers_count": count("followers_count"), "following_count": count("friends_count"),
            "listed_count": count("listed_count"), "like_count": count("favourites_count"),
            names.posts_count: count("statuses_count"),
        },
        names.pinned: (id * 1000 + 1).to_string(),
    });
    object(user)
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// The posts of a page with all their fields, newest first.
pub(super) fn posts(
    accounts: &Accounts,
    names: &Names,
    owner: u64,
    page: TimelinePage,
) -> Vec<(u64, Map<String, Value>)> {
    let page = join(accounts.timeline_page(owner, page));
    let old: Vec<Value> = serde_json::from_slice(&page).unwrap_or_default();
    old.iter().filter_map(|old| Some((old["id"].as_u64()?, post(accounts, names, owner, old)?))).collect()
}

fn post(accounts: &Accounts, names: &Names, owner: u64, old: &Value) -> Option<Map<String, Value>> {
    let id = old["id"].as_u64()?;
    let mut post = bare_post(names, id, owner, old["text"].as_str()?)?;
    post.insert("created_at".into(), iso(old["created_at"].as_str()?)?.into());
    post.insert("lang".into(), old["lang"].as_str().unwrap_or("und").into());
    post.insert("conversation_id".into(), id.to_string().into());
    post.insert("possibly_sensitive".into(), false.into());
    let references = references(accounts, id);
    if let Some((_, _, author)) = references.iter().find(|(kind, ..)| *kind == "replied_to") {
        post.insert("in_reply_to_user_id".into(), author.to_string().into());
    }
    if !references.is_empty() {
        let list = references.iter().map(|(kind, id, _)| json!({"type": kind, "id": id.to_string()}));
        post.insert(names.references.into(), list.collect());
    }
    let media = media_keys(id);
    if !media.is_empty() {
        post.insert("attachments".into(), json!({"media_keys": media}));
    }
    if let Some(place) = place(id) {
        post.insert("geo".into(), json!({"place_id": place}));
    }
    Some(post)
}

fn bare_post(names: &Names, id: u64, author: u64, text: &str) -> Option<Map<String, Value>> {
    object(json!({
        "id": id.to_string(), "text": text, "author_id": author.to_string(),
        names.edit_history: [id.to_string()],
        "public_metrics": {
            names.reposts: id % 7, "reply_count": id % 5, "like_count": id % 90, "quote_count": id % 3,
            "bookmark_count": id % 2, "impression_count": id % 5000,
        },
    }))
}

/// The posts that a post refers to: how, which, and whose. They are no part of any timeline here.
pub(super) fn references(accounts: &Accounts, post: u64) -> Vec<(&'static str, u64, u64)> {
    let number = draw(accounts.count(), post, purpose::REFERENCE);
    let whose =
        |salt: u64| accounts.at((number >> 8).wrapping_add(salt) % accounts.count().max(1)).unwrap_or(1);
    let which = |salt: u64| (post - post / 1000).saturating_sub(number % 1000 + salt).max(1);
    match number % 6 {
        0 => vec![("retweeted", which(1), whose(0))],
        1 => vec![("replied_to", which(2), whose(1))],
        2 => vec![("quoted", which(3), whose(2)), ("replied_to", which(4), whose(3))],
        _ => Vec::new(),
    }
}

/// A post that another one refers to.
pub(super) fn referenced(names: &Names, id: u64, author: u64) -> Option<Map<String, Value>> {
    bare_post(names, id, author, "A post that another one refers to.")
}

/// The pinned post of a user.
pub(super) fn pinned(names: &Names, user: u64) -> Option<(u64, Map<String, Value>)> {
    let id = user * 1000 + 1;
    Some((id, bare_post(names, id, user, "A pinned post.")?))
}

pub(super) fn media_keys(post: u64) -> Vec<String> {
    let number = draw(1, post, purpose::MEDIA);
    (0..number % 8).filter(|_| number % 8 < 3).map(|n| format!("3_{}", post.wrapping_add(n))).collect()
}

pub(super) fn media(key: &str) -> Option<Map<String, Value>> {
    object(json!({"media_key": key, "type": "photo"}))
}

pub(super) fn place(post: u64) -> Option<String> {
    let number = draw(1, post, purpose::PLACE);
    (number % 10 == 0).then(|| format!("{:016x}", number >> 32))
}

pub(super) fn place_object(id: &str) -> Option<Map<String, Value>> {
    object(json!({"id": id, "full_name": "Torino, Piemonte"}))
}

/// Keeps the fields that were asked for, and those that always come.
pub(super) fn select(mut from: Map<String, Value>, always: &[&str], asked: &BTreeSet<String>) -> Value {
    from.retain(|name, _| always.contains(&name.as_str()) || asked.contains(name));
    Value::Object(from)
}

/// `Mon, 23 Nov 2026 08:21:01 GMT` of a moment in Unix seconds.
pub(super) fn http_date(unix: u64) -> String {
    let mut text = String::new();
    crate::emulator::world::write_date(unix, &mut text);
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        [weekday, month, day, time, _, year] => format!("{weekday}, {day} {month} {year} {time} GMT"),
        _ => text,
    }
}
