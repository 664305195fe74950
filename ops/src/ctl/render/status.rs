//! The whole cluster on one page.

use api::documents::Rates;
use api::model::{ClusterStatus, CrawlView, NodeStatus, SpendStatus};
use comfy_table::Table;

use super::{cluster, count, crawls, printable};

/// Nodes, sessions, addresses with their budgets, and crawls.
pub fn status(
    status: &ClusterStatus,
    money: Option<&SpendStatus>,
    rates: impl Fn(&CrawlView) -> Rates,
) -> String {
    let up = status.nodes.iter().filter(|member| member.node.is_some()).count();
    let mut page = format!(
        "cluster {}: leader {}, term {}, {up} of {} nodes up, {} crawls\n",
        printable(&status.cluster),
        status.leader,
        status.term,
        status.nodes.len(),
        count(status.crawls.len() as u64),
    );
    section(&mut page, "NODES", &cluster::nodes(status));
    section(&mut page, "SESSIONS", &cluster::sessions(status));
    section(&mut page, "ADDRESSES", &cluster::addresses(status));
    if let Some(money) = money.filter(|money| !money.apps.is_empty()) {
        section(&mut page, "MONEY", &super::money::apps(money));
        section(&mut page, "MONEY OF CRAWLS", &super::money::crawls(money));
    }
    section(&mut page, "CRAWLS", &crawls::crawls(&status.crawls, rates));
    page
}

/// The status of the nodes that answered, if there is no leader.
pub fn leaderless(answers: &[(String, NodeStatus)]) -> String {
    let mut page = "no leader\n".to_owned();
    section(&mut page, "NODES", &cluster::lone_nodes(answers));
    page
}

fn section(page: &mut String, title: &str, table: &Table) {
    page.push_str(&format!("\n{title}\n"));
    if table.is_empty() {
        page.push_str("none\n");
    } else {
        page.push_str(&table.trim_fmt());
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    /// The line with all of these words.
    fn line<'a>(page: &'a str, words: &[&str]) -> &'a str {
        let has = |line: &&str| words.iter().all(|word| line.split_whitespace().any(|w| w == *word));
        page.lines().find(has).unwrap_or_else(|| panic!("no line with {words:?} in:\n{page}"))
    }

    #[test]
    fn the_page_shows_nodes_sessions_addresses_and_crawls() {
        let page = status(&samples::status(), None, Rates::mean);
        line(&page, &["1", "10.0.0.1:8000", "leader", "4", "900", "899", "0.1.0"]);
        line(&page, &["2", "10.0.0.2:8000", "follower,", "drained", "880", "20"]);
        line(&page, &["3", "10.0.0.3:8000", "down", "-"]);
        line(&page, &["812", "32", "5", "1,195", "120ms"]);
        line(&page, &["127.0.1.1", "timeline", "170", "180", "5m"]);
        line(&page, &["127.0.1.2", "-"]);
        line(&page, &["7", "list", "TFA", "running", "2,000", "1,000", "1,195"]);
    }

    #[test]
    fn an_empty_section_says_so() {
        let mut sample = samples::status();
        sample.crawls.clear();
        let page = status(&sample, None, Rates::mean);
        assert!(page.ends_with("CRAWLS\nnone\n"), "{page}");
    }

    #[test]
    fn a_foreign_name_cannot_steer_the_terminal() {
        let mut sample = samples::status();
        sample.crawls[0].spec.name = "\x1b[2J\nx".into();
        assert!(!status(&sample, None, Rates::mean).contains('\x1b'));
    }

    #[test]
    fn without_a_leader_the_nodes_speak_for_themselves() {
        let node = samples::status().nodes[1].node.clone().unwrap();
        let page = leaderless(&[("10.0.0.2:8000".into(), node)]);
        line(&page, &["2", "10.0.0.2:8000", "follower", "880"]);
    }
}
