//! Answers of the API: pages, look-ups, error statuses and their headers.
#![no_main]

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use node::rate::RateInfo;
use node::source::twitter::fuzz;
use node::source::{Profile, SourceError, TimelinePage};
use storage::ids::PostId;

/// Longest wait that a node accepts.
const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3600);
/// Maximum length of an error text, in bytes, including the quoted part of the answer.
const LONGEST_ERROR: usize = 2_000;

fn run(data: &[u8]) {
    let Some((mode, body)) = data.split_first() else { return };
    match mode % 5 {
        0 => timeline(body),
        1 => followers(body),
        2 => check(fuzz::profiles(body), |profiles| profiles.iter().for_each(profile)),
        3 => headers(body),
        _ => refusal(u16::from(*mode) * 3, body, mode & 8 != 0),
    }
}

fn check<T>(outcome: Result<T, SourceError>, good: impl FnOnce(T)) {
    match outcome {
        Ok(page) => good(page),
        Err(error) => short(&error),
    }
}

fn short(error: &SourceError) {
    let text = error.to_string();
    assert!(text.len() < LONGEST_ERROR, "{} bytes", text.len());
}

fn timeline(body: &[u8]) {
    let whole = String::from_utf8_lossy(body).into_owned();
    let falls = |page: &TimelinePage| {
        let ids: Vec<u64> = page.items().iter().map(|item| number(&item.id)).collect();
        assert!(ids.is_sorted_by(|a, b| a >= b) && !ids.contains(&0));
        // The rest of the walk is below all received ids.
        let next = page.next.as_deref().map(|next| next.parse::<u64>().unwrap());
        assert!(next.is_none_or(|next| ids.iter().all(|id| next < *id)));
        assert!(page.posts().all(|(_, json)| json.starts_with('{') && whole.contains(json)));
        next
    };
    check(fuzz::timeline(body, None), |page| {
        let Some(next) = falls(&page) else { return };
        // The same page again would make the walk loop.
        let cursor = next.to_string();
        assert!(matches!(fuzz::timeline(body, Some(&cursor)), Err(SourceError::Loops { .. })));
    });
    check(fuzz::timeline(body, Some("1000")), |page| {
        assert!(falls(&page).is_none_or(|next| next < 1000));
    });
}

fn number(id: &PostId) -> u64 {
    match id {
        PostId::Number(number) => *number,
        PostId::Text(text) => panic!("{text} is no id of a tweet"),
    }
}

fn followers(body: &[u8]) {
    check(fuzz::followers(body, "-1"), |page| {
        assert!(page.ids.len() + page.unusable <= body.len());
        assert!(page.ids.iter().all(|id| id.to_string().parse().as_ref() == Ok(id)));
        assert!(page.next.as_deref().is_none_or(|next| !next.is_empty() && next != "-1" && next != "0"));
    });
}

fn profile(profile: &Profile) {
    assert!(profile.raw.get().starts_with('{'));
    assert_eq!(profile.id.to_string().parse().as_ref(), Ok(&profile.id));
}

/// One header per line, whose first byte selects the name.
fn headers(body: &[u8]) {
    let names = [
        "date",
        "retry-after",
        "x-rate-limit-reset",
        "x-ratelimit-reset",
        "ratelimit-reset",
        "x-rate-limit-remaining",
        "x-rate-limit-limit",
    ];
    let mut headers = HeaderMap::new();
    for line in body.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(names[usize::from(*name) % names.len()]);
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.insert(name, value);
    }
    let rate = RateInfo::from_headers(200, &headers, Duration::from_secs(1_795_422_061));
    let waits = [rate.reset_in, rate.retry_after];
    assert!(waits.into_iter().flatten().all(|wait| wait <= LONGEST_WAIT));
    assert_eq!(rate.reset_in.is_some(), rate.window.is_some());
}

fn refusal(status: u16, body: &[u8], about_user: bool) {
    let mut rate = RateInfo::unanswered();
    let error = fuzz::refusal(status, body, &mut rate, about_user);
    short(&error);
    assert_eq!(rate.limited, matches!(error, SourceError::Limited { .. }));
    assert!(about_user || !matches!(error, SourceError::Gone { .. }));
}

fuzz_target!(init: twm_fuzz::seeds_of("api_answer", &[0, 1, 2, 3, 4]), |data: &[u8]| run(data));
