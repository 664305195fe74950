//! What the port answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use storage::dataset::SourceName;

use api::model::{
    AddressStatus, BudgetStatus, ClusterId, CrawlCounters, CrawlId, CrawlPhase, CrawlSpec, CrawlView, DiskId,
    NodeRole, NodeStatus, Operation, Operations, SpendStatus, Traversal, WorkerStatus,
};
use axum::Router;
use raft::state::{OutboxView, Sizes};
use storage::net::http_port::Gate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::metrics::render;
use super::{HttpPort, HttpPortError, Observation};
use crate::crawl::RequestCount;
use crate::mirror::MirrorView;
use crate::session::SessionView;
use crate::source::test_server::client;

fn crawl(phase: CrawlPhase) -> CrawlView {
    CrawlView {
        id: CrawlId(7),
        spec: CrawlSpec {
            name: "x".to_owned(),
            operations: Operations::only(Operation::Timeline),
            traversal: Traversal::Default,
            depth: None,
            follow: None,
            priority: 1,
            fingerprint: None,
            source: SourceName::default(),
            spend_limit: None,
        },
        phase,
        counters: CrawlCounters::default(),
        queued: 12,
        ready: 0,
        leased: 3,
        delayed: 0,
        submitted_at: 0,
        ended_at: None,
        chunks: [0; 2],
        now: 0,
    }
}

fn observation() -> Observation {
    let budget = BudgetStatus {
        endpoint: "http://host/1/users/lookup".to_owned(),
        limit: Some(180),
        remaining: Some(17),
        reset_in_ms: Some(1500),
        in_flight: 2,
    };
    let address = AddressStatus { address: "127.0.0.5".to_owned(), budgets: vec![budget] };
    Observation {
        cluster: "twm".to_owned(),
        node: NodeStatus {
            id: 1,
            cluster: ClusterId(7),
            disk: DiskId(17),
            version: "1.2.3".to_owned(),
            cluster_version: 2,
            role: NodeRole::Leader,
            term: 3,
            leader: Some(1),
            last_log: 20,
            applied: 19,
            checkpoint: 10,
            uptime_ms: 1500,
            workers: Some(WorkerStatus {
                total: 32,
                busy: 3,
                addresses: vec![address],
                api_trouble: Some("no route".to_owned()),
                ..Default::default()
            }),
        },
        certificate_ends_in: Some(90 * 24 * 3600),
        not_ready: Vec::new(),
        session: SessionView { open: true, sessions: 1, ..SessionView::default() },
        crawls: vec![crawl(CrawlPhase::Running)],
        money: SpendStatus::default(),
        sizes: Sizes::default(),
        log_bytes: 5,
        outbox: Default::default(),
        mirror: None,
        feed: None,
        profiles: 0,
        dataset_requests: vec![("put", 7)],
        provenance_waiting: 11,
        requests: vec![RequestCount { endpoint: "lookup", address: None, status: Some(200), count: 9 }],
    }
}

#[test]
fn a_node_shows_what_it_is_and_does() {
    let text = render(&observation());
    for line in [
        "twm_build_info{version=\"1.2.3\"} 1",
        "twm_raft_role{role=\"leader\"} 1",
        "twm_raft_role{role=\"follower\"} 0",
        "twm_raft_term 3",
        "twm_uptime_seconds 1.5",
        "twm_dataset_requests_total{kind=\"put\"} 7",
        "twm_provenance_waiting_records 11",
        "twm_requests_total{endpoint=\"lookup\",address=\"any\",status=\"200\"} 9",
        "twm_budget_remaining{endpoint=\"http://host/1/users/lookup\",address=\"127.0.0.5\"} 17",
        "twm_crawls{phase=\"running\"} 1",
        "twm_crawl_jobs{crawl=\"7\",state=\"queued\"} 12",
        "twm_ready 1",
        "twm_outage{of=\"dataset\"} 0",
        "twm_outage{of=\"api\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes "));
}

