//! Reading.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::world::{Port, TOKEN};
use crate::monitor::events::MOST_LISTENERS;
use crate::monitor::routes;

#[tokio::test]
async fn the_description_names_the_routes_that_exist_with_their_methods_and_no_others() {
    let port = Port::open(None).await;
    let described = port.get("/api/openapi.json").await;
    let described = described["paths"].as_object().unwrap();
    let existing: BTreeSet<_> = routes::api().into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), existing);
    for (path, methods) in described {
        let answer = port.send("PUT", &path.replace("{id}", "7"), &[]).await;
        let allowed = answer.head.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap().to_owned();
        let allowed: BTreeSet<_> =
            allowed.split(',').filter(|method| *method != "head").map(str::to_owned).collect();
        assert_eq!(allowed, methods.as_object().unwrap().keys().cloned().collect(), "{path}");
    }
}

/// Whether an answer has everything in its description, and nothing else.
fn check(value: &Value, schema: &Value, all: &Value, place: &str) {
    let schema = match schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        Some(name) => &all["components"]["schemas"][name],
        None => schema,
    };
    if let Some(one_of) = schema["oneOf"].as_array() {
        return if !value.is_null() {
            check(value, &one_of[0], all, place)
        };
    }
    if let Some(properties) = schema["properties"].as_object() {
        let names: BTreeSet<_> =
            value.as_object().unwrap_or_else(|| panic!("{place}: {value}")).keys().collect();
        let described: BTreeSet<_> = properties.keys().collect();
        assert_eq!(names, described, "{place}");
        properties
            .iter()
            .for_each(|(name, schema)| check(&value[name], schema, all, &format!("{place}.{name}")));
    } else if let Some(items) = value.as_array().filter(|_| schema["items"].is_object()) {
        items.iter().for_each(|item| check(item, &schema["items"], all, &format!("{place}[]")));
    } else {
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            kind => vec![kind.clone()],
        };
        let is = |kind: &Value| match kind.as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("null") => value.is_null(),
            _ => false,
        };
        assert!(kinds.iter().any(is), "{place}: {value} is none of {kinds:?}");
        let words = schema["enum"].as_array();
        assert!(words.is_none_or(|words| words.contains(value)), "{place}: {value} is none of {words:?}");
    }
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let port = Port::open(Some(TOKEN)).await;
    let all = port.get("/api/openapi.json").await;
    for (path, methods) in all["paths"].as_object().unwrap() {
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_object() && path != "/api/openapi.json" {
            check(&port.get(&path.replace("{id}", "7")).await, schema, &all, path);
        }
    }
}

#[tokio::test]
async fn a_crawl_says_how_fast_it_goes_what_holds_it_up_and_when_it_ends() {
    let port = Port::open(None).await;
    let crawl = port.get("/api/v1/crawls/7").await;
    // 50 accounts are done in 100 s, and 50 are left.
    assert_eq!((&crawl["rates"]["users"], &crawl["estimate_s"]), (&json!(0.5), &json!(100.0)));
    assert_eq!(crawl["rates"]["tweets"], 96.0);
    let [limited] = &crawl["reasons"].as_array().unwrap()[..] else { panic!("{crawl}") };
    assert_eq!((&limited["kind"], &limited["for_ms"]), (&json!("limited"), &json!(60_000)));
    let text = limited["text"].as_str().unwrap();
    assert!(
        text.contains("15 jobs wait for a rate budget; the first continues in 2 s, the last in 1 min 0 s"),
        "{text}"
    );
    port.fake.sessions.store(false, Ordering::Relaxed);
    port.clock.advance(Duration::from_secs(1));
    let stuck = port.get("/api/v1/crawls/7").await;
    assert_eq!(stuck["reasons"][0]["kind"], "no-workers");
    assert_eq!(port.send("GET", "/api/v1/crawls/8", &[]).await.status, 404);
    assert_eq!(port.send("GET", "/api/v1/crawls/x", &[]).await.status, 404);
}

#[tokio::test]
async fn a_hundred_questions_cost_the_leader_one() {
    let port = Port::open(None).await;
    let all = (0..100).map(|_| port.get("/api/v1/cluster"));
    futures::future::join_all(all).await;
    assert_eq!(port.fake.asked.load(Ordering::Relaxed), 1);
    port.clock.advance(Duration::from_millis(600));
    let cluster = port.get("/api/v1/cluster").await;
    assert_eq!(port.fake.asked.load(Ordering::Relaxed), 2);
    assert_eq!(cluster["as_told_by"], "leader");
    assert_eq!(cluster["nodes"][0]["node"]["workers"]["addresses"][0]["budgets"][0]["remaining"], 0);
    assert_eq!(cluster["reasons"][0]["kind"], "node-down");
    assert_eq!(cluster["reasons"][2]["text"], "node 1: the dataset cannot be written");
}

