//! The source against a small server that plays a host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use reqwest::header::HOST;

use super::page::Listed;
use super::*;
use crate::rate::{Delivery, Per};
use crate::source::test_server::{Seen, client, serve};

const ADA: &str = r#"{"id":"7","username":"Ada","acct":"Ada","statuses_count":9,"followers_count":9}"#;

/// A source that reaches all hosts at the server of `url`.
fn source(url: &str) -> MastodonSource {
    let gateway = Some(gateway(url));
    MastodonSource::new(&MastodonSettings { gateway, ..MastodonSettings::default() }).unwrap()
}

/// The server's address without the path of Twitter's API.
fn gateway(url: &str) -> String {
    url.strip_suffix("1/").unwrap().to_owned()
}

fn ada() -> UserId {
    "Ada@h1.test".parse().unwrap()
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<String>) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(body.into().into()).unwrap()
}

fn next_link(what: &str, max_id: &str) -> String {
    format!("<https://h1.test/api/v1/accounts/7/{what}?limit=40&max_id={max_id}>; rel=\"next\"")
}

/// The page at `cursor` if a host answers every page with this.
async fn timeline_of(body: &str, link: &str, cursor: &str) -> Result<TimelinePage, SourceError> {
    let (body, link) = (body.to_owned(), link.to_owned());
    let url = serve(move |_| std::future::ready(answer(200, &[("link", &link)], body.clone()))).await;
    source(&url).timeline_page(&client(None), &ada(), Some(cursor), None).await.outcome
}

async fn followers_of(body: &str, link: &str, cursor: &str) -> Result<FollowersPage, SourceError> {
    let (body, link) = (body.to_owned(), link.to_owned());
    let url = serve(move |_| std::future::ready(answer(200, &[("link", &link)], body.clone()))).await;
    source(&url).followers_page(&client(None), &ada(), Some(cursor)).await.outcome
}

fn ids(page: &TimelinePage) -> Vec<String> {
    page.posts().map(|(id, _)| id.to_string()).collect()
}

