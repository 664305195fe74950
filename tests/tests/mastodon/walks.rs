//! Whole timelines and follower lists.

use node::source::{Source, SourceError};
use twm_tests::emulator::mastodon::{FediverseOptions, HostKind};

use super::crawl::{Crawl, host_of, id, source};

fn mixed(accounts: u64) -> FediverseOptions {
    FediverseOptions { celebrity: Some(200), ..FediverseOptions::new(6, accounts, 7) }
        .with(2, HostKind::Old)
        .with(3, HostKind::Token)
        .with(4, HostKind::GoToSocial)
        .with(5, HostKind::Limited)
}

#[tokio::test]
async fn timelines_and_follower_lists_of_many_hosts_are_whole() {
    let crawl = Crawl::start(mixed(30), &[3, 4, 5]).await;
    let (mut posts, mut followers) = (0, 0);
    for acct in crawl.fediverse.accounts() {
        let timeline = crawl.timeline(&acct, None).await.unwrap();
        assert_eq!(timeline.items, crawl.fediverse.expected_timeline(&acct), "{acct}");
        let list = crawl.followers(&acct).await.unwrap();
        assert_eq!(list.items, crawl.fediverse.expected_followers(&acct), "{acct}");
        assert_eq!(list.profiles, list.items.len(), "followers come with their profiles");
        let (pages, lists) = (timeline.items.len() / 40 + 1, list.items.len() / 80 + 1);
        if host_of(&acct) == "h1.test" {
            // One look-up for both; a full last page costs none more than that.
            assert!(timeline.requests <= 1 + pages as u64 + 1 && list.requests <= lists as u64 + 1, "{acct}");
        }
        posts += timeline.items.len();
        followers += list.items.len();
    }
    assert!(posts > 5000 && followers > 3000, "{posts} posts, {followers} followers");
    assert_eq!(crawl.fediverse.stats().statuses.keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn a_walk_goes_on_at_another_node_from_any_page() {
    let crawl = Crawl::start(mixed(20), &[3, 4, 5]).await;
    let longest = |acct: &String| crawl.fediverse.expected_timeline(acct).len();
    for host in ["h1.test", "h4.test"] {
        let accounts = crawl.fediverse.accounts().into_iter().filter(|acct| host_of(acct) == host);
        let acct = accounts.max_by_key(longest).unwrap();
        let (mut items, mut cursor) = (Vec::new(), None);
        loop {
            // Each page at a node that has seen nothing of the account.
            let source = source(&crawl.fediverse, &[3, 4, 5]);
            let page = source.timeline_page(&crawl.client, &id(&acct), cursor.as_deref(), None).await;
            let page = page.outcome.unwrap();
            items.extend(page.posts().map(|(id, _)| id.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(items.len() > 80, "{}", items.len());
        assert_eq!(items, crawl.fediverse.expected_timeline(&acct));
        let (mut followers, mut cursor) = (Vec::new(), None);
        loop {
            let source = source(&crawl.fediverse, &[3, 4, 5]);
            let page = source.followers_page(&crawl.client, &id(&acct), cursor.as_deref()).await;
            let page = page.outcome.unwrap();
            followers.extend(page.ids.iter().map(ToString::to_string));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(followers, crawl.fediverse.expected_followers(&acct));
    }
}

#[tokio::test]
async fn an_update_brings_what_is_newer_and_its_first_page_is_no_paging_request() {
    let crawl = Crawl::start(mixed(20), &[3, 4, 5]).await;
    for acct in crawl.fediverse.accounts() {
        let all = crawl.fediverse.expected_timeline(&acct);
        for newest in [0, 3, 45].into_iter().filter(|newest| *newest < all.len()) {
            let update = crawl.timeline(&acct, Some(&all[newest])).await.unwrap();
            assert_eq!(update.items, all[..newest], "{acct} since {newest}");
        }
    }
    let user = id("ada1@h1.test");
    let scope = |cursor| crawl.source.page_scope(node::source::Endpoint::Timeline, &user, cursor);
    assert_eq!(scope(None), scope(Some("117440810532227399")));
    assert_ne!(scope(None), scope(Some("117440810532227399/5")));
}

#[tokio::test]
async fn posts_are_the_bytes_that_the_host_sent_and_a_repeated_post_counts_by_its_own_id() {
    let crawl = Crawl::start(FediverseOptions::new(1, 20, 7), &[]).await;
    let mut repeated = 0;
    for acct in crawl.fediverse.accounts() {
        let user = id(&acct);
        let (mut cursor, mut first) = (None, true);
        while first || cursor.is_some() {
            first = false;
            let page = crawl.source.timeline_page(&crawl.client, &user, cursor.as_deref(), None).await;
            let page = page.outcome.unwrap();
            for (id, json) in page.posts() {
                let post: serde_json::Value = serde_json::from_str(json).unwrap();
                assert_eq!(post["id"].as_str(), Some(id.to_string().as_str()));
                repeated += usize::from(!post["reblog"].is_null());
            }
            cursor = page.next;
        }
    }
    assert!(repeated > 50, "{repeated}");
}

#[tokio::test]
async fn a_walk_of_an_unknown_account_ends_at_its_look_up() {
    let crawl = Crawl::start(mixed(5), &[3, 4, 5]).await;
    for host in 1..=6 {
        let error = crawl.timeline(&format!("nobody@h{host}.test"), None).await.unwrap_err();
        assert!(matches!(error, SourceError::Gone { status: 404, .. }), "{error}");
    }
    assert_eq!(crawl.fediverse.stats().requests, 6);
}