#[tokio::test]
async fn without_a_leader_a_node_tells_what_it_knows_and_says_so() {
    let port = Port::open(None).await;
    port.fake.leaderless.store(true, Ordering::Relaxed);
    let cluster = port.get("/api/v1/cluster").await;
    assert_eq!((&cluster["leader"], &cluster["as_told_by"]), (&Value::Null, &json!("this node alone")));
    assert_eq!((&cluster["reasons"][0]["kind"], &cluster["healthy"]), (&json!("no-leader"), &json!(false)));
    assert_eq!(cluster["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(port.get("/api/v1/crawls/7").await["reasons"][0]["kind"], "no-leader");
    let errors = port.send("GET", "/api/v1/crawls/7/errors", &[]).await;
    assert_eq!(errors.status, 503);
    assert!(errors.error().contains("a majority of the nodes has to run"), "{}", errors.body);
}

#[tokio::test]
async fn lists_come_in_pages_and_log_lines_after_a_line() {
    let port = Port::open(None).await;
    let first = port.get("/api/v1/crawls/7/errors?limit=1").await;
    assert_eq!((&first["errors"][0]["user"], &first["next"]), (&json!("5"), &json!("5")));
    let rest = port.get("/api/v1/crawls/7/errors?after=5").await;
    assert_eq!((&rest["errors"][0]["user"], &rest["next"]), (&json!("18446744073709551615"), &Value::Null));
    assert_eq!(rest["errors"][0]["why"][0]["reason"], "<script>alert(1)</script>");
    assert_eq!(port.get("/api/v1/crawls/7/gone").await["gone"][0]["why"][0]["reason"], "protected");
    assert_eq!(port.get("/api/v1/log?after=2").await["lines"].as_array().unwrap().len(), 1);
    assert_eq!(port.send("GET", "/api/v1/log?after=x", &[]).await.status, 400);
    assert_eq!(port.send("GET", "/api/v1/history?range=year", &[]).await.status, 400);
    assert_eq!(port.get("/api/v1/history?range=day").await["step_s"], 60);
}

#[tokio::test]
async fn foreign_names_lead_nowhere_and_every_answer_forbids_foreign_scripts() {
    let port = Port::open(None).await;
    let foreign = port.send("GET", "/api/v1/cluster", &["Host: evil.example"]).await;
    assert_eq!(foreign.status, 421);
    assert!(foreign.error().contains("--public-url"), "{}", foreign.body);
    let named = port.send("GET", "/api/v1/cluster", &["Host: node1:9898"]).await;
    for answer in [&foreign, &named, &port.send("GET", "/assets/app.js", &[]).await] {
        assert!(
            answer.head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
            "{}",
            answer.head
        );
        assert!(
            answer.head.contains("x-content-type-options: nosniff")
                && !answer.head.contains("access-control")
        );
    }
    assert!(named.head.contains("cache-control: no-store"));
    assert_eq!(port.send("GET", "/assets/nothing.js", &[]).await.status, 404);
    assert_eq!(port.send("GET", "/api/v1/nothing", &[]).await.status, 404);
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let port = Port::open(None).await;
    let first = port.send("GET", "/assets/base.css", &[]).await;
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again = port.send("GET", "/assets/base.css", &[&format!("If-None-Match: {tag}")]).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[tokio::test]
async fn what_changes_is_pushed_until_the_node_stops() {
    let port = Port::open(None).await;
    let mut stream = port.connect("GET", "/api/v1/events?topics=cluster,log,history&after=1", &[]).await;
    let mut heard = String::new();
    while !["event: cluster", "event: log", "event: history"].iter().all(|event| heard.contains(event)) {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the stream ended: {heard}");
        heard += std::str::from_utf8(&part[..read]).unwrap();
    }
    assert!(heard.contains("text/event-stream") && !heard.contains("event: jobs"), "{heard}");
    assert!(heard.contains("\"sequence\":2") && !heard.contains("\"sequence\":1,"), "{heard}");
    assert!(!heard.contains("\"budgets\""), "budgets can be too many: {heard}");
    port.stop.cancel();
    stream.read_to_string(&mut heard).await.unwrap();
    port.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn listeners_are_bounded_and_topics_named() {
    let port = Port::open(None).await;
    let listen = || port.connect("GET", "/api/v1/events?topics=log", &[]);
    let mut listeners = futures::future::join_all((0..MOST_LISTENERS).map(|_| listen())).await;
    for listener in &mut listeners {
        listener.read_u8().await.unwrap();
    }
    let refused = port.send("GET", "/api/v1/events", &[]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
    drop(listeners);
    let unknown = port.send("GET", "/api/v1/events?topics=log,weather", &[]).await;
    assert!(unknown.status == 400 && unknown.error().contains("weather"), "{}", unknown.body);
}

#[tokio::test]
async fn the_stream_tells_what_happens_while_somebody_looks_and_how_much_it_leaves_out() {
    let port = Port::open(None).await;
    assert!(!port.fake.looked_at.load(Ordering::Relaxed), "nobody looks");
    port.clock.set_wall(Duration::from_secs(1_700_000_000));
    assert_eq!(port.get("/api/v1/stream").await["events"], json!([]));
    assert!(port.fake.looked_at.load(Ordering::Relaxed));
    port.fake.events.store(2, Ordering::Relaxed);
    let stream = port.get("/api/v1/stream?after=1").await;
    let event = json!({
        "number": 2, "id": "2-1", "at_ms": 1_699_999_999_000_u64, "type": "failed", "crawl": 7, "job": "2",
        "user": "18446744073709551615", "operation": "timeline", "reason": "<b>7</b>",
    });
    assert_eq!((&stream["events"], &stream["missed"]), (&json!([event]), &json!(0)));
    // The time of an event does not move while nothing is applied.
    port.clock.set_wall(Duration::from_secs(1_700_000_020));
    assert_eq!(port.get("/api/v1/stream?after=1").await["events"], stream["events"]);
    port.fake.events.store(1_001, Ordering::Relaxed);
    let stream = port.get("/api/v1/stream?after=1").await;
    let events = stream["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["number"], &stream["missed"]), (200, &json!(802), &json!(800)));
    // An observer that is gone gets no events.
    port.clock.advance(Duration::from_secs(31));
    let tired = async {
        while port.fake.looked_at.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tired).await.unwrap();
}
