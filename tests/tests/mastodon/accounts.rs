//! Accounts that are gone, and look-ups.

use std::collections::BTreeMap;

use node::source::{GoneReason, Source, SourceError};
use twm_tests::emulator::mastodon::{FediverseOptions, HostKind, Standing};

use super::crawl::{Crawl, host_of, id, source};

fn gone(error: SourceError) -> GoneReason {
    match error {
        SourceError::Gone { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn suspended_accounts_and_hidden_lists_are_gone_for_their_own_reasons() {
    let options = FediverseOptions {
        suspended_percent: 25.0,
        hidden_percent: 25.0,
        ..FediverseOptions::new(3, 40, 11).with(2, HostKind::Old)
    };
    let crawl = Crawl::start(options, &[]).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for acct in crawl.fediverse.accounts() {
        let (timeline, followers) = (crawl.timeline(&acct, None).await, crawl.followers(&acct).await);
        let standing = crawl.fediverse.standing(&acct).unwrap();
        let has_followers = crawl.source.lookup(&crawl.client, &[id(&acct)]).await.outcome.unwrap();
        let has_followers = has_followers
            .first()
            .is_some_and(|profile| !profile.raw.get().contains("\"followers_count\":0,"));
        match standing {
            Standing::Suspended => {
                assert_eq!(gone(timeline.unwrap_err()), GoneReason::Suspended);
                assert_eq!(gone(followers.unwrap_err()), GoneReason::Suspended);
            }
            Standing::HiddenFollowers if has_followers => {
                assert_eq!(timeline.unwrap().items, crawl.fediverse.expected_timeline(&acct));
                assert_eq!(gone(followers.unwrap_err()), GoneReason::HiddenFollowers);
            }
            _ => assert_eq!(followers.unwrap().items, crawl.fediverse.expected_followers(&acct)),
        }
        *seen.entry(format!("{} {standing:?}", host_of(&acct))).or_default() += 1;
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[tokio::test]
async fn a_hidden_list_is_told_from_an_empty_one_whoever_looked_the_account_up() {
    let options = FediverseOptions { hidden_percent: 100.0, ..FediverseOptions::new(1, 20, 2) };
    let crawl = Crawl::start(options, &[]).await;
    let acct = &crawl.fediverse.accounts()[0];
    let first = crawl.followers(acct).await.unwrap_err();
    assert_eq!(gone(first), GoneReason::HiddenFollowers);
    // From memory: the empty page makes it look the account up again.
    let second = crawl.followers(acct).await.unwrap_err();
    assert_eq!(gone(second), GoneReason::HiddenFollowers);
    // At a node that starts in the middle.
    let source = source(&crawl.fediverse, &[]);
    let page = crawl.source.followers_page(&crawl.client, &id(acct), Some("?")).await.outcome.unwrap();
    let mut cursor = page.next;
    let error = loop {
        match source.followers_page(&crawl.client, &id(acct), cursor.as_deref()).await.outcome {
            Ok(page) => cursor = Some(page.next.expect("an end without a reason")),
            Err(error) => break error,
        }
    };
    assert_eq!(gone(error), GoneReason::HiddenFollowers);
}

#[tokio::test]
async fn accounts_are_looked_up_at_their_homes_and_named_as_these_spell_them() {
    let options = FediverseOptions::new(4, 10, 5).with(2, HostKind::Token).with(3, HostKind::GoToSocial);
    let crawl = Crawl::start(options, &[2, 3]).await;
    for acct in crawl.fediverse.accounts() {
        let shouted = acct.replace(".test", "").to_uppercase() + ".test";
        let resolved =
            crawl.source.resolve(&crawl.client, std::slice::from_ref(&shouted)).await.outcome.unwrap();
        assert_eq!(resolved[0].id, id(&acct), "the home's own spelling");
        assert_eq!(resolved[0].screen_name.as_deref(), Some(shouted.as_str()));
        let asked = id(&shouted);
        let found = crawl.source.lookup(&crawl.client, std::slice::from_ref(&asked)).await.outcome.unwrap();
        assert_eq!(found[0].id, asked, "the id that was asked for");
    }
    let none = crawl.source.lookup(&crawl.client, &[id("nobody@h1.test")]).await.outcome.unwrap();
    assert!(none.is_empty());
    let none = crawl.source.resolve(&crawl.client, &["nobody@h3.test".to_owned()]).await.outcome.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn nothing_is_asked_about_what_is_no_account() {
    let crawl = Crawl::start(FediverseOptions::new(1, 5, 5), &[]).await;
    for user in ["17", "did:plc:abc", "a@localhost", "a@127.0.0.1", "a@h1.test:80"] {
        let error = crawl.timeline(user, None).await.unwrap_err();
        assert!(matches!(error, SourceError::Refused { status: None, .. }), "{user}: {error}");
    }
    let two = [id("a@h1.test"), id("b@h1.test")];
    assert!(crawl.source.lookup(&crawl.client, &two).await.outcome.is_err());
    assert_eq!(crawl.fediverse.stats().requests, 0);
}