/// A node with a mirror that has lost some events.
fn mirroring() -> Observation {
    let mirror =
        MirrorView { writes: true, appended: 21, gaps: 2, trouble: Some("Redis is away".to_owned()) };
    let outbox = OutboxView { newest: 30, dropped: 9, bytes: 400, capacity: 1_000, ..OutboxView::default() };
    Observation { mirror: Some(mirror), outbox, feed: Some((77, 3)), ..observation() }
}

#[test]
fn a_node_with_a_mirror_shows_what_redis_has_and_what_it_lost() {
    let text = render(&mirroring());
    for line in [
        "twm_events_total 30",
        "twm_events_dropped_total 9",
        "twm_outbox_bytes 400",
        "twm_outbox_capacity_bytes 1000",
        "twm_mirror_writes 1",
        "twm_mirror_trouble 1",
        "twm_mirror_events_total 21",
        "twm_mirror_gaps_total 2",
        "twm_spool_bytes 77",
        "twm_spool_dropped_total 3",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
    }
    assert!(!render(&observation()).contains("twm_mirror"), "a node without one");
}

#[test]
fn every_sample_follows_the_help_of_its_family() {
    let text = render(&mirroring());
    let mut family = String::new();
    for line in text.lines() {
        if line.starts_with("# TYPE ") {
            family = sample_name(line).unwrap();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(name, family, "{line}");
        }
    }
}

#[test]
fn crawls_that_are_over_are_only_counted() {
    let over = Observation { crawls: vec![crawl(CrawlPhase::Finished)], ..observation() };
    let text = render(&over);
    assert!(text.contains("twm_crawls{phase=\"finished\"} 1") && !text.contains("crawl=\"7\""));
}

/// This many running crawls, each with more to do than the one before.
fn many_crawls(count: u64) -> Vec<CrawlView> {
    let crawl = |n| {
        let mut crawl = CrawlView { id: CrawlId(n), queued: n, ..crawl(CrawlPhase::Running) };
        crawl.counters.users.waiting = n;
        crawl.counters.operations[0].completed = 1;
        crawl
    };
    (1..=count).map(crawl).collect()
}

#[test]
fn two_thousand_crawls_take_no_more_series_than_the_busiest_and_a_sum() {
    let mut seen = Observation { crawls: many_crawls(2_000), ..observation() };
    let text = render(&seen);
    let by_crawl: Vec<_> = text.lines().filter(|line| line.contains("crawl=")).collect();
    assert_eq!(by_crawl.len(), 21 * 31, "31 series of 20 crawls and of the others");
    assert!(text.len() < 100_000, "{} bytes", text.len());
    let sum: u64 = (1..=1_980).sum();
    for line in [
        "twm_crawl_jobs{crawl=\"2000\",state=\"queued\"} 2000".to_owned(),
        "twm_crawl_jobs{crawl=\"1981\",state=\"queued\"} 1981".to_owned(),
        format!("twm_crawl_users{{crawl=\"other\",state=\"waiting\"}} {sum}"),
        "twm_crawls{phase=\"running\"} 2000".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not there");
    }
    assert!(!text.contains("crawl=\"1980\""));
    // The process's own memory differs at each call.
    let of_crawls = |page: &str| {
        page.lines().filter(|line| !line.starts_with("process_")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of_crawls(&text) == of_crawls(&render(&seen)), "the same ones each time");
    // A paused crawl is not busy, however much waits.
    seen.crawls[1_999].phase = CrawlPhase::Paused;
    let text = render(&seen);
    assert!(!text.contains("crawl=\"2000\"") && text.contains("crawl=\"1980\""));
}

#[test]
fn only_the_leader_tells_of_each_crawl() {
    let mut seen = Observation { crawls: many_crawls(3), ..observation() };
    assert!(render(&seen).contains("crawl=\"3\""));
    seen.node.role = NodeRole::Follower;
    let text = render(&seen);
    assert!(!text.contains("crawl=") && text.contains("twm_crawls{phase=\"running\"} 3"), "{text}");
}

async fn get(url: String) -> (u16, String) {
    let request = reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
    let answer = client(None).exchange(request).await.unwrap();
    (answer.status, String::from_utf8(answer.body.unwrap()).unwrap())
}

/// The rules of a port that everybody may read.
fn gate() -> Arc<Gate> {
    Arc::new(Gate::new([], None))
}

#[tokio::test]
async fn pages_tell_supervisors_and_people_how_the_node_is() {
    let port = HttpPort::open("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", port.address());
    let stop = CancellationToken::new();
    let seen = Arc::new(std::sync::Mutex::new(observation()));
    let observe = {
        let seen = seen.clone();
        Arc::new(move || seen.lock().unwrap().clone())
    };
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { port.serve(observe, Router::new(), gate(), stop).await }
    });

    assert_eq!(get(format!("{url}/livez")).await.0, 200);
    assert_eq!(get(format!("{url}/readyz")).await, (200, "ready\nno route\n".to_owned()));
    let (status, index) = get(format!("{url}/")).await;
    assert_eq!(status, 200);
    assert!(index.contains("twm-node 1 of cluster twm") && index.contains("/metrics"), "{index}");
    assert!(get(format!("{url}/metrics")).await.1.contains("twm_raft_term 3\n"));
    assert_eq!(get(format!("{url}/nothing")).await.0, 404);

    seen.lock().unwrap().not_ready = vec!["no leader is known".to_owned(), "no session".to_owned()];
    assert_eq!(get(format!("{url}/readyz")).await, (503, "no leader is known\nno session\n".to_owned()));
    assert_eq!(get(format!("{url}/livez")).await.0, 200);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_and_the_way_out() {
    let port = HttpPort::open("127.0.0.1:0").await.unwrap();
    let address = port.address().to_string();
    let error = HttpPort::open(&address).await.unwrap_err();
    assert!(matches!(error, HttpPortError::InUse { .. }));
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("--http 127.0.0.1:0"), "{text}");
}

