//! Rate windows, violations and counters, by client address.

use std::sync::Arc;
use std::time::Duration;

use storage::env::ManualClock;
use twm_tests::emulator::{Builder, Emulator, Endpoint, HeaderSpelling, Stats, SyntheticOptions};

use super::client::{get, get_from, open, post};

const START: u64 = 1_400_000_000;

fn limited(clock: &Arc<ManualClock>) -> Builder {
    Emulator::builder()
        .synthetic(SyntheticOptions::new(50, 1))
        .rate_limits("timeline=2/900s,followers=1/60s".parse().unwrap())
        .clock(Arc::clone(clock) as Arc<_>)
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_wall(Duration::from_secs(START)))
}

#[tokio::test]
async fn each_address_and_endpoint_has_its_own_window() {
    let clock = clock();
    let emulator = limited(&clock).start().await.unwrap();
    let timeline = format!("{}/1/statuses/user_timeline.json?user_id=3", emulator.url());
    let followers = format!("{}/1/followers/ids.json?user_id=3", emulator.url());
    let first = get_from("127.0.0.2", &timeline).await;
    assert_eq!(first.status, 200);
    assert!(first.header("date").is_some());
    assert_eq!(first.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(first.header("x-ratelimit-reset"), Some((START + 900).to_string().as_str()));

    clock.advance(Duration::from_secs(899));
    let last = get_from("127.0.0.2", &timeline).await;
    assert_eq!((last.status, last.header("x-ratelimit-remaining")), (200, Some("0")));
    let beyond = get_from("127.0.0.2", &timeline).await;
    assert_eq!((beyond.status, beyond.header("x-ratelimit-remaining")), (429, Some("0")));
    assert_eq!(beyond.header("retry-after"), None);
    assert_eq!(get_from("127.0.0.3", &timeline).await.status, 200);
    assert_eq!(get_from("127.0.0.2", &followers).await.status, 200);

    clock.advance(Duration::from_secs(1));
    assert_eq!(get_from("127.0.0.2", &timeline).await.status, 200);
    let stats = emulator.stats();
    let two = "127.0.0.2".parse().unwrap();
    assert_eq!(stats.requests_from(two, Endpoint::Timeline), 4);
    assert_eq!(stats.requests_from("127.0.0.3".parse().unwrap(), Endpoint::Timeline), 1);
    assert_eq!(stats.violations[&two][&Endpoint::Timeline], 1);
    assert_eq!(stats.total_violations(), 1);
    assert_eq!(stats.total_requests(), 6);
    assert_eq!(stats.statuses, [(200, 5), (429, 1)].into());
}

#[tokio::test]
async fn headers_are_spelled_as_told_and_absent_without_a_limit() {
    let clock = clock();
    let old = "x-ratelimit-remaining";
    let new = "x-rate-limit-remaining";
    for (spelling, path, present, absent) in [
        (HeaderSpelling::ByPath, "1", old, new),
        (HeaderSpelling::ByPath, "1.1", new, old),
        (HeaderSpelling::V1, "1.1", old, new),
        (HeaderSpelling::V1_1, "1", new, old),
    ] {
        let emulator = limited(&clock).headers(spelling).start().await.unwrap();
        let url = format!("{}/{path}", emulator.url());
        let reply = get(&format!("{url}/followers/ids.json?user_id=3")).await;
        assert_eq!(reply.header(present), Some("0"));
        assert_eq!(reply.header(absent), None);
        let unlimited = get(&format!("{url}/users/show.json?user_id=3")).await;
        assert_eq!((unlimited.header(old), unlimited.header(new)), (None, None));
    }
}

#[tokio::test]
async fn refusals_are_420_with_retry_after_when_asked_for() {
    let clock = clock();
    let status = 420.try_into().unwrap();
    let emulator = limited(&clock).limited_status(status).retry_after(true).start().await.unwrap();
    let url = format!("{}/1/followers/ids.json?user_id=3", emulator.url());
    get(&url).await;
    clock.advance(Duration::from_millis(15_500));
    let refused = get(&url).await;
    assert_eq!((refused.status, refused.header("retry-after")), (420, Some("45")));
    assert!(refused.json()["error"].is_string());
}

#[tokio::test]
async fn a_client_can_ask_what_it_has_left() {
    let clock = clock();
    let emulator = limited(&clock).start().await.unwrap();
    get(&format!("{}/1.1/followers/ids.json?user_id=3", emulator.url())).await;
    let left = get(&format!("{}/1.1/application/rate_limit_status.json", emulator.url())).await.json();
    let followers = &left["resources"]["followers"]["/followers/ids"];
    assert_eq!((followers["remaining"].as_u64(), followers["reset"].as_u64()), (Some(0), Some(START + 60)));
    assert_eq!(left["resources"]["statuses"]["/statuses/user_timeline"]["remaining"], 2);
}

#[tokio::test]
async fn a_reset_forgets_counters_and_windows() {
    let clock = clock();
    let emulator = limited(&clock).count_users(true).start().await.unwrap();
    let url = format!("{}/1/followers/ids.json?user_id=3", emulator.url());
    get(&url).await;
    get(&url).await;
    post(&format!("{}/1/users/lookup.json", emulator.url()), "user_id=3,4").await;
    get(&format!("{}/2/anything", emulator.url())).await;
    let stats: Stats =
        serde_json::from_value(get(&format!("{}/_emulator/stats", emulator.url())).await.json()).unwrap();
    assert_eq!(stats, emulator.stats());
    assert_eq!(stats.users[&Endpoint::Followers], [(3, 2)].into());
    assert_eq!(stats.users[&Endpoint::Lookup], [(3, 1), (4, 1)].into());
    assert_eq!((stats.unserved, stats.total_violations()), (1, 1));

    post(&format!("{}/_emulator/reset", emulator.url()), "").await;
    let stats = emulator.stats();
    assert_eq!((stats.total_requests(), stats.total_violations(), stats.unserved), (0, 0, 0));
    assert_eq!(get(&url).await.status, 200);
}

#[tokio::test]
async fn requests_in_flight_are_counted_until_their_last_byte() {
    let faults = twm_tests::emulator::faults::parse_rules("stall").unwrap();
    let builder = Emulator::builder().synthetic(SyntheticOptions::new(50, 1)).faults(faults);
    let emulator = builder.start().await.unwrap();
    let url = format!("{}/1/users/show.json?user_id=3", emulator.url());
    let stalled =
        [open("127.0.0.1", &url, None).await.unwrap(), open("127.0.0.4", &url, None).await.unwrap()];
    assert_eq!((emulator.stats().in_flight, emulator.stats().max_concurrent), (2, 2));
    drop(stalled);
    let gone = async {
        while emulator.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::client::DEADLINE, gone).await.expect("left connections end their requests");
}
