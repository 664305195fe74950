//! Every way of being gone, as real servers tell it.

use node::source::{GoneReason, Source, SourceError, Trail};
use twm_tests::bluesky_server::{Account, BlueskyServer, BlueskySettings};

use super::world::{client, pages_only, settings, source, source_of, user, walk};

async fn timeline(server: &BlueskyServer, did: &str) -> Result<usize, GoneReason> {
    let mut reasons = Vec::new();
    for source in [source(server), pages_only(server)] {
        reasons.push(match walk(&source, did, None).await {
            Ok(walked) => Ok(walked.lines.len()),
            Err(SourceError::Gone { reason, .. }) => Err(reason),
            Err(other) => panic!("{did}: {other}"),
        });
    }
    assert_eq!(reasons[0], reasons[1], "{did}");
    // An update asks for pages at once.
    let update = walk(&source(server), did, Some("3+app.bsky.feed.post")).await;
    let update = update.map(|walked| walked.lines.len()).map_err(|error| match error {
        SourceError::Gone { reason, .. } => reason,
        other => panic!("{did}: {other}"),
    });
    assert_eq!(update, reasons[0], "{did}");
    update
}

async fn followers(server: &BlueskyServer, did: &str) -> Result<usize, GoneReason> {
    match source(server).followers_page(&client(), &user(did), None).await.outcome {
        Ok(page) => Ok(page.ids.len()),
        Err(SourceError::Gone { reason, .. }) => Err(reason),
        Err(other) => panic!("{did}: {other}"),
    }
}

async fn account(server: &BlueskyServer, name: &str) -> Account {
    let account = server.account(name).await.unwrap();
    account.post(2).await.unwrap();
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_gone_for_the_reasons_that_servers_give() {
    let server =
        BlueskyServer::start(BlueskySettings { appview: true, ..BlueskySettings::default() }).await.unwrap();
    let deleted = account(&server, "deleted").await;
    let deactivated = account(&server, "inactive").await;
    let taken_down = account(&server, "takendown").await;
    let hidden_by_appview = account(&server, "hidden").await;
    let signed_in_only = account(&server, "shy").await;
    let fan = account(&server, "fan").await;
    let everybody = [&deleted, &deactivated, &taken_down, &hidden_by_appview, &signed_in_only];
    fan.follow(&everybody).await.unwrap();
    for account in everybody {
        let query = format!("app.bsky.graph.getFollowers?actor={}", account.did);
        server.until_appview(&query, |page| page.body.contains(&fan.did)).await.unwrap();
        assert_eq!(followers(&server, &account.did).await, Ok(1));
    }
    assert_eq!(timeline(&server, &deleted.did).await, Ok(2));

    deleted.delete().await.unwrap();
    deactivated.deactivate().await.unwrap();
    server.take_down(&taken_down).await.unwrap();
    server.take_down_at_appview(&hidden_by_appview).await.unwrap();
    signed_in_only.label(&["!no-unauthenticated"]).await.unwrap();
    let profile = |account: &Account| format!("app.bsky.actor.getProfile?actor={}", account.did);
    for account in [&deleted, &deactivated, &taken_down, &hidden_by_appview] {
        server.until_appview(&profile(account), |page| page.status == 400).await.unwrap();
    }
    let labelled = |page: &twm_tests::cluster::Page| page.body.contains("!no-unauthenticated");
    server.until_appview(&profile(&signed_in_only), labelled).await.unwrap();

    assert_eq!(timeline(&server, &deleted.did).await, Err(GoneReason::Deleted));
    assert_eq!(timeline(&server, &deactivated.did).await, Err(GoneReason::Deactivated));
    assert_eq!(timeline(&server, &taken_down.did).await, Err(GoneReason::TakenDown));
    assert_eq!(timeline(&server, &hidden_by_appview.did).await, Ok(2), "its own server still has it");
    assert_eq!(timeline(&server, &signed_in_only.did).await, Err(GoneReason::SignedInOnly));
    assert_eq!(followers(&server, &deleted.did).await, Err(GoneReason::NotFound));
    assert_eq!(followers(&server, &deactivated.did).await, Err(GoneReason::Deactivated));
    assert_eq!(followers(&server, &taken_down.did).await, Err(GoneReason::TakenDown));
    assert_eq!(followers(&server, &hidden_by_appview.did).await, Err(GoneReason::TakenDown));
    assert_eq!(followers(&server, &signed_in_only.did).await, Err(GoneReason::SignedInOnly));

    let unknown = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(timeline(&server, unknown).await, Err(GoneReason::NotFound));
    assert_eq!(followers(&server, unknown).await, Err(GoneReason::NotFound));

    let everybody: Vec<_> =
        everybody.iter().map(|account| user(&account.did)).chain([user(&fan.did)]).collect();
    let known = source(&server).lookup(&client(), &everybody).await.outcome.unwrap();
    assert_eq!(
        known.iter().map(|profile| profile.id.to_string()).collect::<Vec<_>>(),
        std::slice::from_ref(&fan.did)
    );
    let settings = node::source::bluesky::BlueskySettings { signed_in_only: true, ..settings(&server) };
    let all = source_of(settings);
    assert_eq!(walk(&all, &signed_in_only.did, None).await.unwrap().lines.len(), 2);
    assert_eq!(all.lookup(&client(), &everybody).await.outcome.unwrap().len(), 2);

    // A handle of an account that is gone still leads to it, so that the crawl can tell why; one of a deleted account does not.
    let handles = [&deactivated, &taken_down, &deleted, &fan].map(|account| account.handle.clone());
    let resolver = source(&server);
    let found = resolver.resolve(&client(), &handles).await.outcome.unwrap();
    let mut found: Vec<String> = found.iter().map(|profile| profile.id.to_string()).collect();
    assert_eq!(found, std::slice::from_ref(&fan.did), "the AppView has no profile of the others");
    for handle in handles.iter().filter(|handle| **handle != fan.handle) {
        let mut next = resolver.first_lead(handle);
        while let Some(lead) = next.take() {
            match resolver.follow_lead(&client(), &lead).await.outcome.unwrap() {
                Trail::Found(profile) => found.push(profile.id.to_string()),
                Trail::Next(lead) => next = Some(lead),
                Trail::Nobody => {}
            }
        }
    }
    found.sort();
    let mut expected = [&deactivated, &taken_down, &fan].map(|account| account.did.clone());
    expected.sort();
    assert_eq!(found, expected);
}