#[tokio::test]
async fn silent_connections_keep_nobody_out_and_are_closed_for_others() {
    let port = HttpPort::open("127.0.0.1:0").await.unwrap();
    let address = port.address();
    tokio::spawn(async move {
        port.serve(Arc::new(observation), Router::new(), gate(), CancellationToken::new()).await
    });
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(get(format!("http://{address}/livez")).await.0, 200);
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "the oldest was closed");
}

/// Name of the samples of the family that a TYPE line begins. OpenMetrics leaves `_total` out of a counter's family.
fn sample_name(line: &str) -> Option<String> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
}

/// Names of metrics in PromQL expressions.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("twm_") || word.starts_with("process_")).collect()
}

#[test]
fn the_board_and_the_alerts_ask_only_for_metrics_that_exist() {
    let text = render(&observation());
    let exported: BTreeSet<_> = text.lines().filter_map(sample_name).collect();
    for (name, text) in [
        ("ops/grafana/twm.json", include_str!("../../../ops/grafana/twm.json")),
        ("ops/prometheus/alerts.yml", include_str!("../../../ops/prometheus/alerts.yml")),
    ] {
        let asked = metrics_in(text);
        assert!(asked.len() > 10, "{name} asks for {asked:?}");
        let unknown: Vec<_> = asked.iter().filter(|name| !exported.contains(**name)).collect();
        assert!(unknown.is_empty(), "{name} asks for what nobody exports: {unknown:?}");
    }
    let board: serde_json::Value =
        serde_json::from_str(include_str!("../../../ops/grafana/twm.json")).unwrap();
    let ids: Vec<_> = board["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "panels have ids of their own");
}

#[tokio::test]
async fn a_browser_gets_the_monitor_and_others_the_text() {
    let port = HttpPort::open("127.0.0.1:0").await.unwrap();
    let address = port.address();
    tokio::spawn(async move {
        port.serve(Arc::new(observation), Router::new(), gate(), CancellationToken::new()).await
    });
    for (accept, begins) in [
        ("Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", "<!doctype html>"),
        ("Accept: */*\r\n", "twm-node 1 of cluster twm"),
        ("", "twm-node 1 of cluster twm"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{accept}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with(begins), "{accept:?}: {body}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    }
}
