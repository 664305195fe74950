//! Clients and nodes that request what they are not permitted.

use std::time::Duration;

use api::TrackerApi;
use api::model::{CrawlSpec, MemberId, Report, Wants, Write};
use api::wire::{ApiRequest, Dial, Forwarded, Greeting, Purpose, Tcp};
use storage::ids::UserId;
use tokio::time::timeout;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_the_session_of_another_node() {
    let cluster = Cluster::of(1, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let mut owner = Worker::open(cluster.client(), 1).await;
    assert_eq!(owner.turn(5).await, 5);
    let session = owner.session;
    let report = Report { session, sequence: 2, findings: Vec::new(), wants: Wants::any(5) };
    let refusals = [
        client.report(2, report, Vec::new()).await.map(drop),
        client.end_session(2, session).await,
        client.wait_for_work(2, session, Wants::any(5), Vec::new(), Duration::from_millis(1)).await.map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err().to_string();
        assert!(error.contains("is node 1's, not node 2's"), "{error}");
    }
    assert_eq!(owner.turn(5).await, 5, "the session continues");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_to_be_a_peer_and_says_nothing_or_nonsense_is_sent_away() {
    let cluster = Cluster::of(1, 5000).await;
    let client = cluster.client();
    submit(&client, 1..11).await;
    let member = cluster.nodes[&1].member();
    let greeting = |purpose| match purpose {
        Purpose::Api => Greeting::of_client(),
        _ => Greeting::of_member(purpose, cluster.nodes[&1].cluster_id(), MemberId::from(2), member),
    };
    let claim = async |purpose| Tcp.dial(&cluster.peers[&1], &greeting(purpose)).await.unwrap();
    let silent = claim(Purpose::Replication).await;
    let strange = claim(Purpose::Control).await;
    let answer = timeout(DEADLINE, strange.raft(DEADLINE, "nonsense".into())).await.unwrap();
    assert!(!matches!(answer, Ok(Ok(_))));
    eventually("both are sent away", async || (strange.has_ended() && silent.has_ended()).then_some(()))
        .await;
    let forwarded = Forwarded { by: 1, hops: 1, request: ApiRequest::NodeStatus };
    let answer = claim(Purpose::Api).await.forwarded(DEADLINE, forwarded).await.unwrap();
    assert!(answer.unwrap_err().to_string().contains("only nodes pass calls on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_too_long_for_the_log_is_refused_and_others_are_written() {
    let cluster = Cluster::of(3, 5000).await;
    let client = cluster.client();
    let request = client.request_id();
    let long = CrawlSpec { name: "n".repeat(257), ..spec() };
    let error = client.write(Write::CreateCrawl { request, spec: long }).await.unwrap_err().to_string();
    assert!(error.contains("257 bytes; at most 256"), "{error}");
    let crawl = submit(&client, 1..11).await;
    let id: UserId = "x".repeat(255).parse().unwrap();
    let users = vec![id; 5_000];
    let error = client.write(Write::AddTargets { crawl, chunk: 0, users, seeds: false }).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("at most 1048576 are allowed"), "{error}");
    submit(&client, 1..11).await;
}
