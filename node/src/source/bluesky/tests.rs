//! The source against a server of this test, which answers as the real ones were seen to, and worse.

mod people;

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use storage::env::{ManualClock, SystemClock};

use super::repository::tests::{DID, car_of};
use super::*;
use crate::http_client::{ClientTls, ForeignHosts};
use crate::rate::Delivery;
use crate::source::test_server::{Seen, quick_settings, serve};
use crate::source::{GoneReason, MorePosts};

const OTHER: &str = "did:plc:zzzzzzzzzzzzzzzzzzzzzzzz";

fn answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}

fn refusal(name: &str, message: &str) -> Response {
    answer(400, format!(r#"{{"error":"{name}","message":"{message}"}}"#))
}

fn document(did: &str, pds: &str, handle: &str) -> String {
    format!(
        r##"{{"id":"{did}","alsoKnownAs":["at://{handle}"],"service":[{{"id":"#atproto_pds","serviceEndpoint":"{pds}"}}]}}"##
    )
}

/// A directory, an AppView and a PDS in one; `reply` gets the last segment of the path.
async fn network<F>(reply: F) -> String
where
    F: Fn(&str, &Seen) -> Option<Response> + Clone + Send + Sync + 'static,
{
    let base = std::sync::Arc::new(Mutex::new(String::new()));
    let own = base.clone();
    let url = serve(move |seen: Seen| {
        let method = seen.path.rsplit('/').next().unwrap_or_default().to_owned();
        let pds = own.lock().unwrap().clone();
        let given = reply(&method, &seen);
        let known = || match method.starts_with("did:plc:") {
            true => answer(200, document(&method, &pds, "ada.test")),
            false => refusal("RecordNotFound", "Could not locate record"),
        };
        std::future::ready(given.unwrap_or_else(known))
    })
    .await;
    let origin = url.strip_suffix("/1/").unwrap().to_owned();
    base.lock().unwrap().clone_from(&origin);
    origin
}

fn settings(origin: &str) -> BlueskySettings {
    let spool = std::env::temp_dir();
    BlueskySettings {
        appview: origin.to_owned(),
        plc: origin.to_owned(),
        foreign_hosts: ForeignHosts::Any,
        name_servers: Some(Vec::new()),
        handle_gateway: Some(origin.to_owned()),
        ..BlueskySettings::new("twm-test (contact@example.org)", spool)
    }
}

fn source_of(settings: BlueskySettings) -> BlueskySource {
    BlueskySource::new(settings, Arc::new(SystemClock::new()), Work::default()).unwrap()
}

fn source(origin: &str) -> BlueskySource {
    source_of(settings(origin))
}

fn client() -> HttpClient {
    let tls = ClientTls::new().unwrap();
    HttpClient::new(None::<IpAddr>, &quick_settings(), &tls, Arc::new(SystemClock::new())).unwrap()
}

fn user(did: &str) -> UserId {
    did.parse().unwrap()
}

/// Walks a timeline as a crawl does; returns the lines.
async fn walk(source: &BlueskySource, since: Option<&str>) -> Result<Vec<String>, SourceError> {
    let (client, user, mut cursor, mut lines) = (client(), user(DID), None::<String>, Vec::new());
    for _ in 0..100 {
        if !source.is_located(Endpoint::Timeline, &user) {
            source.locate(&client, &user).await.outcome?;
        }
        let page = match source.timeline_page(&client, &user, cursor.as_deref(), since).await.outcome {
            Err(SourceError::Moved { .. }) => continue,
            other => other?,
        };
        lines.extend(page.posts().map(|(id, line)| {
            assert_eq!(item_id(line).as_ref(), Some(id));
            line.to_owned()
        }));
        let mut rest = page.rest;
        while let Some(more) =
            rest.as_mut().and_then(|rest: &mut Box<dyn MorePosts>| rest.next_page().unwrap())
        {
            lines.extend(more.posts().map(|(_, line)| line.to_owned()));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(lines),
        }
    }
    panic!("an endless walk");
}

fn keys(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| item_id(line).unwrap().to_string()).collect()
}

/// Pages of `listRecords` as a PDS sends them: the cursor is the last key, and the last page is empty.
fn listed(seen: &Seen, keys: &[&str], size: usize) -> Response {
    let parameters: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect();
    assert_eq!(parameters["limit"], "100");
    let collection = &parameters["collection"];
    let mut own: Vec<&str> =
        keys.iter().filter_map(|key| key.strip_prefix(&format!("{collection}/"))).collect();
    own.sort_unstable_by(|a, b| b.cmp(a));
    let below = parameters.get("cursor");
    let page: Vec<&str> =
        own.into_iter().filter(|key| below.is_none_or(|below| *key < below.as_str())).take(size).collect();
    let record = |key: &&str| {
        format!(
            r#"{{"uri":"at://{DID}/{collection}/{key}","cid":"b","value":{{"text":"{collection}/{key}"}}}}"#
        )
    };
    let records: Vec<String> = page.iter().map(record).collect();
    let cursor = page.last().map_or_else(String::new, |last| format!(r#","cursor":"{last}""#));
    answer(200, format!(r#"{{"records":[{}]{cursor}}}"#, records.join(",")))
}

const KEYS: [&str; 9] = [
    "app.bsky.actor.profile/self",
    "app.bsky.feed.like/3k9",
    "app.bsky.feed.post/3k1",
    "app.bsky.feed.post/3k4",
    "app.bsky.feed.post/3k5",
    "app.bsky.feed.repost/3k2",
    "app.bsky.feed.repost/3k3",
    "app.bsky.feed.repost/3k6",
    "app.bsky.graph.follow/3k8",
];
const EXPECTED: [&str; 6] = [
    "3k6+app.bsky.feed.repost",
    "3k5+app.bsky.feed.post",
    "3k4+app.bsky.feed.post",
    "3k3+app.bsky.feed.repost",
    "3k2+app.bsky.feed.repost",
    "3k1+app.bsky.feed.post",
];

#[tokio::test]
async fn a_timeline_is_one_request_and_its_lines_are_records() {
    let origin = network(|method, seen| {
        assert_eq!(seen.headers["user-agent"], "twm-test (contact@example.org)", "{method}");
        (method == "com.atproto.sync.getRepo").then(|| {
            assert_eq!(seen.headers["accept-encoding"], "identity");
            answer(200, car_of(&KEYS))
        })
    })
    .await;
    let source = source(&origin);
    let lines = walk(&source, None).await.unwrap();
    assert_eq!(keys(&lines), EXPECTED);
    let first: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(first["uri"], format!("at://{DID}/app.bsky.feed.repost/3k6"));
    assert_eq!(first["value"]["text"], "app.bsky.feed.repost/3k6");
    assert!(first["cid"].as_str().unwrap().starts_with("bafyrei"));
    assert_eq!(source.timeline_endpoint(None, None), Endpoint::Repository);
    let scopes =
        [Endpoint::Repository, Endpoint::Timeline].map(|endpoint| source.scope(endpoint, Some(&user(DID))));
    assert_eq!(scopes[0].name(), format!("{origin}/xrpc/com.atproto.sync.getRepo"));
    assert_eq!(scopes[1].name(), format!("{origin}/"));
}

#[tokio::test]
async fn a_repository_that_is_too_large_or_endless_or_not_sent_is_read_in_pages() {
    for kind in ["long", "endless", "method"] {
        let origin = network(move |method, seen| match method {
            "com.atproto.sync.getRepo" => Some(match kind {
                "long" => answer(200, car_of(&KEYS)),
                "endless" => {
                    let begun = car_of(&[]);
                    let block = [&[0xa8_u8, 0x80, 0x01][..], &[1, 0x71, 0x12, 0x20], &[7; 16_420]].concat();
                    let chunks = stream::once(async move { Ok::<_, std::io::Error>(begun) })
                        .chain(stream::repeat_with(move || Ok(block.clone())));
                    answer(200, Body::from_stream(chunks))
                }
                _ => answer(501, r#"{"error":"MethodNotImplemented","message":"Method Not Implemented"}"#),
            }),
            "com.atproto.repo.listRecords" => Some(listed(seen, &KEYS, 2)),
            _ => None,
        })
        .await;
        let limit = if kind == "long" { 100 } else { 1 << 20 };
        let source = source_of(BlueskySettings { repository_limit: limit, ..settings(&origin) });
        assert_eq!(keys(&walk(&source, None).await.unwrap()), EXPECTED, "{kind}");
    }
}

#[tokio::test]
async fn an_update_reads_pages_down_to_what_is_saved() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let counted = requests.clone();
    let origin = network(move |method, seen| {
        counted.lock().unwrap().push(method.to_owned());
        (method == "com.atproto.repo.listRecords").then(|| listed(seen, &KEYS, 100))
    })
    .await;
    let source = source(&origin);
    assert_eq!(keys(&walk(&source, Some("3k4+app.bsky.feed.post")).await.unwrap()), EXPECTED[..2]);
    let requests = requests.lock().unwrap();
    let lists = requests.iter().filter(|method| *method == "com.atproto.repo.listRecords").count();
    assert_eq!((lists, requests.len()), (3, 4), "{requests:?}");
}

#[tokio::test]
async fn a_server_that_lists_oldest_first_is_found_and_its_repository_is_read() {
    let origin = network(|method, seen| match method {
        "com.atproto.sync.getRepo" => Some(answer(200, car_of(&KEYS))),
        "com.atproto.repo.listRecords" => {
            let text =
                |n: u8| format!(r#"{{"uri":"at://{DID}/app.bsky.feed.post/3k{n}","cid":"b","value":{{}}}}"#);
            let posts = seen.query.contains("feed.post");
            let records = if posts { format!("{},{}", text(4), text(5)) } else { String::new() };
            Some(answer(200, format!(r#"{{"records":[{records}]}}"#)))
        }
        _ => None,
    })
    .await;
    let source = source(&origin);
    assert_eq!(keys(&walk(&source, Some("3k3+app.bsky.feed.repost")).await.unwrap()), EXPECTED[..3]);
}

#[tokio::test]
async fn a_server_that_does_neither_is_named_and_not_asked_again() {
    let origin = network(|method, _| match method {
        "com.atproto.sync.getRepo" => Some(answer(404, r#"{"error":"XRPCNotSupported"}"#)),
        "com.atproto.repo.listRecords" => {
            let text =
                |n: u8| format!(r#"{{"uri":"at://{DID}/app.bsky.feed.post/3k{n}","cid":"b","value":{{}}}}"#);
            Some(answer(200, format!(r#"{{"records":[{},{}]}}"#, text(4), text(5))))
        }
        _ => None,
    })
    .await;
    let error = walk(&source(&origin), None).await.unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("another order"), "{error}");
}

#[tokio::test]
async fn a_cut_or_damaged_repository_is_tried_again_and_never_published() {
    for (kind, said) in
        [("cut", "ends early"), ("flipped", "hash"), ("garbage", "damaged"), ("stalled", "timed out")]
    {
        let origin = network(move |method, _| {
            let mut car = car_of(&KEYS);
            (method == "com.atproto.sync.getRepo").then(|| match kind {
                "cut" => answer(200, car[..car.len() - 3].to_vec()),
                "flipped" => {
                    let at = car.windows(4).position(|four| four == b"/3k5").unwrap();
                    car[at + 1] ^= 1;
                    answer(200, car)
                }
                "garbage" => answer(200, "<html>"),
                _ => {
                    let begun = stream::iter([Ok::<_, std::io::Error>(car)]);
                    answer(200, Body::from_stream(begun.chain(stream::pending())))
                }
            })
        })
        .await;
        // The flipped bit is found as its record is read.
        let client = client();
        let (source, user) = (source(&origin), user(DID));
        source.locate(&client, &user).await.outcome.unwrap();
        let error = match source.timeline_page(&client, &user, None, None).await.outcome {
            Err(error) => error,
            Ok(page) => panic!("{kind}: {} posts", page.items().len()),
        };
        assert!(error.is_retryable() && error.to_string().contains(said), "{kind}: {error}");
    }
}

#[tokio::test]
async fn accounts_that_are_gone_from_their_server_keep_the_true_reason() {
    for (name, reason) in [
        ("RepoNotFound", GoneReason::Deleted),
        ("RepoDeactivated", GoneReason::Deactivated),
        ("RepoTakendown", GoneReason::TakenDown),
        ("RepoSuspended", GoneReason::Suspended),
    ] {
        for since in [None, Some("3k1+app.bsky.feed.post")] {
            let origin = network(move |method, _| match method {
                "com.atproto.sync.getRepo" => Some(refusal(name, "Repo x")),
                // As a PDS answers: the reason is in the status of the repository alone.
                "com.atproto.repo.listRecords" => {
                    Some(refusal("InvalidRequest", &format!("Could not find repo: {DID}")))
                }
                "com.atproto.sync.getRepoStatus" => Some(match reason {
                    GoneReason::Deleted => refusal("RepoNotFound", "Could not find repo"),
                    GoneReason::Deactivated => answer(200, r#"{"active":false,"status":"deactivated"}"#),
                    GoneReason::Suspended => answer(200, r#"{"active":false,"status":"suspended"}"#),
                    _ => answer(200, r#"{"active":false,"status":"takendown"}"#),
                }),
                _ => None,
            })
            .await;
            match walk(&source(&origin), since).await {
                Err(SourceError::Gone { reason: found, .. }) => assert_eq!(found, reason, "{name} {since:?}"),
                other => panic!("{name} {since:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn dids_without_a_document_or_a_server_are_gone() {
    for (status, body, reason) in [
        (404, r#"{"message":"DID not registered"}"#.to_owned(), GoneReason::NotFound),
        (410, r#"{"message":"DID not available"}"#.to_owned(), GoneReason::Deleted),
        (200, format!(r#"{{"id":"{DID}","service":[]}}"#), GoneReason::Deleted),
    ] {
        let origin = network(move |method, _| (method == DID).then(|| answer(status, body.clone()))).await;
        let error = source(&origin).locate(&client(), &user(DID)).await.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Gone { reason: found, .. } if found == reason), "{error}");
    }
    let origin =
        network(|method, _| (method == DID).then(|| answer(200, document(OTHER, "https://a.b", "a.b"))))
            .await;
    let error = source(&origin).locate(&client(), &user(DID)).await.outcome.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("another DID"), "{error}");
}

#[tokio::test]
async fn an_account_that_moved_is_followed() {
    let (clock, new_home) =
        (Arc::new(ManualClock::at_wall(Duration::from_secs(1))), Arc::new(Mutex::new(None::<String>)));
    let old = network(|method, _| match method {
        "com.atproto.sync.getRepo" => Some(refusal("RepoDeactivated", "Repo has been deactivated")),
        _ => None,
    })
    .await;
    let new =
        network(|method, _| (method == "com.atproto.sync.getRepo").then(|| answer(200, car_of(&KEYS)))).await;
    let (first, moved) = (old.clone(), new_home.clone());
    let directory = network(move |method, _| {
        let home = moved.lock().unwrap().clone().unwrap_or_else(|| first.clone());
        method.starts_with("did:").then(|| answer(200, document(method, &home, "ada.test")))
    })
    .await;
    let source = BlueskySource::new(settings(&directory), clock.clone(), Work::default()).unwrap();
    let error = walk(&source, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Gone { reason: GoneReason::Deactivated, .. }), "{error}");
    *new_home.lock().unwrap() = Some(new);
    clock.advance(Duration::from_secs(61));
    assert_eq!(keys(&walk(&source, None).await.unwrap()), EXPECTED);
}

#[tokio::test]
async fn limits_are_those_of_the_server_and_say_how_long() {
    let origin = network(|method, _| {
        method.starts_with("com.").then(|| {
            let mut response =
                answer(429, r#"{"error":"RateLimitExceeded","message":"Rate Limit Exceeded"}"#);
            for (name, value) in [
                ("retry-after", "7"),
                ("ratelimit-limit", "3000"),
                ("ratelimit-remaining", "0"),
                ("ratelimit-policy", "3000;w=300"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        })
    })
    .await;
    let (source, client, user) = (source(&origin), client(), user(DID));
    source.locate(&client, &user).await.outcome.unwrap();
    for (cursor, since) in [(None, None), (None, Some("3k1+app.bsky.feed.post"))] {
        let answer = source.timeline_page(&client, &user, cursor, since).await;
        assert!(answer.rate.limited);
        assert_eq!((answer.rate.limit, answer.rate.remaining), (Some(3000), Some(0)));
        assert_eq!(answer.outcome.unwrap_err().retry_in(), Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_document_cannot_lead_into_the_nodes_own_network() {
    for home in [
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
        "https://[::1]:1",
        "https://169.254.169.254",
        "https://localhost:1",
    ] {
        let origin = network(move |method, _| {
            method.starts_with("did:").then(|| answer(200, document(method, home, "a.b")))
        })
        .await;
        let guarded = BlueskySettings { foreign_hosts: ForeignHosts::Public, ..settings(&origin) };
        let (source, client, user) = (source_of(guarded), client(), user(DID));
        source.locate(&client, &user).await.outcome.unwrap();
        let answer = source.timeline_page(&client, &user, None, None).await;
        assert_eq!(answer.rate.delivery, Delivery::NotSent, "{home}");
        let error = answer.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Refused { .. }), "{home}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_that_accounts_trouble_and_no_outage() {
    let origin = network(|method, _| {
        method.starts_with("did:").then(|| answer(200, document(method, "http://127.0.0.1:1", "a.b")))
    })
    .await;
    let (source, client, user) = (source(&origin), client(), user(DID));
    source.locate(&client, &user).await.outcome.unwrap();
    let answer = source.timeline_page(&client, &user, None, None).await;
    assert!(matches!(answer.outcome, Err(SourceError::Passing { .. })));
    assert_ne!(answer.rate.delivery, Delivery::NotSent);
    // The directory is one of the settings.
    let none = self::source("http://127.0.0.1:1").locate(&client, &user).await;
    assert_eq!(none.rate.delivery, Delivery::NotSent);
}

#[tokio::test]
async fn what_is_no_account_is_refused_before_it_is_sent() {
    let (source, client) = (source("http://127.0.0.1:1"), client());
    let number = UserId::Number(7);
    let many = vec![user(DID); 26];
    assert!(matches!(
        source.timeline_page(&client, &number, None, None).await.outcome,
        Err(SourceError::Refused { status: None, .. })
    ));
    assert!(matches!(
        source.followers_page(&client, &number, None).await.outcome,
        Err(SourceError::Refused { .. })
    ));
    assert!(matches!(source.lookup(&client, &many).await.outcome, Err(SourceError::Refused { .. })));
    assert!(matches!(source.lookup(&client, &[]).await.outcome, Err(SourceError::Refused { .. })));
    assert!(matches!(
        source.resolve(&client, &["no handle".to_owned()]).await.outcome,
        Err(SourceError::Refused { .. })
    ));
    // Never located: the crawl is sent to do it.
    assert!(matches!(
        source.timeline_page(&client, &user(DID), None, None).await.outcome,
        Err(SourceError::Moved { .. })
    ));
}
