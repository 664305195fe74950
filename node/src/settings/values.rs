//! Parsers of values. Each error says what is wrong and what is allowed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use storage::dataset::{Compression, FollowersFormat};
use storage::net::redis::RedisUrl;

use super::LogFormat;
use crate::address::{AddressError, AddressList};
use crate::source::twitter::{check_base_url, check_bearer};

/// Shortest monitor token, characters.
const SHORTEST_MONITOR_TOKEN: usize = 8;

/// A whole number within bounds.
pub(super) fn number(allowed: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let bounds = || match *allowed.end() {
            u64::MAX => format!("give a number from {} on", allowed.start()),
            end => format!("give a number from {} to {end}", allowed.start()),
        };
        let number =
            text.trim().parse::<u64>().map_err(|_| format!("{text:?} is no such number; {}", bounds()))?;
        if allowed.contains(&number) {
            Ok(number)
        } else {
            Err(format!("{number} is out of bounds; {}", bounds()))
        }
    }
}

/// A text that is not empty.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty; give a value".to_owned()) } else { Ok(text.to_owned()) }
}

/// The name of an outside address: it is a part of names of budgets.
pub(super) fn nat(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} is no name of 1 to 64 letters, digits and signs without spaces")),
    }
}

/// Base URL of the API.
pub(super) fn api_url(text: &str) -> Result<String, String> {
    check_base_url(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
}

/// A token that fits into a header.
pub(super) fn token(token: &str) -> Result<String, String> {
    let token = text(token)?;
    check_bearer(&token).map(|()| token).map_err(|e| e.to_string())
}

/// The URL of a Redis.
pub(super) fn redis_url(text: &str) -> Result<RedisUrl, String> {
    RedisUrl::parse(text).map_err(|e| e.to_string())
}

/// A token that is hard to guess.
pub(super) fn monitor_token(text: &str) -> Result<String, String> {
    let token = token(text)?;
    if token.len() < SHORTEST_MONITOR_TOKEN {
        return Err(format!(
            "it has {} characters and could be guessed; give at least {SHORTEST_MONITOR_TOKEN}",
            token.len()
        ));
    }
    Ok(token)
}

/// On or off.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off; give true or false")),
    }
}

/// A time such as `250ms`, `3s`, `2m`, `1h` or `30d`, within bounds.
pub(super) fn time(allowed: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let bounds = || {
            format!(
                "give a time from {:?} to {:?}, such as 500ms, 3s, 2m or 30d",
                allowed.start(),
                allowed.end()
            )
        };
        let time = humantime::parse_duration(text.trim())
            .map_err(|_| format!("{text:?} is no time; {}", bounds()))?;
        if allowed.contains(&time) { Ok(time) } else { Err(format!("{text} is out of bounds; {}", bounds())) }
    }
}

/// `HOST:PORT`.
pub(super) fn host_port(text: &str) -> Result<String, String> {
    let form = "give HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000";
    let (host, port) = text.trim().rsplit_once(':').ok_or_else(|| format!("{text:?} has no port; {form}"))?;
    if port.parse::<u16>().is_err() {
        return Err(format!("{port:?} is no port; {form}"));
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(char::is_whitespace) || (host.contains(':') && !bracketed) {
        return Err(format!("{host:?} is no host; {form}"));
    }
    Ok(text.trim().to_owned())
}

/// A setting for display: without the password of a URL, even of one that the `url` crate refuses.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((who, host)) = authority.rsplit_once('@') else { return text.to_owned() };
    let Some((user, _password)) = who.split_once(':') else { return text.to_owned() };
    format!("{scheme}://{user}:***@{host}{}", &rest[authority.len()..])
}

/// `1=HOST:PORT,2=HOST:PORT,...`, in any order.
pub(super) fn peers(text: &str) -> Result<BTreeMap<u64, String>, String> {
    let form = "give 1=HOST:PORT,2=HOST:PORT,...";
    let mut peers = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (id, address) =
            entry.split_once('=').ok_or_else(|| format!("{entry:?} names no node; {form}"))?;
        let id = id.trim().parse::<u64>().ok().filter(|&id| id > 0);
        let id = id.ok_or_else(|| format!("{entry:?}: the id is no positive number; {form}"))?;
        let address = host_port(address).map_err(|what| format!("{entry:?}: {what}"))?;
        if address.ends_with(":0") {
            return Err(format!(
                "{entry:?}: port 0 leaves the choice open, but the peers have to know it; {form}"
            ));
        }
        if let Some((other, _)) = peers.iter().find(|&(_, known)| *known == address) {
            return Err(format!(
                "nodes {other} and {id} have the same address {address}; each needs its own"
            ));
        }
        if peers.insert(id, address).is_some() {
            return Err(format!("node {id} is named twice; name each node once"));
        }
    }
    if peers.is_empty() { Err(format!("it names no node; {form}")) } else { Ok(peers) }
}

/// `HOST:PORT,HOST:PORT,...`.
pub(super) fn endpoints(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(host_port).collect()
}

/// Number of voters.
pub(super) fn voters(text: &str) -> Result<usize, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err(format!(
            "{text:?} is no number of voters; give 3 or 5: an even number stops at as few losses as one less"
        )),
    }
}

/// Local addresses.
pub(super) fn ips(text: &str) -> Result<AddressList, String> {
    // The error names the flag, which the problem's own origin names better.
    text.parse().map_err(|e: AddressError| e.to_string().trim_start_matches("--ips: ").to_owned())
}

/// How the dataset is compressed.
pub(super) fn compression(text: &str) -> Result<Compression, String> {
    text.parse()
}

/// The format of followers files.
pub(super) fn followers_format(text: &str) -> Result<FollowersFormat, String> {
    match text {
        "text" => Ok(FollowersFormat::Text),
        "packed" => Ok(FollowersFormat::Packed),
        _ => Err(format!("{text:?} is no such format; give text or packed")),
    }
}

/// The format of log lines.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is no such format; give text or json")),
    }
}

/// A filter of log lines.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(format!(
            "{text:?}: {e}; give error, warn, info, debug or trace, or by part as in warn,node=debug"
        )),
    }
}
