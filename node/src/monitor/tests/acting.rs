//! Acting.

use api::model::{CrawlId, CrawlPhase, Write};
use serde_json::json;

use super::world::{Port, TOKEN};

#[tokio::test]
async fn without_a_token_nobody_acts_and_is_told_how_to() {
    let port = Port::open(None).await;
    let refused = port.post("/api/v1/crawls/7/pause").await;
    assert_eq!(refused.status, 403);
    assert!(refused.error().contains("--monitor-token"), "{}", refused.body);
    assert_eq!(port.get("/api/v1/cluster").await["actions"], false);
    assert!(port.fake.mutations.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_without_the_token_or_from_a_foreign_page_changes_nothing() {
    let port = Port::open(Some(TOKEN)).await;
    let token = format!("Authorization: Bearer {TOKEN}");
    for (status, headers) in [
        (401, vec![]),
        (401, vec!["Authorization: Bearer wrong"]),
        (401, vec!["Cookie: token=correct horse"]),
        (403, vec![&token[..], "Origin: http://evil.example"]),
        (403, vec![&token[..], "Sec-Fetch-Site: cross-site"]),
        (421, vec![&token[..], "Host: evil.example"]),
    ] {
        for path in ["pause", "resume", "cancel", "errors/retry"] {
            let answer = port.send("POST", &format!("/api/v1/crawls/7/{path}"), &headers).await;
            assert_eq!(answer.status, status, "{path} {headers:?}: {}", answer.body);
        }
    }
    assert_eq!(port.send("GET", "/api/v1/crawls/7/pause", &[&token]).await.status, 405);
    assert!(port.fake.mutations.lock().unwrap().is_empty());
}

/// A TLS proxy calls the node by its address, and forwards what the browser says about its page.
#[tokio::test]
async fn a_page_behind_a_proxy_acts_when_its_public_url_is_known() {
    let port = Port::open(Some(TOKEN)).await;
    let token = format!("Authorization: Bearer {TOKEN}");
    let pause = async |headers: &[&str]| port.send("POST", "/api/v1/crawls/7/pause", headers).await.status;
    let same = "Sec-Fetch-Site: same-origin";
    assert_eq!(pause(&[&token, "Origin: https://other.example.org", same]).await, 403);
    assert_eq!(pause(&[&token, "Origin: https://crawl.example.org", same]).await, 200);
    let by_name = [&token[..], "Host: crawl.example.org", "Origin: https://crawl.example.org", same];
    assert_eq!(pause(&by_name).await, 200);
}

#[tokio::test]
async fn a_crawl_is_paused_and_the_next_answer_shows_it() {
    let port = Port::open(Some(TOKEN)).await;
    assert_eq!(port.get("/api/v1/crawls/7").await["phase"], "running");
    let own = format!("Origin: http://{}", port.address);
    let token = format!("Authorization: Bearer {TOKEN}");
    let paused =
        port.send("POST", "/api/v1/crawls/7/pause", &[&token, &own, "Sec-Fetch-Site: same-origin"]).await;
    assert_eq!((paused.status, paused.json()), (200, json!({ "crawl": 7, "done": "paused" })));
    assert_eq!(*port.fake.phase.lock().unwrap(), CrawlPhase::Paused);
    let crawl = port.get("/api/v1/crawls/7").await;
    assert_eq!((&crawl["phase"], &crawl["reasons"][0]["kind"]), (&json!("paused"), &json!("paused")));
    let refused = port.post("/api/v1/crawls/7/resume").await;
    assert_eq!(refused.status, 409);
    assert!(refused.error().contains("crawl 7 is running"), "{}", refused.body);
    assert_eq!(port.post("/api/v1/crawls/8/pause").await.status, 404);
    assert_eq!(port.post("/api/v1/crawls/7/cancel").await.status, 200);
    assert_eq!(port.fake.mutations.lock().unwrap().last(), Some(&Write::CancelCrawl { crawl: CrawlId(7) }));
}

#[tokio::test]
async fn one_error_is_retried_or_all_of_them() {
    let port = Port::open(Some(TOKEN)).await;
    let one = port.post("/api/v1/crawls/7/errors/retry?user=18446744073709551615").await;
    assert_eq!(one.json(), json!({ "crawl": 7, "retried": 1 }));
    let all = port.post("/api/v1/crawls/7/errors/retry").await;
    assert_eq!(all.json(), json!({ "crawl": 7, "retried": 2 }));
    assert_eq!(port.post("/api/v1/crawls/8/errors/retry").await.status, 404);
    assert_eq!(port.post("/api/v1/crawls/7/errors/retry?user=").await.status, 400);
    let mutations = port.fake.mutations.lock().unwrap();
    let names: Vec<_> = mutations
        .iter()
        .filter_map(|m| if let Write::RetryErrors { request, .. } = m { Some(*request) } else { None })
        .collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1], "each write has a name of its own");
}
