//! Accounts as JSON, with the fields of Mastodon 4.7.

use serde_json::json;

use super::population::{Population, Standing};
use super::{HostKind, ids};
use crate::emulator::world::{draw, iso_date};

/// 2017-01-01, from which accounts exist, and a day.
const FIRST_DAY: u64 = 1_483_228_800;
const DAY: u64 = 86_400;

/// An account as `host` shows it.
pub(super) fn account(population: &Population, host: u32, number: u64) -> String {
    let (username, home) = (population.username(number), population.home_domain(number));
    let local = home == Population::domain(host);
    let standing = population.standing(number);
    let suspended = local && standing == Standing::Suspended;
    let acct = if local { username.clone() } else { format!("{username}@{home}") };
    let id = population.spelled(host, ids::account_id(host, number));
    // Another host knows only the posts and follows that reached it.
    let part = if local { 1 } else { 3 };
    let pick = |purpose| draw(population.options.seed, number, purpose);
    let posts = population.posts(number).len() as u64 / part;
    let followers = population.follower_count(number) / part;
    let created = iso_date((FIRST_DAY + pick(21) % 3000 * DAY) * 1_000_000, 3);
    let note = if suspended { String::new() } else { format!("<p>notes of {username} &amp; friends</p>") };
    let name = if suspended { String::new() } else { format!("{username} \u{1f418} \"x\"") };
    let image = |kind: &str| format!("https://{}/{kind}/original/missing.png", Population::domain(host));
    let bot = pick(22) % 10 == 0;
    let (avatar, header) = (image("avatars"), image("headers"));
    let text = |text: &str| json!(text).to_string();
    let mut out = format!(
        "{{\"id\":\"{id}\",\"username\":\"{username}\",\"acct\":\"{acct}\",\"display_name\":{},\"locked\":{},\
         \"bot\":{bot},\"discoverable\":{},\"indexable\":false,\"group\":false,\"created_at\":\"{created}\",\
         \"note\":{},\"url\":\"https://{home}/@{username}\",\"uri\":\"https://{home}/ap/users/{number}\",\
         \"avatar\":\"{avatar}\",\"avatar_static\":\"{avatar}\",\"avatar_description\":\"\",\
         \"header\":\"{header}\",\"header_static\":\"{header}\",\"header_description\":\"\",\
         \"followers_count\":{followers},\"following_count\":{},\"statuses_count\":{posts}",
        text(&name),
        pick(23) % 5 == 0,
        if pick(24) % 2 == 0 { "null" } else { "true" },
        text(&note),
        pick(25) % 400,
    );
    let last = if posts > 0 { "\"2026-10-14\"" } else { "null" };
    out.push_str(&format!(",\"last_status_at\":{last}"));
    if population.kind(host) != HostKind::Old {
        let hidden = if standing == Standing::HiddenFollowers { "true" } else { "null" };
        out.push_str(&format!(
            ",\"hide_collections\":{hidden},\"show_media\":true,\"show_media_replies\":true,\
             \"show_featured\":true,\"noindex\":false,\"feature_approval\":{{\"automatic\":[],\"manual\":[],\
             \"current_user\":\"denied\"}}"
        ));
    }
    if suspended {
        out.push_str(",\"suspended\":true");
    }
    out.push_str(",\"emojis\":[],\"roles\":[],\"fields\":[]}");
    out
}
