//! Followers, profiles, handles and labels.

use super::*;

#[tokio::test]
async fn followers_come_with_their_profiles_and_short_pages_go_on() {
    let origin = network(|method, seen| {
        (method == "app.bsky.graph.getFollowers").then(|| {
            assert!(seen.query.contains("limit=100"));
            let person = |did: &str| format!(r#"{{"did":"{did}","handle":"a.test","displayName":"A"}}"#);
            match seen.query.split("cursor=").nth(1) {
                None => answer(200, format!(r#"{{"followers":[{}],"cursor":"1__x"}}"#, person(DID))),
                Some("1__x") => answer(200, r#"{"followers":[],"cursor":"2__y"}"#),
                Some("2__y") => {
                    answer(200, format!(r#"{{"followers":[{{"did":"did:key:x"}},{}]}}"#, person(OTHER)))
                }
                Some("loop") => answer(200, r#"{"followers":[],"cursor":"loop"}"#),
                Some("none") => answer(200, r#"{"followers":[{"handle":"x"}]}"#),
                // A cursor that it cannot read.
                _ => answer(500, r#"{"error":"InternalServerError","message":"Internal Server Error"}"#),
            }
        })
    })
    .await;
    let (source, client, user) = (source(&origin), client(), user(DID));
    let page = async |cursor| source.followers_page(&client, &user, cursor).await.outcome;
    let first = page(None).await.unwrap();
    assert_eq!(
        (first.ids, first.profiles.len(), first.next.as_deref()),
        (vec![user.clone()], 1, Some("1__x"))
    );
    assert_eq!(page(Some("1__x")).await.unwrap().next.as_deref(), Some("2__y"));
    let last = page(Some("2__y")).await.unwrap();
    assert_eq!((last.ids.len(), last.unusable, last.next), (1, 1, None));
    assert!(matches!(page(Some("loop")).await, Err(SourceError::Loops { .. })));
    assert!(matches!(page(Some("none")).await, Err(SourceError::Garbage { .. })));
    assert!(matches!(page(Some("garbage")).await, Err(SourceError::Passing { .. })));
}

#[tokio::test]
async fn why_followers_are_refused_is_asked_of_the_profile() {
    for (name, message, reason) in [
        ("AccountTakedown", "Account has been suspended", GoneReason::TakenDown),
        ("AccountDeactivated", "Account is deactivated", GoneReason::Deactivated),
        ("InvalidRequest", "Profile not found", GoneReason::NotFound),
    ] {
        let origin = network(move |method, _| match method {
            "app.bsky.graph.getFollowers" => Some(refusal("InvalidRequest", "Actor not found: x")),
            "app.bsky.actor.getProfile" => Some(refusal(name, message)),
            _ => None,
        })
        .await;
        let error = source(&origin).followers_page(&client(), &user(DID), None).await.outcome.unwrap_err();
        assert!(
            matches!(error, SourceError::Gone { reason: found, .. } if found == reason),
            "{name}: {error}"
        );
    }
    let origin = network(|method, _| {
        (method == "app.bsky.graph.getFollowers").then(|| refusal("BlockedByActor", "x"))
    })
    .await;
    let error = source(&origin).followers_page(&client(), &user(DID), None).await.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Gone { reason: GoneReason::Blocked, .. }), "{error}");
}

#[tokio::test]
async fn handles_are_resolved_both_ways() {
    let origin = network(|method, seen| match method {
        "app.bsky.actor.getProfiles" => {
            assert_eq!(seen.query, "actors=ada.test&actors=gone.test&actors=thief.test&actors=none.test");
            let profiles = format!(r#"{{"did":"{DID}","handle":"ada.test","postsCount":3}},{{"did":"{OTHER}","handle":"handle.invalid"}}"#);
            Some(answer(200, format!(r#"{{"profiles":[{profiles}]}}"#)))
        }
        "com.atproto.identity.resolveHandle" => Some(match seen.query.as_str() {
            "handle=gone.test" => answer(200, r#"{"did":"did:plc:gggggggggggggggggggggggg"}"#),
            "handle=thief.test" => answer(200, format!(r#"{{"did":"{OTHER}"}}"#)),
            _ => refusal("InvalidRequest", "Unable to resolve handle"),
        }),
        "did:plc:gggggggggggggggggggggggg" => Some(answer(200, document(method, "https://a.b", "gone.test"))),
        _ => None,
    })
    .await;
    let names = ["Ada.test", "gone.test", "thief.test", "none.test"].map(str::to_owned);
    let found = source(&origin).resolve(&client(), &names).await.outcome.unwrap();
    let found: Vec<(String, String)> =
        found.into_iter().map(|profile| (profile.id.to_string(), profile.screen_name.unwrap())).collect();
    let gone = "did:plc:gggggggggggggggggggggggg".to_owned();
    assert_eq!(found, [(DID.to_owned(), "ada.test".to_owned()), (gone, "gone.test".to_owned())]);
}

#[tokio::test]
async fn accounts_that_hide_from_strangers_are_left_out_unless_the_settings_say_otherwise() {
    let label = r#"{"$type":"com.atproto.label.defs#selfLabels","values":[{"val":"!no-unauthenticated"}]}"#;
    let origin = network(move |method, seen| match method {
        "com.atproto.repo.listRecords" if seen.query.contains("actor.profile") => {
            Some(answer(200, format!(r#"{{"records":[{{"uri":"x","value":{{"labels":{label}}}}}]}}"#)))
        }
        "com.atproto.repo.listRecords" => Some(listed(seen, &KEYS, 100)),
        "app.bsky.graph.getFollowers" => {
            let person = |did, label| format!(r#"{{"did":"{did}","handle":"a.test","labels":[{label}]}}"#);
            let hidden = r#"{"val":"!no-unauthenticated","src":"x"}"#;
            let subject = if seen.query.contains("zzzz") { "" } else { hidden };
            let followers = format!("{},{}", person(DID, hidden), person(OTHER, ""));
            Some(answer(200, format!(r#"{{"subject":{},"followers":[{followers}]}}"#, person("x", subject))))
        }
        "app.bsky.actor.getProfiles" => {
            Some(answer(200, format!(r#"{{"profiles":[{{"did":"{DID}","handle":"a.b","labels":[{{"val":"!no-unauthenticated"}}]}}]}}"#)))
        }
        _ => None,
    })
    .await;
    let since = Some("3k1+app.bsky.feed.post");
    let gone =
        |error: SourceError| matches!(error, SourceError::Gone { reason: GoneReason::SignedInOnly, .. });
    let polite = source(&origin);
    assert!(gone(walk(&polite, since).await.unwrap_err()));
    assert!(gone(polite.followers_page(&client(), &user(DID), None).await.outcome.unwrap_err()));
    let page = polite.followers_page(&client(), &user(OTHER), None).await.outcome.unwrap();
    assert_eq!((page.ids.len(), page.profiles.len()), (2, 1));
    assert!(polite.lookup(&client(), &[user(DID)]).await.outcome.unwrap().is_empty());
    let all = source_of(BlueskySettings { signed_in_only: true, ..settings(&origin) });
    assert_eq!(walk(&all, since).await.unwrap().len(), 5);
    assert_eq!(all.lookup(&client(), &[user(DID)]).await.outcome.unwrap().len(), 1);
    assert_eq!(all.followers_page(&client(), &user(DID), None).await.outcome.unwrap().profiles.len(), 2);
}
