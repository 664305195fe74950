//! The source against a small server.

use std::sync::{Arc, Mutex};

use axum::response::{IntoResponse, Response};

use super::*;
use crate::source::test_server::{Seen, client, serve};

fn settings(base: &str) -> XSettings {
    let apps = vec![XApp::new("one", "first").unwrap(), XApp::new("two", "second").unwrap()];
    XSettings { base_url: base.to_owned(), ..XSettings::new(apps) }
}

/// A server with one answer, and the requests that it gets.
async fn answering(answer: fn(&Seen) -> Response) -> (XSource, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let base = serve(move |request: Seen| {
        let response = answer(&request);
        kept.lock().unwrap().push(request);
        async move { response }
    })
    .await;
    (XSource::new(settings(&base)).unwrap(), seen)
}

#[tokio::test]
async fn a_request_has_the_token_the_fields_and_the_size_that_were_set() {
    let (source, seen) = answering(|_| r#"{"meta":{"result_count":0}}"#.into_response()).await;
    let via = client(None);
    let user = UserId::Number(5);
    let terms = Terms { app: 1, size: 3 };
    let answer = source.posts(&via, &user, Some("a&b"), Some("17"), terms).await;
    assert!(answer.outcome.unwrap().items().is_empty());
    source.followers(&via, &user, None, Terms { app: 0, size: 2000 }).await.outcome.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(
        (seen[0].path.as_str(), &seen[0].headers["authorization"]),
        ("/1/users/5/tweets", &"Bearer second".parse().unwrap())
    );
    for part in [
        "max_results=5&",
        "tweet.fields=attachments,",
        "expansions=attachments.media_keys",
        "pagination_token=a%26b",
        "since_id=17",
    ] {
        assert!(seen[0].query.contains(part), "{part}: {}", seen[0].query);
    }
    assert_eq!(
        (seen[1].path.as_str(), &seen[1].headers["authorization"]),
        ("/1/users/5/followers", &"Bearer first".parse().unwrap())
    );
    assert!(seen[1].query.starts_with("max_results=1000&user.fields="), "{}", seen[1].query);
    assert!(!seen[1].query.contains("tweet.fields") && !seen[1].query.contains("expansions"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let (source, seen) = answering(|_| "{}".into_response()).await;
    let via = client(None);
    let text = UserId::Text("did:plc:x".into());
    let error = source.timeline_page(&via, &text, None, None).await.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Refused { status: None, .. }), "{error}");
    for names in [vec!["a b".to_owned()], vec![], vec!["x".repeat(16)], vec!["a".to_owned(); 101]] {
        let answer = source.resolve(&via, &names).await;
        assert!(matches!(answer.outcome, Err(SourceError::Refused { status: None, .. })), "{names:?}");
        assert_eq!(answer.cost, 0);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_counted_with_the_most_that_it_can_have_cost() {
    for answer in [
        (|_| "<html>".into_response()) as fn(&Seen) -> Response,
        |_| (axum::http::StatusCode::BAD_GATEWAY, "").into_response(),
        |_| ([("content-length", "50")], "{").into_response(),
    ] {
        let (source, _) = answering(answer).await;
        let user = UserId::Number(5);
        let terms = Terms { app: 0, size: 10 };
        let answer = source.followers(&client(None), &user, None, terms).await;
        assert!(answer.outcome.unwrap_err().is_retryable());
        assert_eq!(answer.cost, 10 * 10_000);
    }
    let nobody = XSource::new(settings("http://127.0.0.1:1/2/")).unwrap();
    let answer = nobody.followers_page(&client(None), &UserId::Number(5), None).await;
    assert_eq!((answer.cost, answer.rate.delivery), (0, Delivery::NotSent));
}

#[tokio::test]
async fn a_page_that_names_itself_as_the_next_one_is_a_loop() {
    let (source, _) =
        answering(|_| r#"{"data":[{"id":"1"}],"meta":{"next_token":"n"}}"#.into_response()).await;
    let (via, user) = (client(None), UserId::Number(5));
    let page = source.timeline_page(&via, &user, None, None).await.outcome.unwrap();
    assert_eq!(page.next.as_deref(), Some("n"));
    let again = source.timeline_page(&via, &user, Some("n"), None).await.outcome.unwrap_err();
    assert!(matches!(again, SourceError::Loops { .. }), "{again}");
}

#[tokio::test]
async fn objects_without_a_usable_id_are_counted_and_a_page_of_nothing_else_is_garbage() {
    const BODY: &str =
        r#"{"data":[{"id":"7","username":"a"},{"id":"x"},{"name":"b"}],"meta":{"result_count":3}}"#;
    let (source, _) = answering(|_| BODY.into_response()).await;
    let (via, user) = (client(None), UserId::Number(5));
    let answer = source.followers_page(&via, &user, None).await;
    assert_eq!(answer.cost, 3 * 10_000, "all three are charged");
    let page = answer.outcome.unwrap();
    assert_eq!((page.ids, page.unusable), (vec![UserId::Number(7)], 2));
    let (source, _) = answering(|_| r#"{"data":[{"id":"x"}],"meta":{}}"#.into_response()).await;
    assert!(matches!(
        source.followers_page(&via, &user, None).await.outcome,
        Err(SourceError::Garbage { .. })
    ));
    assert!(matches!(
        source.timeline_page(&via, &user, None, None).await.outcome,
        Err(SourceError::Garbage { .. })
    ));
    assert!(matches!(source.lookup(&via, &[user]).await.outcome, Err(SourceError::Garbage { .. })));
}

#[test]
fn the_worst_case_counts_what_expansions_add() {
    let source = XSource::new(settings("http://127.0.0.1:1/2/")).unwrap();
    assert_eq!(source.worst_cost(Endpoint::Timeline, 100), Cost { posts: 100, users: 0, followers: 0 });
    assert_eq!(source.worst_cost(Endpoint::Followers, 1000).micros(source.prices()), 10_000_000);
    assert_eq!(source.worst_cost(Endpoint::Lookup, 7), Cost { posts: 0, users: 7, followers: 0 });
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut expanded = settings("http://127.0.0.1:1/2/");
    expanded.post_expansions = list(&["author_id", "referenced_tweets.id", "in_reply_to_user_id"]);
    expanded.user_expansions = list(&["pinned_tweet_id"]);
    let source = XSource::new(expanded.clone()).unwrap();
    assert_eq!(
        source.worst_cost(Endpoint::Timeline, 10),
        Cost { posts: 40, users: 1 + 30 + 40, followers: 0 }
    );
    assert_eq!(source.worst_cost(Endpoint::Followers, 3), Cost { posts: 3, users: 0, followers: 3 });
    for unbounded in ["entities.mentions.username", "affiliation.user_id", "referenced_posts"] {
        expanded.post_expansions = list(&[unbounded]);
        assert!(
            matches!(XSource::new(expanded.clone()), Err(XSettingsError::Expansion { .. })),
            "{unbounded}"
        );
    }
}

#[test]
fn the_largest_page_that_fits_is_found() {
    let source = XSource::new(settings("http://127.0.0.1:1/2/")).unwrap();
    for (endpoint, micros, size) in [
        (Endpoint::Timeline, 24_999, None),
        (Endpoint::Timeline, 25_000, Some(5)),
        (Endpoint::Timeline, 204_999, Some(40)),
        (Endpoint::Timeline, u64::MAX, Some(100)),
        (Endpoint::Followers, 9_999, None),
        (Endpoint::Followers, 10_000, Some(1)),
        (Endpoint::Followers, 9_999_999, Some(999)),
        (Endpoint::Lookup, 1_000_000, Some(100)),
    ] {
        assert_eq!(source.largest_page(endpoint, micros), size, "{endpoint:?} {micros}");
    }
}

#[test]
fn settings_that_are_wrong_are_named_and_no_token_is_shown() {
    let good = settings("https://api.x.com/2");
    assert!(XSource::new(good.clone()).is_ok());
    let shown = format!("{:?}", XSource::new(good.clone()).unwrap());
    assert!(!shown.contains("first") && !shown.contains("second"), "{shown}");
    let refused = |change: fn(&mut XSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        XSource::new(settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.base_url = "http://api.x.com/2/".into()).contains("without TLS"));
    assert!(refused(|s| s.base_url = "https://a:b@api.x.com/".into()).contains("password"));
    assert!(refused(|s| s.apps.clear()).contains("0 apps"));
    assert!(refused(|s| s.apps.push(XApp::new("one", "third").unwrap())).contains("two apps"));
    assert!(refused(|s| s.posts_page = 4).contains("5 to 100"));
    assert!(refused(|s| s.followers_page = 1001).contains("1 to 1000"));
    assert!(refused(|s| s.post_fields = vec!["lang&max_results".into()]).contains("no field"));
    assert!(refused(|s| s.exclude = vec!["quotes".into()]).contains("quotes"));
    assert!(
        XApp::new("a b", "token").is_err()
            && XApp::new("a", "to ken").is_err()
            && XApp::new("a", "").is_err()
    );
}

#[test]
fn a_token_is_the_first_line_of_its_file_without_white_space_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, " first\n").unwrap();
    let app = XApp::from_file("one", &path).unwrap();
    assert_eq!(app.header(), "Bearer first");
    std::fs::write(&path, "x".repeat(4097)).unwrap();
    assert!(XApp::from_file("one", &path).unwrap_err().to_string().contains("4 KiB"));
    std::fs::write(&path, "second\n# of the second app\n").unwrap();
    assert_eq!(XApp::from_file("one", &path).unwrap().header(), "Bearer second");
    std::fs::write(&path, "\nthird\n").unwrap();
    assert!(XApp::from_file("one", &path).is_err());
    let error = XApp::from_file("one", &folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("app one") && error.contains("none"), "{error}");
}
