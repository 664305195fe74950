//! Followers and profiles from a real AppView.

use node::follow::FollowRule;
use node::http_client::HttpClient;
use node::source::bluesky::BlueskySource;
use node::source::{Source, SourceError};
use twm_tests::bluesky_server::{Account, BlueskyServer, BlueskySettings};
use twm_tests::cluster::eventually;

use super::world::{client, source, user};

/// More than a page.
const FANS: usize = 104;

#[tokio::test(flavor = "multi_thread")]
async fn follower_lists_profiles_and_handles_are_read() {
    let server =
        BlueskyServer::start(BlueskySettings { appview: true, ..BlueskySettings::default() }).await.unwrap();
    let ada = server.account("ada").await.unwrap();
    ada.post(3).await.unwrap();
    let mut fans: Vec<Account> = Vec::new();
    for n in 0..FANS {
        let fan = server.account(&format!("fan{n:03}")).await.unwrap();
        fan.follow(&[&ada]).await.unwrap();
        fans.push(fan);
    }
    let counted = format!("\"followersCount\":{FANS}");
    let query = format!("app.bsky.actor.getProfile?actor={}", ada.did);
    server
        .until_appview(&query, |page| page.body.contains(&counted) && page.body.contains("\"postsCount\":3"))
        .await
        .unwrap();

    let (source, client) = (source(&server), client());
    let mut expected: Vec<String> = fans.iter().map(|fan| fan.did.clone()).collect();
    expected.sort();
    // Followers that are not indexed yet are counted, and left out of pages.
    let pages = eventually("the list is complete", async || {
        let (ids, pages) = list(&source, &client, &ada.did).await;
        Ok((ids == expected).then_some(pages))
    });
    let pages = pages.await.unwrap();
    assert!(pages == 2 || pages == 3, "{pages}");

    let asked: Vec<_> = fans[..24].iter().chain([&ada]).map(|account| user(&account.did)).collect();
    let profiles = source.lookup(&client, &asked).await.outcome.unwrap();
    assert_eq!(profiles.len(), 25);
    let profile = profiles.iter().find(|profile| profile.id == user(&ada.did)).unwrap();
    // It has no record of a profile: the AppView does not say when it was made.
    for rule in [
        "user.followers_count == 104",
        "user.posts_count == 3 && user.statuses_count == 3",
        "user.screen_name == 'ada.test'",
        "!has(user.created_at)",
        "user.raw.postsCount == 3",
    ] {
        assert_eq!(FollowRule::compile(rule).unwrap().admits(profile), Ok(true), "{rule}");
    }
    let names = ["ada.test".to_owned(), "FAN000.test".to_owned(), "nobody.test".to_owned()];
    let found = source.resolve(&client, &names).await.outcome.unwrap();
    let mut found: Vec<String> = found.iter().map(|profile| profile.id.to_string()).collect();
    found.sort();
    let mut expected = vec![ada.did.clone(), fans[0].did.clone()];
    expected.sort();
    assert_eq!(found, expected);

    // As seen: a garbage cursor is a 500, and stays one.
    let error = source.followers_page(&client, &user(&ada.did), Some("garbage")).await.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Passing { .. }), "{error}");
}

/// The followers in order of their ids, and the number of pages.
async fn list(source: &BlueskySource, client: &HttpClient, did: &str) -> (Vec<String>, usize) {
    let (mut ids, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = source.followers_page(client, &user(did), cursor.as_deref()).await.outcome.unwrap();
        assert_eq!(page.profiles.len(), page.ids.len(), "they come along");
        ids.extend(page.ids.iter().map(ToString::to_string));
        pages += 1;
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    ids.sort();
    (ids, pages)
}
