//! The cluster in `-o json`.

use api::documents::{self, Rates};
use api::model::{ClusterStatus, CrawlView, NodeStatus, SpendStatus};
use serde_json::{Value, json};

/// The whole cluster and what is wrong with it.
pub fn status(
    status: &ClusterStatus,
    money: Option<&SpendStatus>,
    troubles: &[String],
    rates: impl Fn(&CrawlView) -> Rates,
) -> Value {
    let crawls: Vec<_> = status.crawls.iter().map(|c| documents::crawl(c, rates(c))).collect();
    json!({
        "cluster": status.cluster,
        "id": status.id.to_string(),
        "changes": status.changes.iter().map(documents::change).collect::<Vec<_>>(),
        "healthy": troubles.is_empty(),
        "troubles": troubles,
        "leader": status.leader,
        "term": status.term,
        "now_ms": status.now,
        "nodes": members(status),
        "sessions": status.sessions.iter().map(documents::session).collect::<Vec<_>>(),
        "money": money.map(documents::money::money),
        "crawls": crawls,
    })
}

/// Nodes that answered for themselves, if there is no leader.
pub fn leaderless(answers: &[(String, NodeStatus)], troubles: &[String]) -> Value {
    let nodes = answers.iter().map(
        |(endpoint, status)| json!({ "endpoint": endpoint, "node": documents::node(status, None, true) }),
    );
    json!({
        "healthy": false,
        "troubles": troubles,
        "leader": null,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

/// Every member.
pub fn members(status: &ClusterStatus) -> Vec<Value> {
    let newest = super::cluster::leader_log(status);
    status.nodes.iter().map(|m| documents::member(m, newest, true)).collect()
}

#[cfg(test)]
mod tests {
    use api::model::{FailedUser, Failure, Operation};

    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn a_status_has_what_a_script_looks_for() {
        let troubles = ["node 3 is down".to_owned()];
        let value = status(&samples::status(), None, &troubles, Rates::mean);
        assert_eq!(value["healthy"], false);
        assert_eq!(value["leader"], 1);
        assert_eq!(value["nodes"][1]["node"]["role"], "follower");
        assert_eq!(value["nodes"][1]["node"]["lag"], 20);
        assert_eq!((&value["nodes"][2]["up"], &value["nodes"][2]["node"]), (&json!(false), &Value::Null));
        assert_eq!(value["nodes"][0]["node"]["workers"]["addresses"][0]["budgets"][0]["remaining"], 170);
        assert_eq!(value["crawls"][0]["phase"], "running");
        assert_eq!(value["crawls"][0]["operations"], "TFA");
        assert_eq!(value["crawls"][0]["jobs"]["timeline"]["items"], 240_000);
        assert_eq!(value["crawls"][0]["rates"]["tweets"], 400.0);
    }

    #[test]
    fn an_account_id_is_a_text_whatever_its_size() {
        let why = vec![Failure { operation: Operation::Timeline, reason: "HTTP 500".into(), attempts: 5 }];
        let value = documents::failed(&FailedUser { user: u64::MAX.into(), depth: 0, why });
        assert_eq!(value["user"], "18446744073709551615");
        assert_eq!(value["why"][0]["reason"], "HTTP 500");
    }
}
