//! Every fault has its documented effect.

use std::io::Read;
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use storage::env::{Clock, SystemClock};
use tokio::time::timeout;
use twm_tests::emulator::{Emulator, Endpoint, Fault, FaultRule, SyntheticOptions};

use super::client::{get, open, post, try_get};

/// Long enough for a local answer, and short enough to wait for one that never arrives.
const A_MOMENT: Duration = Duration::from_millis(300);

struct Site {
    emulator: Emulator,
    user: u64,
}

impl Site {
    async fn new() -> Self {
        let builder = Emulator::builder().synthetic(SyntheticOptions::new(200, 6)).page_size(10);
        let emulator = builder.start().await.unwrap();
        let fits = |id: &u64| {
            (50..190).contains(&emulator.expected_timeline(*id).len())
                && emulator.expected_followers(*id).len() > 30
        };
        let user = emulator.users(0, 200).into_iter().find(fits).unwrap();
        Self { emulator, user }
    }

    fn set(&self, fault: Fault) {
        self.emulator.set_faults(vec![FaultRule::new(fault)]).unwrap();
    }

    fn timeline(&self) -> String {
        format!("{}/1.1/statuses/user_timeline.json?count=200&user_id={}", self.emulator.url(), self.user)
    }

    fn followers(&self) -> String {
        format!("{}/1.1/followers/ids.json?stringify_ids=true&user_id={}", self.emulator.url(), self.user)
    }

    fn lookup(&self) -> String {
        format!("{}/1.1/users/lookup.json?user_id=1,2,3,4,5", self.emulator.url())
    }
}

#[tokio::test]
async fn statuses_and_refusals_come_without_limit_headers() {
    let site = Site::new().await;
    for (fault, status, retry) in
        [(Fault::Status(503), 503, None), (Fault::Bare429, 429, None), (Fault::RetryAfter(7), 429, Some("7"))]
    {
        site.set(fault);
        let reply = get(&site.timeline()).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, retry));
        assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("x-rate")));
    }
    assert_eq!(site.emulator.stats().total_violations(), 0);
}

#[tokio::test]
async fn connections_break_before_or_within_the_answer() {
    let site = Site::new().await;
    site.set(Fault::Reset);
    let error = format!("{:#}", try_get(&site.timeline()).await.unwrap_err());
    assert!(error.contains("reset by peer"), "{error}");
    site.set(Fault::Cut);
    let response = open("127.0.0.1", &site.timeline(), None).await.unwrap();
    assert_eq!(response.status(), 200);
    let error = anyhow::Error::from(response.into_body().collect().await.unwrap_err());
    assert!(format!("{error:#}").contains("end of file before message length"), "{error:#}");
    // A reset can overtake data sent before it, so that even the status may not arrive.
    site.set(Fault::ResetBody);
    let error = format!("{:#}", try_get(&site.timeline()).await.unwrap_err());
    assert!(error.contains("reset by peer"), "{error}");
}

#[tokio::test]
async fn answers_hang_or_stall() {
    let site = Site::new().await;
    site.set(Fault::Hang);
    assert!(timeout(A_MOMENT, open("127.0.0.1", &site.timeline(), None)).await.is_err());
    site.set(Fault::Stall);
    let mut body = open("127.0.0.1", &site.timeline(), None).await.unwrap().into_body();
    let mut received = 0;
    while let Ok(frame) = timeout(A_MOMENT, body.frame()).await {
        received += frame.unwrap().unwrap().into_data().unwrap().len();
    }
    assert!(received > 10_000, "half of the page comes");
}

#[tokio::test]
async fn slow_bodies_and_latency_take_their_time() {
    let site = Site::new().await;
    let clock = SystemClock::new();
    let whole = get(&site.lookup()).await.body;
    site.set(Fault::Slow(4 * whole.len() as u64));
    assert_eq!(get(&site.lookup()).await.body, whole);
    assert!(clock.monotonic() > Duration::from_millis(200));
    site.set(Fault::LatencyMs(250));
    let before = clock.monotonic();
    assert_eq!(get(&site.lookup()).await.body, whole);
    assert!(clock.monotonic() - before >= Duration::from_millis(250));
}

#[tokio::test]
async fn bodies_are_endless_or_huge() {
    let site = Site::new().await;
    site.set(Fault::Endless);
    let response = open("127.0.0.1", &site.followers(), None).await.unwrap();
    assert!(response.headers().get("content-length").is_none());
    let mut body = response.into_body();
    let mut received = 0;
    while received < 50 << 20 {
        received += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    let whole = {
        site.emulator.set_faults(Vec::new()).unwrap();
        get(&site.followers()).await
    };
    site.set(Fault::Huge(3_000_000));
    let huge = get(&site.followers()).await;
    assert_eq!(huge.body.len(), 3_000_000);
    assert_eq!(huge.json(), whole.json());
}

#[tokio::test]
async fn a_gzip_bomb_unpacks_to_its_size() {
    let site = Site::new().await;
    for size in [1, 5000, (30 << 20) + 17] {
        site.set(Fault::GzipBomb(size));
        let bomb = get(&site.timeline()).await;
        assert_eq!(bomb.header("content-encoding"), Some("gzip"));
        assert!((bomb.body.len() as u64) < size / 200 + 200, "{} bytes for {size}", bomb.body.len());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&bomb.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked.len() as u64, size);
        assert_eq!(unpacked[0], b'[');
    }
}

