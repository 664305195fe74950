//! The box itself keeps what it is given, and gives what the tests rely on.

use twm_tests::bluesky_server::{BlueskyServer, BlueskySettings, POST};
use twm_tests::cluster::Page;

fn address(url: &str) -> String {
    url.trim_start_matches("http://").replace("localhost", "127.0.0.1")
}

async fn listed(server: &BlueskyServer, did: &str) -> Page {
    let path = format!("/xrpc/com.atproto.repo.listRecords?repo={did}&collection={POST}&limit=100");
    Page::get(&address(&server.pds_url()), &path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pds_comes_back_with_its_accounts_and_can_make_more() {
    let mut server = BlueskyServer::start(BlueskySettings::default()).await.unwrap();
    let ada = server.account("ada").await.unwrap();
    let posts = ada.post(3).await.unwrap();
    let before = listed(&server, &ada.did).await;
    assert!(posts.iter().all(|uri| before.body.contains(uri)), "{}", before.body);
    server.kill_pds().await.unwrap();
    assert!(Page::get(&address(&server.pds_url()), "/xrpc/_health").await.is_err());
    server.restart_pds().await.unwrap();
    assert_eq!(listed(&server, &ada.did).await, before);
    let bob = server.account("bob").await.unwrap();
    assert_ne!(bob.did, ada.did);
    let directory = Page::get(&address(&server.plc_url()), &format!("/{}", bob.did)).await.unwrap();
    assert!(directory.body.contains(&server.pds_url()), "{}", directory.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_appview_indexes_what_the_pds_publishes() {
    let settings = BlueskySettings { appview: true, ..BlueskySettings::default() };
    let server = BlueskyServer::start(settings).await.unwrap();
    let (ada, bob) = (server.account("ada").await.unwrap(), server.account("bob").await.unwrap());
    bob.follow(&[&ada]).await.unwrap();
    let query = format!("app.bsky.graph.getFollowers?actor={}", ada.did);
    let page = server.until_appview(&query, |page| page.body.contains(&bob.did)).await.unwrap();
    assert!(page.body.contains("\"handle\":\"bob.test\""), "{}", page.body);
}
