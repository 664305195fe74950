//! Timelines from a real PDS.

use twm_tests::bluesky_server::{BlueskyServer, BlueskySettings};

use super::world::{pages_only, settings, source, source_of, walk};

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_the_whole_repository_give_the_same_lines() {
    let server = BlueskyServer::start(BlueskySettings::default()).await.unwrap();
    let (ada, bob) = (server.account("ada").await.unwrap(), server.account("bob").await.unwrap());
    let others = bob.post(130).await.unwrap();
    ada.label(&[]).await.unwrap();
    ada.follow(&[&bob]).await.unwrap();
    // Posts and reposts alternate, among likes.
    let mut expected = Vec::new();
    for part in others.chunks(65) {
        expected.extend(ada.post(120).await.unwrap());
        ada.like(part).await.unwrap();
        expected.extend(ada.repost(part).await.unwrap());
    }
    let whole = walk(&source(&server), &ada.did, None).await.unwrap();
    let uris: Vec<String> = whole.lines.iter().map(|line| uri(line)).collect();
    expected.reverse();
    assert_eq!(uris, expected);
    assert_eq!(whole.requests, 1);
    let paged = walk(&pages_only(&server), &ada.did, None).await.unwrap();
    assert_eq!(paged.ids(), whole.ids());
    assert_eq!(paged.lines, whole.lines, "byte for byte");
    // The repository, the labels, three pages of posts, two of reposts, and an empty one at the end of each.
    assert_eq!(paged.requests, 1 + 1 + 4 + 3);

    let since = &whole.ids()[39];
    let update = walk(&source(&server), &ada.did, Some(since)).await.unwrap();
    assert_eq!(update.lines, whole.lines[..39]);
    assert_eq!(update.requests, 3, "the labels and a page of each collection");
    let nothing = walk(&source(&server), &ada.did, Some(&whole.ids()[0])).await.unwrap();
    assert_eq!((nothing.lines.len(), nothing.requests), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_without_posts_and_other_collections_are_walked() {
    let server = BlueskyServer::start(BlueskySettings::default()).await.unwrap();
    let (ada, bob) = (server.account("ada").await.unwrap(), server.account("bob").await.unwrap());
    for source in [source(&server), pages_only(&server)] {
        assert!(walk(&source, &ada.did, None).await.unwrap().lines.is_empty());
    }
    ada.follow(&[&bob]).await.unwrap();
    let follows = vec!["app.bsky.graph.follow".to_owned()];
    for limit in [1 << 20, 1] {
        let settings = node::source::bluesky::BlueskySettings {
            collections: follows.clone(),
            repository_limit: limit,
            ..settings(&server)
        };
        let lines = walk(&source_of(settings), &ada.did, None).await.unwrap().lines;
        assert!(lines.len() == 1 && lines[0].contains(&bob.did), "{lines:?}");
    }
}

fn uri(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line.as_object().unwrap().len(), 3, "{line}");
    line["uri"].as_str().unwrap().to_owned()
}
