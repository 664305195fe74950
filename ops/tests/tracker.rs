//! `twm-ctl` against real trackers in the test process.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod trackers;

use std::time::Duration;

use api::model::{CrawlId, Finding, GoneReason, Job, NodeId, Operation, Progress};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use trackers::{DEADLINE, Trackers, completed, text, utf8, work_until_over};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_becomes_a_crawl_that_can_be_steered() {
    let trackers = Trackers::start(1).await;
    let list = trackers.file("list", "1\n2\njack\n2\nT,3,0\n4\n");
    let seeds = trackers.file("seeds", "4\n900\n");
    let args = ["submit", utf8(&list), "--seeds", utf8(&seeds), "-TF", "--name", "first"];
    let submitted = &trackers.json(&args).await[0];
    assert_eq!(submitted["accepted"], 3, "{submitted}");
    assert_eq!(submitted["duplicates"], 2, "{submitted}");
    assert_eq!(submitted["bad"], 1, "{submitted}");
    let id = submitted["crawl"].to_string();

    let crawl = &trackers.json(&["crawl", "show", &id]).await[0];
    assert_eq!(
        (&crawl["name"], &crawl["phase"], &crawl["operations"]),
        (&"first".into(), &"running".into(), &"TF".into())
    );
    assert_eq!(crawl["users"]["waiting"], 3);

    assert_eq!(trackers.json(&["crawl", "pause", &id]).await[0]["phase"], "paused");
    assert_eq!(trackers.json(&["crawl", "resume", &id]).await[0]["phase"], "running");
    assert_eq!(trackers.json(&["crawl", "list"]).await[0].as_array().unwrap().len(), 1);
    assert_eq!(trackers.json(&["errors", "list", &id]).await, Vec::<Value>::new());
    assert_eq!(trackers.json(&["errors", "retry", &id]).await[0]["retried"], 0);
    assert_eq!(trackers.json(&["frontier", "export", &id]).await[0]["accounts"], 0);
    assert!(trackers.folder.path().join(format!("frontier-{id}.gz")).exists());

    assert_eq!(trackers.json(&["crawl", "cancel", &id]).await[0]["phase"], "cancelled");
    let waited = trackers.ctl(&["crawl", "wait", &id]).await;
    assert_eq!(waited.status.code(), Some(1));
    assert!(text(&waited.stderr).contains("was cancelled"), "{}", text(&waited.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_submit_is_the_id_alone_and_the_rest_goes_to_standard_error() {
    let trackers = Trackers::start(1).await;
    let list = trackers.file("list", "1\n-2\n");
    let submitted = trackers.ctl(&["submit", utf8(&list)]).await;
    assert_eq!(text(&submitted.stdout), "1\n");
    assert!(
        text(&submitted.stderr).contains(&format!("{}:2: ", list.display())),
        "{}",
        text(&submitted.stderr)
    );
    let shown = trackers.ctl(&["status"]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    for part in ["cluster test", "NODES", "SESSIONS\nnone", "ADDRESSES\nnone", "CRAWLS"] {
        assert!(text(&shown.stdout).contains(part), "{part} in {}", text(&shown.stdout));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_refused_with_a_remedy() {
    let trackers = Trackers::start(1).await;
    for (args, remedy) in [
        (&["crawl", "show", "7"][..], "crawl list"),
        (&["crawl", "pause", "7"], "crawl list"),
        (&["errors", "list", "7"], "crawl list"),
        (&["errors", "retry", "7"], "crawl list"),
        (&["frontier", "export", "7"], "crawl list"),
        (&["node", "drain", "9"], "member list"),
    ] {
        let output = trackers.ctl(args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(remedy), "{args:?}: {}", text(&output.stderr));
    }
    assert!(!trackers.folder.path().join("frontier-7.gz").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_list_cancels_its_crawl() {
    let trackers = Trackers::start(1).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for n in 1..100_000_u64 {
        std::io::Write::write_all(&mut encoder, format!("{}\n", n * 0x9e37_79b9).as_bytes()).unwrap();
    }
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    let list = trackers.folder.path().join("torn.gz");
    std::fs::write(&list, bytes).unwrap();
    let submitted = trackers.ctl(&["submit", utf8(&list)]).await;
    assert_eq!(submitted.status.code(), Some(1));
    assert!(text(&submitted.stderr).contains("cannot be read beyond line"), "{}", text(&submitted.stderr));
    assert_eq!(trackers.json(&["crawl", "show", "1"]).await[0]["phase"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_arrives_whole_and_in_order() {
    let trackers = Trackers::start(1).await;
    let list: String = (1..=23_456).map(|n| format!("{n}\n")).collect();
    let submitted = &trackers.json(&["submit", utf8(&trackers.file("long", &list))]).await[0];
    assert_eq!((&submitted["accepted"], &submitted["duplicates"]), (&23_456.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_is_unhealthy_and_a_lost_majority_has_no_leader() {
    let mut trackers = Trackers::start(3).await;
    let leader = trackers.json(&["leader", "show"]).await[0]["leader"].as_u64().unwrap();
    let followers: Vec<NodeId> = (1..=3).filter(|&id| id != leader).collect();
    assert!(trackers.json(&["status"]).await[0]["healthy"].as_bool().unwrap());
    assert_eq!(trackers.json(&["member", "list"]).await[0].as_array().unwrap().len(), 3);

    let to = followers[0].to_string();
    assert_eq!(trackers.json(&["leader", "transfer", "--to", &to]).await[0]["leader"], followers[0]);
    assert_eq!(trackers.json(&["node", "drain", "2"]).await[0]["drained"], true);
    assert!(text(&trackers.ctl(&["status"]).await.stdout).contains(", drained"));
    trackers.json(&["node", "undrain", "2"]).await;

    trackers.stop_one(followers[1]).await;
    let shown = trackers.ctl(&["-o", "json", "status"]).await;
    assert_eq!(shown.status.code(), Some(5), "{}", text(&shown.stderr));
    let status: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&status["healthy"], &status["leader"]), (&false.into(), &followers[0].into()));

    trackers.stop_one(leader).await;
    let shown = trackers.ctl(&["--timeout", "2", "-o", "json", "status"]).await;
    assert_eq!(shown.status.code(), Some(5), "{}", text(&shown.stderr));
    let status: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(status["leader"], Value::Null);
    assert_eq!(status["nodes"][0]["node"]["id"], followers[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_takes_every_node_once_and_the_leader_last() {
    let mut trackers = Trackers::start(3).await;
    let leader = trackers.json(&["leader", "show"]).await[0]["leader"].as_u64().unwrap();
    // The command signals this process to restart the tracker, and ends when the restart is done.
    let exec = "touch restart.$TWM_NODE_ID; while [ -e restart.$TWM_NODE_ID ]; do sleep 0.02; done";
    let roll =
        trackers.command(&["-o", "json", "rolling-restart", "--exec", exec, "--node-timeout", "20"]).spawn();
    let mut roll = roll.unwrap();
    let deadline = Instant::now() + 3 * DEADLINE;
    let mut restarted = Vec::new();
    while roll.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the roll does not end; restarted so far: {restarted:?}");
        for id in 1..=3 {
            let asked = trackers.folder.path().join(format!("restart.{id}"));
            if asked.exists() {
                trackers.stop_one(id).await;
                trackers.start_one(id).await;
                restarted.push(id);
                std::fs::remove_file(asked).unwrap();
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    let output = roll.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(restarted.last(), Some(&leader));
    restarted.sort_unstable();
    assert_eq!(restarted, [1, 2, 3]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["restarted"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_stops_at_the_node_whose_command_fails() {
    let trackers = Trackers::start(1).await;
    let output = trackers.ctl(&["rolling-restart", "--exec", "exit 3"]).await;
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("stopped at node 1") && message.contains("--only 1"), "{message}");
    let output = trackers.ctl(&["rolling-restart", "--exec", "true", "--node-timeout", "0.5"]).await;
    assert!(text(&output.stderr).contains("the old process still runs"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_accounts_are_listed_retried_and_then_the_wait_ends_well() {
    let trackers = Trackers::start(1).await;
    trackers.json(&["submit", utf8(&trackers.file("list", "1\n2\n3\n4\n5\n"))]).await;
    let fails = |job: &Job| match job.user.to_string().as_str() {
        "2" | "3" => {
            let reason = "HTTP 500\u{1b}[2J".to_owned();
            vec![Finding::Failed { progress: None, reason, after_ms: 0, retry: false }]
        }
        "4" => vec![Finding::Gone(GoneReason::Protected)],
        _ => completed(),
    };
    work_until_over(&trackers, CrawlId(1), fails).await;

    let waited = trackers.ctl(&["crawl", "wait", "1"]).await;
    assert_eq!(waited.status.code(), Some(1));
    assert!(text(&waited.stderr).contains("errors list 1"), "{}", text(&waited.stderr));
    let listed = text(&trackers.ctl(&["errors", "list", "1"]).await.stdout);
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["2", "0", "timeline", "1", "HTTP", "500\\u{1b}[2J"]);
    assert_eq!(rows.len(), 3);
    let gone = trackers.json(&["errors", "list", "1", "--gone"]).await;
    assert_eq!((&gone[0]["user"], &gone[0]["why"][0]["reason"]), (&"4".into(), &"protected".into()));

    assert_eq!(trackers.ctl(&["errors", "retry", "1", "--user", "5"]).await.status.code(), Some(1));
    assert_eq!(trackers.json(&["errors", "retry", "1", "--user", "3"]).await[0]["retried"], 1);
    assert_eq!(trackers.json(&["errors", "retry", "1"]).await[0]["retried"], 1);
    let waiting = trackers.command(&["-o", "json", "crawl", "wait", "1"]).spawn().unwrap();
    work_until_over(&trackers, CrawlId(1), |_| completed()).await;
    let waited = tokio::task::spawn_blocking(move || waiting.wait_with_output().unwrap()).await.unwrap();
    assert!(waited.status.success(), "{}", text(&waited.stderr));
    let crawl: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!((&crawl["phase"], &crawl["users"]["completed"]), (&"finished".into(), &4.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_frontier_is_submitted_as_it_is() {
    let trackers = Trackers::start(1).await;
    trackers.json(&["submit", "-FA", utf8(&trackers.file("list", "1\n"))]).await;
    let discovers = |job: &Job| match job.operation {
        Operation::Analysis => {
            let admitted = vec![7.into(), "did:plc:abc".parse().unwrap()];
            let progress = Progress { cursor: "2".into(), draft: None };
            let found = Finding::Discovered { admitted, discarded: vec![8.into()], progress };
            vec![found, Finding::Completed { file: false, items: 3 }]
        }
        _ => completed(),
    };
    work_until_over(&trackers, CrawlId(1), discovers).await;
    let exported = trackers.ctl(&["frontier", "export", "1", "-O", "-"]).await;
    assert_eq!(text(&exported.stdout), "7\ndid:plc:abc\n");
    trackers.json(&["frontier", "export", "1"]).await;
    let submitted = &trackers.json(&["submit", "frontier-1.gz"]).await[0];
    assert_eq!((&submitted["accepted"], &submitted["bad"]), (&2.into(), &0.into()));
    assert_eq!(trackers.json(&["crawl", "show", "2"]).await[0]["name"], "frontier-1.gz");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_compared_at_one_entry_and_a_node_that_is_down_is_named() {
    let mut trackers = Trackers::start(3).await;
    let list: String = (1..=500).map(|n| format!("{n}\n")).collect();
    trackers.json(&["submit", "-TF", utf8(&trackers.file("list", &list))]).await;
    // Check while jobs are completed.
    let work = work_until_over(&trackers, CrawlId(1), |_| completed());
    let checks = async {
        for _ in 0..5 {
            let checked = trackers.json(&["check"]).await;
            let check = &checked[0];
            assert_eq!(checked[1]["wrong"], Value::Array(Vec::new()));
            let replicas = check["replicas"].as_array().unwrap();
            assert_eq!(replicas.len(), 3, "{check}");
            for replica in replicas {
                assert_eq!(
                    (&replica["result"], &replica["digest"]),
                    (&"agrees".into(), &replicas[0]["digest"])
                );
                assert!(replica["parts"]["jobs"].is_string(), "{check}");
            }
        }
    };
    tokio::join!(work, checks);

    let leader = trackers.json(&["leader", "show"]).await[0]["leader"].as_u64().unwrap();
    let down = if leader == 1 { 2 } else { 1 };
    trackers.stop_one(down).await;
    let checked = trackers.ctl(&["check"]).await;
    assert_eq!(checked.status.code(), Some(5), "{}", text(&checked.stderr));
    let told = text(&checked.stderr);
    assert!(told.contains(&format!("node {down} was not compared")), "{told}");
    let agreeing = text(&checked.stdout).lines().filter(|line| line.ends_with("agrees")).count();
    assert_eq!(agreeing, 2, "{}", text(&checked.stdout));
}