#[tokio::test]
async fn a_walk_looks_the_account_up_and_then_asks_by_its_id() {
    let url = serve(|seen: Seen| async move {
        assert_eq!(seen.headers[HOST], "h1.test");
        match (seen.path.as_str(), seen.query.as_str()) {
            ("/api/v1/accounts/lookup", "acct=Ada") => answer(200, &[], ADA),
            ("/api/v1/accounts/7/statuses", "limit=40") => {
                answer(200, &[("link", &next_link("statuses", "50"))], r#"[{"id":"60"},{"id":"50"}]"#)
            }
            ("/api/v1/accounts/7/statuses", "limit=40&max_id=50") => answer(200, &[], r#"[{"id":"40"}]"#),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let (source, client, user) = (source(&url), client(None), ada());
    let page = async |cursor: Option<&str>| {
        source.timeline_page(&client, &user, cursor, None).await.outcome.unwrap()
    };
    let found = page(None).await;
    assert_eq!((found.items().len(), found.next.as_deref()), (0, Some("7")));
    let first = page(Some("7")).await;
    assert_eq!((ids(&first), first.next.as_deref()), (vec!["60".into(), "50".into()], Some("7/50")));
    let last = page(Some("7/50")).await;
    assert_eq!((ids(&last), last.next), (vec!["40".to_owned()], None));
    // Known by now: no look-up.
    assert_eq!(page(None).await.items().len(), 2);
}

#[tokio::test]
async fn ids_are_numbers_or_text_and_one_bad_post_loses_no_other() {
    let body =
        r#"[{"id":"117440824995689268"},{"content":"x"},{"id":117440824995689267},{"id":"a b"},{"id":"0"}]"#;
    let page = timeline_of(body, "", "7").await.unwrap();
    assert_eq!(
        (ids(&page), page.unusable),
        (vec!["117440824995689268".into(), "117440824995689267".into()], 3)
    );
    let page =
        timeline_of(r#"[{"id":"01JAAAAAAAAAAAAAAAAAAAAAAB"},{"id":"01JAAAAAAAAAAAAAAAAAAAAAAA"}]"#, "", "7");
    assert!(ids(&page.await.unwrap())[0].ends_with("AB"));
    let none = timeline_of(r#"[{"content":"x"}]"#, "", "7").await;
    assert!(matches!(none, Err(SourceError::Garbage { .. })), "the end of a walk is never guessed");
}

#[tokio::test]
async fn a_short_page_goes_on_and_a_full_one_without_a_link_is_the_last() {
    let short = timeline_of(r#"[{"id":"9"}]"#, &next_link("statuses", "9"), "7/20").await.unwrap();
    assert_eq!(short.next.as_deref(), Some("7/9"));
    let empty = timeline_of("[]", &next_link("statuses", "9"), "7/20").await.unwrap();
    assert_eq!(empty.next.as_deref(), Some("7/9"));
    assert_eq!(timeline_of("[]", "", "7/20").await.unwrap().next, None);
}

#[tokio::test]
async fn pages_that_go_back_or_elsewhere_end_the_walk_with_an_error() {
    for max_id in ["20", "21"] {
        let back = timeline_of(r#"[{"id":"9"}]"#, &next_link("statuses", max_id), "7/20").await;
        assert!(matches!(back, Err(SourceError::Loops { .. })), "{back:?}");
    }
    let same = timeline_of(r#"[{"id":"01J"}]"#, &next_link("statuses", "01J"), "7/01J").await;
    assert!(matches!(same, Err(SourceError::Loops { .. })));
    let elsewhere = "<https://evil.example/api/v1/accounts/7/statuses?max_id=9>; rel=\"next\"";
    let error = timeline_of(r#"[{"id":"9"}]"#, elsewhere, "7/20").await.unwrap_err();
    assert!(error.to_string().contains("another host") && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn posts_of_somebody_else_are_refused() {
    let other = r#"[{"id":"9","account":{"id":"7","acct":"bob"}}]"#;
    let error = timeline_of(other, "", "7").await.unwrap_err();
    assert!(error.to_string().contains("those of bob@h1.test"), "{error}");
    let own = r#"[{"id":"9","account":{"acct":"aDA"}}]"#;
    assert_eq!(ids(&timeline_of(own, "", "7").await.unwrap()), ["9"]);
}

#[tokio::test]
async fn followers_are_named_by_their_homes_and_the_cursor_is_the_hosts() {
    let body = r#"[{"id":"1","acct":"bob"},{"id":"2","acct":"eve@Far.example","followers_count":3},{"id":"3","acct":"x@y"},{}]"#;
    let page = followers_of(body, &next_link("followers", "3"), "7").await.unwrap();
    let names: Vec<String> = page.ids.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["bob@h1.test", "eve@far.example"]);
    assert_eq!((page.unusable, page.next.as_deref()), (2, Some("7/3")));
    assert_eq!(page.profiles[1].raw.get(), r#"{"id":"2","acct":"eve@Far.example","followers_count":3}"#);
    let none = followers_of("[{}]", "", "7").await.unwrap_err();
    assert!(none.to_string().contains("none of 1 followers"), "{none}");
}

/// A host that describes Ada as `account` and has an empty list of followers.
async fn empty_list(account: &str) -> Result<FollowersPage, SourceError> {
    let account = account.to_owned();
    let url = serve(move |seen: Seen| {
        let body = if seen.path.ends_with("lookup") { account.clone() } else { "[]".to_owned() };
        std::future::ready(answer(200, &[], body))
    })
    .await;
    let source = source(&url);
    let mut cursor = None;
    for _ in 0..5 {
        let page = source.followers_page(&client(None), &ada(), cursor.as_deref()).await.outcome?;
        cursor = page.next.clone();
        if cursor.is_none() {
            return Ok(page);
        }
    }
    panic!("no end");
}

#[tokio::test]
async fn an_empty_list_is_hidden_if_there_are_followers() {
    for hides in ["", r#","hide_collections":true"#, r#","hide_collections":null"#] {
        let error = empty_list(&ADA.replace('}', &format!("{hides}}}"))).await.unwrap_err();
        let hidden = matches!(error, SourceError::Gone { reason: GoneReason::HiddenFollowers, .. });
        assert!(hidden && error.to_string().contains("hides its followers"), "{error}");
    }
    // It says that it hides none: they are suspended, or have just left.
    empty_list(&ADA.replace('}', r#","hide_collections":false}"#)).await.unwrap();
    empty_list(&ADA.replace("\"followers_count\":9", "\"followers_count\":0")).await.unwrap();
    empty_list(&ADA.replace("\"followers_count\":9", "\"followers_count\":-1")).await.unwrap();
}

/// A host whose pages of a known account begin to answer with `status` and `body`, and whose look-ups then with `after`.
async fn changed(
    status: u16,
    body: &'static str,
    after: (u16, &'static str),
) -> Result<TimelinePage, SourceError> {
    let requests = Arc::new(AtomicUsize::new(0));
    let url = serve(move |seen: Seen| {
        let first = requests.fetch_add(1, Ordering::Relaxed) == 0;
        std::future::ready(match (seen.path.ends_with("lookup"), first) {
            (true, true) => answer(200, &[], ADA),
            (true, false) => answer(after.0, &[], after.1),
            _ => answer(status, &[], body),
        })
    })
    .await;
    let (source, client) = (source(&url), client(None));
    assert_eq!(source.lookup(&client, &[ada()]).await.outcome.unwrap().len(), 1);
    let again = source.timeline_page(&client, &ada(), None, None).await.outcome?;
    assert_eq!(again.next.as_deref(), Some("?"), "an old id says nothing");
    source.timeline_page(&client, &ada(), Some("?"), None).await.outcome
}

#[tokio::test]
async fn an_account_that_changed_since_it_was_looked_up_is_looked_up_again() {
    const SUSPENDED: &str = r#"{"id":"7","acct":"Ada","suspended":true}"#;
    let reason = |outcome| match outcome {
        Err(SourceError::Gone { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(changed(200, "[]", (200, SUSPENDED)).await), GoneReason::Suspended);
    let not_found = r#"{"error":"Record not found"}"#;
    assert_eq!(reason(changed(404, not_found, (404, not_found)).await), GoneReason::NotFound);
    assert_eq!(
        reason(changed(410, r#"{"error":"Gone"}"#, (410, r#"{"error":"Gone"}"#)).await),
        GoneReason::Suspended
    );
    let moved = changed(404, not_found, (200, r#"{"id":"8","acct":"Ada"}"#)).await.unwrap();
    assert_eq!(moved.next.as_deref(), Some("8"), "made anew with another id");
}

#[tokio::test]
async fn an_account_of_another_home_is_not_crawled_here() {
    let body = r#"{"id":"7","acct":"Ada@social.h1.test"}"#;
    let url = serve(move |_| std::future::ready(answer(200, &[], body))).await;
    let error = source(&url).lookup(&client(None), &[ada()]).await.outcome.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the account is Ada@social.h1.test; submit it by this name"), "{text}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn plain_requests_leave_a_tenth_of_their_budget_to_pages() {
    let url = serve(|seen: Seen| async move {
        let headers = [
            ("x-ratelimit-limit", "300"),
            ("x-ratelimit-remaining", "40"),
            ("x-ratelimit-reset", "2026-10-14T19:10:00.526148Z"),
            ("date", "Wed, 14 Oct 2026 19:08:20 GMT"),
        ];
        answer(200, &headers, if seen.path.ends_with("lookup") { ADA } else { "[]" })
    })
    .await;
    let (source, client) = (source(&url), client(None));
    for (cursor, limit, remaining) in [(None, 270, 10), (Some("7"), 270, 10), (Some("7/5"), 300, 40)] {
        let rate = source.timeline_page(&client, &ada(), cursor, None).await.rate;
        assert_eq!((rate.limit, rate.remaining), (Some(limit), Some(remaining)), "{cursor:?}");
        assert_eq!(rate.reset_in, Some(std::time::Duration::from_secs(100)));
    }
}

#[tokio::test]
async fn a_limit_is_one_whatever_the_request() {
    let url = serve(|_| async {
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2026-10-14T19:10:00.526148Z")];
        answer(429, &headers, r#"{"error":"Too many requests"}"#)
    })
    .await;
    let (source, client) = (source(&url), client(None));
    for cursor in [None, Some("7"), Some("7/5")] {
        let answer = source.timeline_page(&client, &ada(), cursor, None).await;
        assert!(answer.rate.limited && matches!(answer.outcome, Err(SourceError::Limited { .. })));
    }
}

#[tokio::test]
async fn garbage_is_named_with_its_host_and_never_a_panic() {
    for body in ["", "nope", "{}", "[1,2", "\u{0}", "null", "[[]]"] {
        for cursor in [None, Some("7"), Some("7/5")] {
            let body = body.to_owned();
            let url = serve(move |_| std::future::ready(answer(200, &[], body.clone()))).await;
            let outcome = source(&url).followers_page(&client(None), &ada(), cursor).await.outcome;
            let error = outcome.unwrap_err();
            assert!(matches!(error, SourceError::Garbage { .. }), "{error}");
            assert!(error.to_string().contains("https://h1.test/api/v1/accounts/"), "{error}");
        }
    }
    let huge = format!("[{}0]", "0,".repeat(200_000));
    let error = followers_of(&huge, "", "7").await.unwrap_err();
    assert!(error.to_string().contains("more than 10000 items"), "{error}");
}

#[tokio::test]
async fn a_token_goes_to_its_host_alone_and_no_error_tells_it() {
    let url = serve(|seen: Seen| async move {
        let signed = seen.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let expected = (seen.headers[HOST] == "h1.test").then(|| "Bearer s3cret".to_owned());
        assert_eq!(signed, expected);
        answer(401, &[], r#"{"error":"no"}"#)
    })
    .await;
    let settings = MastodonSettings {
        tokens: [("H1.test".to_owned(), "s3cret".to_owned())].into(),
        gateway: Some(gateway(&url)),
        ..MastodonSettings::default()
    };
    let (source, client) = (MastodonSource::new(&settings).unwrap(), client(None));
    for user in ["Ada@h1.test", "Ada@h2.test"] {
        let user: UserId = user.parse().unwrap();
        let error = source.timeline_page(&client, &user, None, None).await.outcome.unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }
    let scope = |user: &str| source.scope(Endpoint::Timeline, Some(&user.parse().unwrap()));
    assert_eq!((scope("Ada@h1.test").per(), scope("Ada@h2.test").per()), (Per::Source, Per::Network));
    assert!(!scope("Ada@h1.test").name().contains("s3cret"));
    assert_ne!(scope("Ada@h2.test"), scope("Ada@h3.test"));
    assert_eq!(scope("Ada@h2.test"), scope("Bob@H2.test"));
}

#[tokio::test]
async fn an_api_at_another_host_is_asked_there_and_its_links_are_followed() {
    let authority = Arc::new(std::sync::OnceLock::<String>::new());
    let known = Arc::clone(&authority);
    let url = serve(move |seen: Seen| {
        let authority = known.get().unwrap().clone();
        assert_eq!(seen.headers[HOST], authority.as_str());
        let link = format!("<http://{authority}/api/v1/accounts/7/statuses?max_id=9>; rel=\"next\"");
        std::future::ready(answer(200, &[("link", &link)], r#"[{"id":"9"}]"#))
    })
    .await;
    let base = gateway(&url);
    authority.set(base.trim_start_matches("http://").trim_end_matches('/').to_owned()).unwrap();
    let apis = [("h1.test".to_owned(), base)].into();
    let source = MastodonSource::new(&MastodonSettings { apis, ..MastodonSettings::default() }).unwrap();
    let page = source.timeline_page(&client(None), &ada(), Some("7/20"), None).await.outcome.unwrap();
    assert_eq!(page.next.as_deref(), Some("7/9"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let (source, client) = (source("http://127.0.0.1:1/1/"), client(None));
    for (user, cursor) in
        [("7", None), ("did:plc:abc", None), ("Ada@h1.test", Some("../7")), ("Ada@h1.test", Some("-1/"))]
    {
        let user: UserId = user.parse().unwrap();
        let answer = source.timeline_page(&client, &user, cursor, None).await;
        assert_eq!(answer.rate.delivery, Delivery::NotSent);
        assert!(matches!(answer.outcome, Err(SourceError::Refused { status: None, .. })), "{user}");
    }
    let down = source.timeline_page(&client, &ada(), None, None).await;
    assert_eq!(down.rate.delivery, Delivery::NotSent, "nobody listens there");
    let error = down.outcome.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("host h1.test: no connection"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let with = |tokens: &[(&str, &str)], apis: &[(&str, &str)]| {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let settings =
            MastodonSettings { tokens: map(tokens), apis: map(apis), ..MastodonSettings::default() };
        MastodonSource::new(&settings).map(|_| ()).map_err(|error| error.to_string())
    };
    assert!(with(&[("h1.test", "abc")], &[("h1.test", "https://social.h1.test/")]).is_ok());
    assert!(with(&[("h1.test", "a\nb")], &[]).unwrap_err().contains("token of h1.test"));
    let at = |host: &str| (host.to_owned(), "https://social.h1.test/".to_owned());
    let apis = ["h1.test", "h2.test"].map(at).into();
    let shared = MastodonSource::new(&MastodonSettings { apis, ..MastodonSettings::default() }).unwrap();
    let scope = |user: &str| shared.scope(Endpoint::Lookup, Some(&user.parse().unwrap()));
    assert_eq!(scope("a@h1.test"), scope("b@h2.test"), "one API has one budget");
    assert!(with(&[("localhost", "abc")], &[]).unwrap_err().contains("\"localhost\" is no host"));
    for url in [
        "",
        "social.h1.test",
        "ftp://h1.test/",
        "https://h1.test/api",
        "https://h1.test/?x",
        "https://a:b@h1.test/",
    ] {
        assert!(with(&[], &[("h1.test", url)]).unwrap_err().contains("no base URL"), "{url}");
    }
}

#[test]
fn cut_and_flipped_bytes_never_panic() {
    let posts = r#"[{"id":"60","account":{"acct":"Ada"}},{"id":50}]"#;
    let accounts =
        r#"[{"id":"1","acct":"bob@Far.example","followers_count":3,"display_name":"\u00e9"},{"id":2}]"#;
    let read = |body: &[u8]| {
        let listed = || Listed {
            acct: Acct::parse_target("Ada@h1.test").unwrap(),
            asked: Asked { url: "https://h1.test/".into(), user: None },
            id: "7".to_owned(),
            body: body.to_vec(),
            before: None,
            next: None,
            first: true,
            remembered: None,
        };
        let timeline = page::timeline(&mut listed(), None);
        (timeline.is_ok(), page::followers(&listed()).is_ok())
    };
    for body in [posts, accounts].map(str::as_bytes) {
        assert!(read(body).0, "both have ids");
        for cut in 1..body.len() {
            assert_eq!(read(&body[..cut]), (false, false), "cut at {cut}");
        }
        for bit in 0..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _either = read(&flipped);
        }
    }
}
