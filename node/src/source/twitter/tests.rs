//! The source against a real server.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::rate::Delivery;
use crate::source::GoneReason;
use crate::source::test_server::{Seen, client, serve};

const USER: UserId = UserId::Number(22_013_880);

fn source(base_url: &str) -> TwitterSource {
    source_with(base_url, None)
}

fn source_with(base_url: &str, bearer: Option<&str>) -> TwitterSource {
    let bearer = bearer.map(str::to_owned);
    TwitterSource::new(&TwitterSettings { base_url: base_url.to_owned(), bearer, budget_per: None }).unwrap()
}

fn answer(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}

async fn timeline(
    body: impl Into<Body> + Clone + Send + Sync + 'static,
    cursor: Option<&str>,
) -> Answer<TimelinePage> {
    let url = serve(move |_| std::future::ready(answer(200, body.clone()))).await;
    source(&url).timeline_page(&client(None), &USER, cursor, None).await
}

#[tokio::test]
async fn a_timeline_page_is_asked_for_and_taken_apart() {
    let url = serve(|seen: Seen| async move {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/1/statuses/user_timeline.json"));
        let first = "count=200&include_rts=1&include_entities=1&user_id=22013880";
        assert!(
            seen.query == first || seen.query == format!("{first}&max_id=99&since_id=7"),
            "{}",
            seen.query
        );
        assert!(!seen.headers.contains_key("authorization"));
        let mut response = answer(200, r#"[{"id":50},{"id":40,"id_str":"40"}, {"text":"no id"}]"#);
        response.headers_mut().insert("X-RateLimit-Remaining", "17".parse().unwrap());
        response
    })
    .await;
    let (source, client) = (source(&url), client(None));
    let answer = source.timeline_page(&client, &USER, None, None).await;
    assert_eq!(answer.rate.remaining, Some(17));
    let page = answer.outcome.unwrap();
    assert_eq!(
        page.posts().map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        [PostId::Number(50), PostId::Number(40)]
    );
    assert_eq!((page.unusable, page.next.as_deref()), (1, Some("39")));
    let answer = source.timeline_page(&client, &USER, Some("99"), Some("7")).await;
    assert_eq!(answer.outcome.unwrap().next.as_deref(), Some("39"));
}

#[tokio::test]
async fn a_walk_ends_at_the_empty_page_and_never_goes_back() {
    assert_eq!(timeline("[]", Some("9")).await.outcome.unwrap().next, None);
    assert_eq!(timeline(r#"[{"id":1}]"#, None).await.outcome.unwrap().next, None);
    let back = timeline(r#"[{"id":100}]"#, Some("99")).await.outcome;
    assert!(matches!(&back, Err(SourceError::Loops { loops, .. }) if loops.cursor == "99"), "{back:?}");
    let none_usable = timeline(r#"[{"text":"x"}]"#, None).await.outcome;
    assert!(matches!(none_usable, Err(SourceError::Garbage { .. })), "the end of a walk is never guessed");
}

#[tokio::test]
async fn followers_come_as_texts_or_numbers() {
    let url = serve(|seen: Seen| async move {
        assert_eq!(seen.path, "/1/followers/ids.json");
        match seen.query.as_str() {
            "cursor=-1&stringify_ids=true&user_id=22013880" => {
                answer(200, r#"{"ids":["5",4,"x",null,0,-1,1.5,[7],{"id":7},true],"next_cursor":12,"next_cursor_str":"12"}"#)
            }
            "cursor=12&stringify_ids=true&user_id=22013880" => answer(200, r#"{"next_cursor":0,"ids":[3]}"#),
            "cursor=13&stringify_ids=true&user_id=22013880" => answer(200, r#"{"next_cursor":13,"ids":[]}"#),
            _ => answer(200, r#"{"ids":[1]}"#),
        }
    })
    .await;
    let (source, client) = (source(&url), client(None));
    let first = source.followers_page(&client, &USER, None).await.outcome.unwrap();
    assert_eq!(first.ids, [UserId::Number(5), UserId::Number(4)]);
    assert_eq!((first.unusable, first.next.as_deref()), (8, Some("12")));
    let last = source.followers_page(&client, &USER, Some("12")).await.outcome.unwrap();
    assert_eq!((last.ids.len(), last.next), (1, None));
    let circle = source.followers_page(&client, &USER, Some("13")).await.outcome;
    assert!(matches!(circle, Err(SourceError::Loops { .. })));
    let endless = source.followers_page(&client, &USER, Some("a&b=c")).await.outcome;
    assert!(
        matches!(endless, Err(SourceError::Garbage { .. })),
        "without a next cursor the end would be a guess"
    );
}

#[tokio::test]
async fn lookups_are_posted_and_unknown_accounts_are_missing() {
    let url = serve(|seen: Seen| async move {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/1/users/lookup.json"));
        assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(seen.headers["authorization"], "Bearer s3cret");
        match seen.body.as_str() {
            "user_id=1,2,3&include_entities=f" => {
                answer(200, r#"[{"id":1,"lang":"it"},{"oops":1},{"id":3}]"#)
            }
            "screen_name=jack,jill&include_entities=f" => answer(200, r#"[{"id":9,"screen_name":"Jack"}]"#),
            other if other.starts_with("user_id=404&") => answer(404, r#"{"errors":[{"code":17}]}"#),
            other => panic!("{other}"),
        }
    })
    .await;
    let (source, client) = (source_with(&url, Some("s3cret")), client(None));
    let ids = [1u64, 2, 3].map(UserId::Number);
    let profiles = source.lookup(&client, &ids).await.outcome.unwrap();
    assert_eq!(profiles.iter().map(|p| p.id.to_string()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(profiles[0].raw.get(), r#"{"id":1,"lang":"it"}"#);
    let names = ["jack".to_owned(), "jill".to_owned()];
    assert_eq!(source.resolve(&client, &names).await.outcome.unwrap()[0].id, UserId::Number(9));
    assert!(source.lookup(&client, &[UserId::Number(404)]).await.outcome.unwrap().is_empty());
}

#[tokio::test]
async fn profiles_of_which_none_has_an_id_are_garbage_and_no_missing_accounts() {
    let url = serve(|_| std::future::ready(answer(200, r#"[{"name":"x"},[]]"#))).await;
    let error = source(&url).lookup(&client(None), &[USER]).await.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Garbage { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("none of 2 profiles has a usable id"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let (source, client) = (source("http://127.0.0.1:1/1"), client(None));
    let text: UserId = "did:plc:abc".parse().unwrap();
    let too_many = vec![USER; 101];
    for answer in [
        source.lookup(&client, &[text]).await,
        source.lookup(&client, &too_many).await,
        source.lookup(&client, &[]).await,
        source.resolve(&client, &["a&user_id=1".to_owned()]).await,
    ] {
        assert_eq!(answer.rate.delivery, Delivery::NotSent);
        assert!(matches!(answer.outcome, Err(SourceError::Refused { status: None, .. })));
    }
}

#[tokio::test]
async fn garbage_is_retryable_and_named() {
    for body in ["", "nope", "[{\"id\":1}", "{\"errors\":[]}", "[1,2", "\u{0}"] {
        let answer = timeline(body, None).await;
        assert_eq!(answer.rate.delivery, Delivery::Answered(200));
        let error = answer.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Garbage { .. }) && error.is_retryable(), "{body:?}: {error}");
        assert!(error.to_string().contains("user_timeline.json for user 22013880"), "{error}");
    }
    let not_utf8 = timeline(&b"[{\"id\":1,\"text\":\"\xff\"}]"[..], None).await.outcome.unwrap_err();
    assert!(not_utf8.to_string().contains("UTF-8"), "{not_utf8}");
}

#[tokio::test]
async fn accounts_out_of_reach_and_limits_are_told_apart() {
    let url = serve(|seen: Seen| async move {
        let status: u16 = seen.query.rsplit('=').next().unwrap().parse().unwrap();
        let mut response = answer(status, "");
        response.headers_mut().insert("retry-after", "9".parse().unwrap());
        response
    })
    .await;
    let (source, client) = (source(&url), client(None));
    for (status, reason) in
        [(401, GoneReason::Protected), (403, GoneReason::Suspended), (404, GoneReason::NotFound)]
    {
        let error =
            source.timeline_page(&client, &UserId::Number(status), None, None).await.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Gone { reason: r, .. } if r == reason), "{error}");
    }
    let limited = source.timeline_page(&client, &UserId::Number(429), None, None).await;
    assert!(limited.rate.limited);
    let passing = source.timeline_page(&client, &UserId::Number(503), None, None).await;
    for answer in [limited, passing] {
        assert_eq!(answer.outcome.unwrap_err().retry_in(), Some(Duration::from_secs(9)));
    }
}

#[tokio::test]
async fn requests_come_from_the_bound_address_and_errors_keep_secrets() {
    let url =
        serve(|seen: Seen| async move { answer(200, format!("[{{\"id\":1,\"from\":\"{}\"}}]", seen.from)) })
            .await;
    let page =
        source(&url).timeline_page(&client(Some("127.0.7.9")), &USER, None, None).await.outcome.unwrap();
    assert!(page.json(&page.items()[0]).contains("127.0.7.9"));
    let with_password =
        source(&url.replace("http://", "http://user:pa55@").replace("127.0.0.1", "127.0.0.254"));
    let answer = with_password.timeline_page(&client(None), &USER, None, None).await;
    assert_eq!(answer.rate.delivery, Delivery::NotSent, "nobody listens there");
    let text = answer.outcome.unwrap_err().to_string();
    assert!(!text.contains("pa55") && text.contains("127.0.0.254"), "{text}");
}

#[tokio::test]
async fn gzip_is_undone_and_a_bomb_is_not_swallowed() {
    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }
    let url = serve(|seen: Seen| async move {
        assert_eq!(seen.headers["accept-encoding"], "gzip");
        let good = gzip(br#"[{"id":3}]"#);
        let body = match seen.query.rsplit('=').next() {
            Some("1") => good,
            Some("2") => gzip(&vec![b' '; 8 << 20]),
            Some("3") => good[..good.len() - 4].to_vec(),
            _ => b"not gzip".to_vec(),
        };
        let mut response = answer(200, body);
        response.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        response
    })
    .await;
    let (source, client) = (source(&url), client(None));
    let page = source.timeline_page(&client, &UserId::Number(1), None, None).await.outcome.unwrap();
    assert_eq!(page.items().len(), 1);
    for (user, said) in [(2, "limit of 1048576 bytes"), (3, "gzip"), (4, "gzip")] {
        let error =
            source.timeline_page(&client, &UserId::Number(user), None, None).await.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Garbage { .. }) && error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn endless_huge_and_stalled_bodies_end() {
    let url = serve(|seen: Seen| async move {
        let chunk = || Ok::<_, std::io::Error>(vec![b' '; 16 << 10]);
        match seen.query.rsplit('=').next() {
            Some("1") => answer(200, Body::from_stream(stream::repeat_with(chunk))),
            Some("2") => {
                let mut response =
                    answer(200, Body::from_stream(stream::iter([chunk()]).chain(stream::pending())));
                response.headers_mut().insert(CONTENT_LENGTH, "99999999999".parse().unwrap());
                response
            }
            _ => answer(200, Body::from_stream(stream::iter([chunk()]).chain(stream::pending()))),
        }
    })
    .await;
    let (source, client) = (source(&url), client(None));
    for (user, said) in [(1, "limit of"), (2, "limit of"), (3, "timed out")] {
        let error =
            source.timeline_page(&client, &UserId::Number(user), None, None).await.outcome.unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains(said), "{user}: {error}");
    }
}

#[tokio::test]
async fn a_broken_connection_may_have_been_counted_and_a_refused_one_was_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await.unwrap();
        }
    });
    let broken =
        source(&format!("http://{address}/1/")).timeline_page(&client(None), &USER, None, None).await;
    assert_eq!(broken.rate.delivery, Delivery::Unanswered);
    assert!(matches!(broken.outcome, Err(SourceError::Passing { .. })));
    let refused = source("http://127.0.0.1:1/1/").timeline_page(&client(None), &USER, None, None).await;
    assert_eq!(refused.rate.delivery, Delivery::NotSent);
}

#[test]
fn a_base_url_or_token_that_cannot_be_is_refused() {
    for base_url in ["", "localhost:5000/1/", "ftp://host/1/", "http://host/1/?x=1", "http://"] {
        let settings = TwitterSettings { base_url: base_url.to_owned(), bearer: None, budget_per: None };
        assert!(TwitterSource::new(&settings).is_err(), "{base_url:?}");
    }
    let settings =
        TwitterSettings { base_url: "http://host/1".into(), bearer: Some("a\nb".into()), budget_per: None };
    assert!(matches!(TwitterSource::new(&settings), Err(TwitterSettingsError::Bearer)));
}

#[test]
fn budgets_tell_hosts_endpoints_and_tokens_apart() {
    let scope = |source: &TwitterSource, endpoint| source.scope(endpoint, None);
    let (plain, signed) = (source("http://host/1"), source_with("http://host/1", Some("s3cret")));
    assert_eq!(scope(&plain, Endpoint::Lookup), scope(&plain, Endpoint::Resolve));
    assert_ne!(scope(&plain, Endpoint::Timeline), scope(&plain, Endpoint::Followers));
    assert_ne!(scope(&plain, Endpoint::Timeline), scope(&source("http://host/1.1/"), Endpoint::Timeline));
    assert_eq!(scope(&signed, Endpoint::Timeline).per(), crate::rate::Per::Source);
    assert!(!scope(&signed, Endpoint::Timeline).name().contains("s3cret"));
}
