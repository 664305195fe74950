//! What an indexer tells.

use super::world::{INSPECTION, Port, indexer_that_answers};
use crate::monitor::Indexer;

async fn port(indexer: Option<Indexer>) -> Port {
    Port::with(None, indexer).await
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
    let (status, text) = answer(Some(Indexer::new("http://127.0.0.1:1").unwrap())).await;
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
    for good in ["http://127.0.0.1:9700", "https://index.example/twm/"] {
        assert!(Indexer::check_url(good).unwrap().path().ends_with("/inspect"), "{good}");
    }
    for bad in ["127.0.0.1:9700", "ftp://a", "http://u:p@a", "http://a?x", "http://", ""] {
        let error = Indexer::check_url(bad).unwrap_err();
        assert!(error.contains("http://127.0.0.1:9700"), "{error}");
    }
}
