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

/// Resolves names as a crawl does: those that are not found are searched for. Returns ids and names, and how many steps
/// were made.
async fn found(source: &BlueskySource, names: &[&str]) -> (Vec<(String, String)>, usize) {
    let (client, mut steps) = (client(), 1);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut profiles = source.resolve(&client, &names).await.outcome.unwrap();
    for name in names {
        if profiles.iter().any(|profile| profile.screen_name.as_deref() == Some(&name.to_ascii_lowercase())) {
            continue;
        }
        let mut next = source.first_lead(&name);
        while let Some(lead) = next.take() {
            steps += 1;
            match source.follow_lead(&client, &lead).await.outcome.unwrap() {
                Trail::Found(profile) => profiles.push(profile),
                Trail::Next(lead) => next = Some(lead),
                Trail::Nobody => {}
            }
        }
    }
    let named = |profile: Profile| (profile.id.to_string(), profile.screen_name.unwrap());
    (profiles.into_iter().map(named).collect(), steps)
}

const GONE: &str = "did:plc:gggggggggggggggggggggggg";

#[tokio::test]
async fn handles_are_resolved_both_ways() {
    let origin = network(|method, seen| match method {
        "app.bsky.actor.getProfiles" => {
            assert_eq!(seen.query, "actors=ada.test&actors=gone.test&actors=thief.test&actors=none.test");
            let profiles = format!(r#"{{"did":"{DID}","handle":"ada.test","postsCount":3}},{{"did":"{OTHER}","handle":"handle.invalid"}}"#);
            Some(answer(200, format!(r#"{{"profiles":[{profiles}]}}"#)))
        }
        "com.atproto.identity.resolveHandle" => Some(match seen.query.as_str() {
            "handle=gone.test" => answer(200, format!(r#"{{"did":"{GONE}"}}"#)),
            "handle=thief.test" => answer(200, format!(r#"{{"did":"{OTHER}"}}"#)),
            _ => refusal("InvalidRequest", "Unable to resolve handle"),
        }),
        GONE => Some(answer(200, document(method, "https://a.b", "gone.test"))),
        _ => None,
    })
    .await;
    let names = ["Ada.test", "gone.test", "thief.test", "none.test"];
    let (found, steps) = found(&source(&origin), &names).await;
    let expected =
        [(DID, "ada.test"), (GONE, "gone.test")].map(|(did, name)| (did.to_owned(), name.to_owned()));
    assert_eq!(found, expected);
    // The profiles; resolver and document twice; resolver, DNS and the handle's own host.
    assert_eq!(steps, 1 + 2 + 2 + 3);
}

#[tokio::test]
async fn a_handle_that_the_appview_does_not_know_is_told_by_dns_or_its_own_host() {
    let origin = network(|method, seen| match method {
        "app.bsky.actor.getProfiles" => Some(answer(200, r#"{"profiles":[]}"#)),
        "com.atproto.identity.resolveHandle" => Some(refusal("InvalidRequest", "Unable to resolve handle")),
        "atproto-did" => Some(match seen.headers["host"].to_str().unwrap() {
            "web.test" => answer(200, format!("{OTHER}\r\n")),
            "long.test" => answer(200, "did:plc:".repeat(1000)),
            "page.test" => answer(200, "<html>"),
            "away.test" => answer(503, ""),
            // DNS says otherwise, and comes first.
            _ => answer(200, DID),
        }),
        GONE => Some(answer(200, document(method, "https://a.b", "dns.test"))),
        OTHER => Some(answer(200, document(method, "https://a.b", "web.test"))),
        _ => None,
    })
    .await;
    let server = dns::tests::serve(|name| match name {
        "_atproto.dns.test" => vec!["v=spf1", "did=did:plc:gggggggggggggggggggggggg"],
        "_atproto.two.test" => {
            vec!["did=did:plc:gggggggggggggggggggggggg", "did=did:plc:zzzzzzzzzzzzzzzzzzzzzzzz"]
        }
        "_atproto.odd.test" => vec!["did=did:key:x"],
        _ => vec![],
    })
    .await;
    let settings = BlueskySettings { name_servers: Some(vec![server]), ..settings(&origin) };
    let expected =
        [(GONE, "dns.test"), (OTHER, "web.test")].map(|(did, name)| (did.to_owned(), name.to_owned()));
    let names = ["dns.test", "web.test", "long.test", "page.test", "away.test", "two.test", "odd.test"];
    let (known, steps) = found(&source_of(settings.clone()), &names).await;
    assert_eq!(known, expected);
    let (own, fewer) = found(&source_of(BlueskySettings { own_handles: true, ..settings }), &names).await;
    assert_eq!((own, fewer), (expected.to_vec(), steps - names.len()), "the AppView's resolver is not asked");
}

#[tokio::test]
async fn the_host_of_a_handle_cannot_be_one_of_the_nodes_own_network() {
    let origin = network(|_, _| None).await;
    let settings = BlueskySettings {
        foreign_hosts: ForeignHosts::Public,
        handle_gateway: None,
        own_handles: true,
        ..settings(&origin)
    };
    let source = source_of(settings);
    let Some(lead) = source.first_lead("localhost.localdomain") else { panic!("it is a handle") };
    let Ok(Trail::Next(lead)) = source.follow_lead(&client(), &lead).await.outcome else { panic!("no DNS") };
    let answer = source.follow_lead(&client(), &lead).await;
    assert!(matches!(answer.outcome, Ok(Trail::Nobody)));
    assert!(!matches!(answer.rate.delivery, Delivery::Answered(_)));
    assert_eq!(source.first_lead("127.0.0.1"), None, "an address is no handle");
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