#[tokio::test]
async fn bodies_are_no_json() {
    let site = Site::new().await;
    for fault in [Fault::Empty, Fault::Truncated, Fault::NotUtf8] {
        site.set(fault);
        for url in [site.timeline(), site.followers(), site.lookup()] {
            let reply = get(&url).await;
            assert_eq!(reply.status, 200);
            assert!(serde_json::from_slice::<Value>(&reply.body).is_err(), "{fault:?} at {url}");
        }
    }
}

#[tokio::test]
async fn bodies_are_json_of_another_kind() {
    let site = Site::new().await;
    site.set(Fault::WrongTypes);
    assert!(get(&site.timeline()).await.json()[0]["id"].is_string());
    assert!(get(&site.lookup()).await.json()[0]["screen_name"].is_number());
    assert!(get(&site.followers()).await.json()["ids"].is_object());
    site.set(Fault::MissingFields);
    assert_eq!(get(&site.timeline()).await.json()[0].get("id"), None);
    assert_eq!(get(&site.followers()).await.json().get("next_cursor_str"), None);
}

#[tokio::test]
async fn items_come_twice_or_in_disorder() {
    let site = Site::new().await;
    let expected = site.emulator.expected_timeline(site.user);
    let ids = |page: Value| -> Vec<u64> {
        page.as_array().unwrap().iter().map(|tweet| tweet["id"].as_u64().unwrap()).collect()
    };
    site.set(Fault::Duplicates);
    let twice: Vec<_> = expected.iter().flat_map(|id| [*id, *id]).collect();
    assert_eq!(ids(get(&site.timeline()).await.json()), twice);
    assert_eq!(get(&site.followers()).await.json()["ids"].as_array().unwrap().len(), 20);
    site.set(Fault::Unordered);
    let mut disorder = ids(get(&site.timeline()).await.json());
    assert_ne!(disorder, expected);
    disorder.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(disorder, expected);
}

#[tokio::test]
async fn cursors_loop() {
    let site = Site::new().await;
    let second = get(&site.followers()).await.json()["next_cursor_str"].as_str().unwrap().to_owned();
    site.set(Fault::Looping);
    let page = get(&format!("{}&cursor={second}", site.followers())).await.json();
    let first = page["next_cursor_str"].as_str().unwrap();
    let again = get(&format!("{}&cursor={first}", site.followers())).await.json();
    assert_eq!(again["next_cursor_str"], page["next_cursor_str"]);
    assert_eq!(again["ids"][0], site.emulator.expected_followers(site.user)[0].to_string());
    let ids = site.emulator.expected_timeline(site.user);
    let page = get(&format!("{}&max_id={}", site.timeline(), ids[40])).await.json();
    assert_eq!(page[0]["id"], ids[0]);
}

#[tokio::test]
async fn pages_of_followers_never_end() {
    let site = Site::new().await;
    site.set(Fault::Unending);
    let far = 1_300_000_000_000_000_000u64 + 1_000_000;
    let page = get(&format!("{}&cursor={far}", site.followers())).await.json();
    assert_eq!((&page["ids"], &page["next_cursor_str"]), (&json!([]), &json!((far + 1).to_string())));
    site.set(Fault::LongCursor(5000));
    assert_eq!(get(&site.followers()).await.json()["next_cursor_str"].as_str().unwrap().len(), 5000);
}

#[tokio::test]
async fn headers_about_limits_make_no_sense() {
    let site = Site::new().await;
    site.set(Fault::LimitNonsense);
    let reply = get(&site.timeline()).await;
    assert_eq!((reply.status, reply.header("x-rate-limit-reset")), (200, Some("soon")));
    assert_eq!(reply.json().as_array().unwrap().len(), site.emulator.expected_timeline(site.user).len());
}

#[tokio::test]
async fn rules_are_set_and_counted_over_http() {
    let site = Site::new().await;
    let faults = format!("{}/_emulator/faults", site.emulator.url());
    let rules = json!([{"fault": {"status": 500}, "endpoint": "timeline", "user": site.user, "count": 2}]);
    assert_eq!(post(&faults, &rules.to_string()).await.status, 200);
    assert_eq!(get(&faults).await.json()[0]["fault"], json!({"status": 500}));
    assert_eq!(get(&site.followers()).await.status, 200);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(get(&site.timeline()).await.status);
    }
    assert_eq!(statuses, [500, 500, 200]);
    let stats = site.emulator.stats();
    assert_eq!(stats.faults["status"], 2);
    assert_eq!(stats.requests_to(Endpoint::Timeline), 3);

    for wrong in ["{}", "[{\"fault\":\"unheard_of\"}]", "[{\"fault\":{\"status\":200}}]"] {
        assert_eq!(post(&faults, wrong).await.status, 400);
    }
    assert_eq!(get(&faults).await.json().as_array().unwrap().len(), 1);
    post(&faults, "[]").await;
    assert_eq!(get(&site.timeline()).await.status, 200);
}
