//! The history, the node's own and Graphite's.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::world::Port;
use crate::source::test_server::{Seen, serve};

/// A point a minute ago, of one counter and of one node.
const GOOD: &str = r#"[{"target": "follower.total_fetched", "datapoints": [[12, 1699999920], [null, 1699999980]]},
                       {"target": "stats.ops.<b>n</b>", "datapoints": [[30, 1699999920]]}]"#;

/// A Graphite that returns the current answer and records the queries.
#[derive(Default)]
struct FakeGraphite {
    answer: Mutex<(u16, String)>,
    asked: Mutex<Vec<Seen>>,
}

impl FakeGraphite {
    async fn start() -> (Arc<Self>, String) {
        let fake = Arc::new(Self::default());
        fake.answers(200, GOOD);
        let serving = fake.clone();
        let url = serve(move |seen| {
            let fake = serving.clone();
            async move { fake.answer(seen) }
        });
        let url = url.await.replace("http://", "http://me:s3cret@");
        (fake, url)
    }

    fn answers(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn answer(&self, seen: Seen) -> Response {
        self.asked.lock().unwrap().push(seen);
        let (status, body) = self.answer.lock().unwrap().clone();
        (StatusCode::from_u16(status).unwrap(), body).into_response()
    }
}

async fn port(url: &str) -> Port {
    let port = Port::with(None, Some(url), None).await;
    port.clock.set_wall(Duration::from_secs(1_700_000_030));
    port
}

#[tokio::test]
async fn graphite_is_asked_once_for_a_long_range_and_never_for_the_last_hour() {
    let (fake, url) = FakeGraphite::start().await;
    let port = port(&url).await;
    let hour = port.get("/api/v1/history").await;
    assert_eq!((&hour["source"], &hour["ranges"]), (&json!("node"), &json!(["hour", "6h", "day", "week"])));
    assert!(fake.asked.lock().unwrap().is_empty());

    let all = (0..20).map(|_| port.get("/api/v1/history?range=6h"));
    let quarter = futures::future::join_all(all).await.remove(0);
    assert_eq!((&quarter["source"], &quarter["trouble"]), (&json!("graphite"), &Value::Null));
    assert_eq!(quarter["step_s"], 60);
    let fields: Vec<_> = quarter["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    let [point] = &quarter["points"].as_array().unwrap()[..] else { panic!("{quarter}") };
    let of = |name: &str| &point[fields.iter().position(|field| *field == name).unwrap()];
    assert_eq!((of("at_ms"), of("follower.total_fetched")), (&json!(1_699_999_980_000.0), &json!(12.0)));
    assert_eq!((of("timeline.total_fetched"), of("stats.ops.<b>n</b>")), (&Value::Null, &json!(0.5)));
    let asked = fake.asked.lock().unwrap();
    let [seen] = &asked[..] else { panic!("asked {} times", asked.len()) };
    assert_eq!(
        (seen.path.as_str(), seen.headers["authorization"].as_bytes()),
        ("/1/render", &b"Basic bWU6czNjcmV0"[..])
    );
    assert!(seen.query.contains("from=1699978380&until=1700000030&format=json"), "{}", seen.query);
}

#[tokio::test]
async fn where_graphite_fails_the_node_tells_what_it_remembers_and_why() {
    let (fake, url) = FakeGraphite::start().await;
    let port = port(&url).await;
    let large = "x".repeat(5 << 20);
    for (status, body, words) in [
        (500, "", "answers with HTTP 500"),
        (302, "", "answers with HTTP 302"),
        (200, "<html>", "is no Graphite (expected value"),
        (200, &large, "is no Graphite (the body exceeds"),
        (200, "[]", "has nothing of this time; look whether twm-stats runs"),
    ] {
        fake.answers(status, body);
        let history = port.get("/api/v1/history?range=day").await;
        let trouble = history["trouble"].as_str().unwrap();
        assert!(trouble.contains(words) && !trouble.contains("s3cret"), "{trouble}");
        assert_eq!((&history["source"], &history["step_s"]), (&json!("node"), &json!(60)));
        // Later it is asked again.
        port.clock.advance(Duration::from_secs(10));
    }
    fake.answers(200, GOOD);
    assert_eq!(port.get("/api/v1/history?range=day").await["source"], "graphite");
}

#[tokio::test]
async fn a_week_needs_a_graphite_and_one_that_is_away_says_so() {
    let port = Port::open(None).await;
    assert_eq!(port.get("/api/v1/history?range=6h").await["ranges"], json!(["hour", "6h", "day"]));
    let week = port.send("GET", "/api/v1/history?range=week", &[]).await;
    assert_eq!(week.status, 400);
    assert!(week.error().contains("start the node with --graphite-url"), "{}", week.body);
    let port = Port::with(None, Some("http://127.0.0.1:9/"), None).await;
    let history = port.get("/api/v1/history?range=week").await;
    let trouble = history["trouble"].as_str().unwrap();
    assert!(trouble.contains("Graphite at http://127.0.0.1:9/ does not answer"), "{trouble}");
}
