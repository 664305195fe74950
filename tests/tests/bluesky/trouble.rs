//! A PDS that limits, dies and comes back.

use futures::StreamExt as _;
use node::source::{Endpoint, Source, SourceError};
use twm_tests::bluesky_server::{BlueskyServer, BlueskySettings};
use twm_tests::cluster::{Page, eventually};

use super::world::{Walked, client, pages_only, source, user, walk};

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_pds_are_read_before_they_are_reached_and_repositories_have_their_own() {
    let server = BlueskyServer::start(BlueskySettings { rate_limits: true, appview: false }).await.unwrap();
    let ada = server.account("ada").await.unwrap();
    ada.post(5).await.unwrap();
    let (source, client, user) = (source(&server), client(), user(&ada.did));
    source.locate(&client, &user).await.outcome.unwrap();
    let scopes =
        [Endpoint::Timeline, Endpoint::Repository].map(|endpoint| source.scope(endpoint, Some(&user)));
    assert_ne!(scopes[0], scopes[1]);
    let since = Some("3+app.bsky.feed.post");
    let rate = source.timeline_page(&client, &user, None, since).await.rate;
    assert_eq!(rate.limit, Some(3000));
    assert!(rate.remaining.is_some_and(|left| left < 3000) && rate.reset_in.is_some(), "{rate:?}");
    let repository = source.timeline_page(&client, &user, None, None).await;
    assert_eq!(repository.rate.limit, Some(6000));

    let (address, path) = (
        server.pds_url().replace("http://localhost", "127.0.0.1"),
        "/xrpc/com.atproto.server.describeServer",
    );
    let spent = futures::stream::iter(0..3000).map(|_| Page::get(&address, path)).buffer_unordered(16);
    let refused = spent
        .filter(|page| std::future::ready(page.as_ref().is_ok_and(|page| page.status == 429)))
        .count()
        .await;
    assert!(refused > 0, "the window is spent");
    let answer = source.timeline_page(&client, &user, None, since).await;
    assert!(answer.rate.limited && answer.rate.remaining == Some(0), "{:?}", answer.rate);
    let error = answer.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Limited { status: 429, .. }), "{error}");
    assert!(error.retry_in().is_some_and(|wait| wait.as_secs() > 0 && wait.as_secs() <= 300), "{error}");
    assert_eq!(
        walk(&source, &ada.did, None).await.unwrap().lines.len(),
        5,
        "the repository can still be had"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_where_it_was_after_its_pds_was_killed() {
    let mut server = BlueskyServer::start(BlueskySettings::default()).await.unwrap();
    let ada = server.account("ada").await.unwrap();
    let posts = ada.post(450).await.unwrap();
    ada.repost(&posts[..150]).await.unwrap();
    let expected = walk(&source(&server), &ada.did, None).await.unwrap().lines;
    assert_eq!(expected.len(), 600);
    let (paging, client, user) = (pages_only(&server), client(), user(&ada.did));
    let mut walked = Walked::default();
    while walked.lines.len() < 200 {
        assert!(!walked.step(&paging, &client, &user, None).await.unwrap());
    }
    server.kill_pds().await.unwrap();
    let error = walked.step(&paging, &client, &user, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Passing { .. }), "{error}");
    server.restart_pds().await.unwrap();
    // Elsewhere, as after the node's own death: nothing but the cursor is left.
    let elsewhere = pages_only(&server);
    while !walked.step(&elsewhere, &client, &user, None).await.unwrap() {}
    assert_eq!(walked.lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pds_that_hangs_costs_a_timeout_and_not_the_walk() {
    let server = BlueskyServer::start(BlueskySettings::default()).await.unwrap();
    let ada = server.account("ada").await.unwrap();
    ada.post(3).await.unwrap();
    let source = source(&server);
    source.locate(&client(), &user(&ada.did)).await.outcome.unwrap();
    server.pds().freeze().unwrap();
    let impatient = {
        use node::http_client::{ClientTls, HttpClient, HttpSettings};
        let idle_timeout = std::time::Duration::from_millis(500);
        let settings = HttpSettings { idle_timeout, ..HttpSettings::default() };
        HttpClient::new(
            None,
            &settings,
            &ClientTls::new().unwrap(),
            std::sync::Arc::new(storage::env::SystemClock::new()),
        )
        .unwrap()
    };
    let error = source.timeline_page(&impatient, &user(&ada.did), None, None).await.outcome.unwrap_err();
    assert!(matches!(&error, SourceError::Passing { what, .. } if what.contains("timed out")), "{error}");
    server.pds().thaw().unwrap();
    eventually("the PDS answers again", async || Ok(walk(&source, &ada.did, None).await.ok())).await.unwrap();
}
