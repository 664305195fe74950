//! Inspections through an indexer.

use std::sync::Arc;

use storage::env::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::world::Port;
use crate::monitor::Indexer;
use crate::settings::IndexerUrl;

/// An indexer's answer.
pub(super) const INSPECTION: &str = r#"{"query":"a","from_ms":null,"to_ms":5,"total":3,
    "over_time":{"interval_ms":1000,"buckets":[{"at_ms":0,"tweets":3}]},
    "hashtags":[{"hashtag":"b","tweets":1,"share":0.3333}],
    "places":{"tweets":1,"cell_degrees":0.1,"cells":[{"lat":1.05,"lon":2.05,"tweets":1}]},
    "samples":[{"id":"1","screen_name":null,"created_at_ms":4,"text":"x","hashtags":["b"],"geo":{"lat":1.0,"lon":2.0}}]}"#;

/// An indexer that always gives this answer, with the query in place of ASKED.
pub(super) async fn indexer_that_answers(status: u16, body: &'static str) -> Indexer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let asked = String::from_utf8_lossy(&request[..length]);
            let body = body.replace("ASKED", asked.split(' ').nth(1).unwrap_or_default());
            let head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    indexer_at(&url)
}

fn indexer_at(url: &str) -> Indexer {
    Indexer::new(IndexerUrl::parse(url).unwrap(), None, Arc::new(ManualClock::default())).unwrap()
}

async fn port(indexer: Option<Indexer>) -> Port {
    Port::with(None, None, indexer).await
}

#[tokio::test]
async fn an_inspection_is_passed_on_with_its_question() {
    let told = port(Some(indexer_that_answers(200, r#"{"asked":"ASKED"}"#).await)).await;
    let answer = told.get("/api/v1/inspect?from=2013-01-01&query=%23a+b%26c&other=1").await;
    assert_eq!(answer["asked"], "/inspect?from=2013-01-01&query=%23a+b%26c");
    let whole = port(Some(indexer_that_answers(200, INSPECTION).await)).await;
    assert_eq!(whole.get("/api/v1/inspect").await["total"], 3);
    let page = whole.send("GET", "/inspect", &[]).await;
    assert!(page.status == 303 && page.head.contains("location: /#/inspect"), "{}", page.head);
}

#[tokio::test]
async fn what_keeps_an_indexer_from_answering_is_said() {
    let answer = async |indexer| {
        let answer = port(indexer).await.send("GET", "/api/v1/inspect", &[]).await;
        (answer.status, answer.error())
    };
    let (status, text) = answer(None).await;
    assert!(status == 404 && text.contains("--indexer URL"), "{status} {text}");
    let (status, text) = answer(Some(indexer_at("http://127.0.0.1:1"))).await;
    assert!(status == 503 && text.contains("look whether twm-indexer runs"), "{status} {text}");
    for (theirs, body, status, words) in [
        (400, r#"{"error":"`from` is no date"}"#, 400, "no date"),
        (503, r#"{"error":"wait"}"#, 503, "wait"),
        (200, "<html>", 502, "is no twm-indexer"),
        (404, r#"{"error":"no such page"}"#, 502, "HTTP 404"),
    ] {
        let (found, text) = answer(Some(indexer_that_answers(theirs, body).await)).await;
        assert!(found == status && text.contains(words), "{found} {text}");
    }
}

#[test]
fn an_indexers_url_is_checked() {
    for good in ["http://127.0.0.1:9700", "https://index.example/twm/", "http://a/twm"] {
        let shown = IndexerUrl::parse(good).unwrap().to_string();
        assert_eq!(shown, format!("{}/inspect", good.trim_end_matches('/')));
    }
    for bad in ["127.0.0.1:9700", "ftp://a", "http://u:p@a", "http://a?x", "http://", ""] {
        let error = IndexerUrl::parse(bad).unwrap_err();
        assert!(error.contains("http://127.0.0.1:9700"), "{error}");
    }
}
