//! The whole cluster, as reported by the leader or, failing that, as this node knows it.

use std::sync::PoisonError;

use api::documents;
use api::model::{Answer, ClusterStatus, CrawlView, MemberStatus, Query};
use serde_json::{Value, json};

use super::Monitor;
use super::asked::AskError;
use super::history::Point;
use super::money;
use super::reasons::{self, Reason};

/// Most ended crawls that are reported every second.
const MOST_OVER: usize = 100;

/// A snapshot of the cluster.
pub(super) struct View {
    /// As reported by the leader; otherwise why it is not.
    pub(super) status: Result<ClusterStatus, AskError>,
    /// The crawls.
    pub(super) crawls: Vec<CrawlView>,
}

impl Monitor {
    /// Takes a snapshot of the cluster.
    pub(super) async fn look(&self) -> View {
        let status = match self.inner.asked.ask(Query::Status).await {
            Ok(answer) => match &*answer {
                Answer::Status(status) => Ok((**status).clone()),
                _ => Err(api::client::ClientError::UnexpectedResponse { asked: "status query" }.into()),
            },
            Err(error) => Err(error),
        };
        let crawls = match &status {
            Ok(status) => status.crawls.clone(),
            Err(_) => self.inner.watched.crawls(),
        };
        View { status, crawls }
    }

    /// A crawl with its rates and what holds it up.
    pub(super) fn crawl_document(&self, crawl: &CrawlView, status: Option<&ClusterStatus>) -> Value {
        let waits = self.inner.watched.waits(crawl.id);
        let money = self.inner.watched.money();
        let money = money.of_crawl(crawl.id);
        let mut reasons = reasons::of_crawl(crawl, &waits, status);
        reasons.extend(money::of_crawl(crawl, money));
        let rates = self.inner.pace.lock().unwrap_or_else(PoisonError::into_inner).of(crawl);
        let mut document = documents::crawl(crawl, rates);
        document["money"] = money.map(documents::money::crawl_money).into();
        document["reasons"] = reasons.iter().map(Reason::json).collect();
        document
    }

    /// All crawls, oldest first.
    pub(super) fn crawl_documents(&self, view: &View) -> Vec<Value> {
        let status = view.status.as_ref().ok();
        view.crawls.iter().map(|crawl| self.crawl_document(crawl, status)).collect()
    }

    /// The whole cluster.
    pub(super) fn whole_cluster(&self, view: &View) -> Value {
        self.cluster_document(view, true)
    }

    /// The cluster as reported every second: without rate budgets, and with only the newest of the ended crawls.
    pub(super) fn cluster_in_short(&self, mut view: View) -> Value {
        let over = view.crawls.iter().filter(|crawl| crawl.phase.is_over()).count();
        let mut left_out = over.saturating_sub(MOST_OVER);
        view.crawls.retain(|crawl| {
            let stays = left_out == 0 || !crawl.phase.is_over();
            left_out -= usize::from(!stays);
            stays
        });
        self.cluster_document(&view, false)
    }

    fn cluster_document(&self, view: &View, budgets: bool) -> Value {
        let own = self.inner.watched.own();
        let (nodes, sessions, mut reasons) = match &view.status {
            Ok(status) => {
                let sessions = status.sessions.iter().map(documents::session).collect();
                (status.nodes.clone(), sessions, reasons::of_cluster(status))
            }
            Err(error) => {
                // Only this node is known.
                let alone = MemberStatus {
                    id: own.id,
                    disk: own.disk,
                    address: String::new(),
                    voter: true,
                    drained: false,
                    cut_off: None,
                    node: Some(own.clone()),
                };
                let text = format!("{error}; this is what node {} knows by itself", own.id);
                (vec![alone], Vec::new(), vec![no_leader(text)])
            }
        };
        let money = self.inner.watched.money();
        reasons.extend(money::of_cluster(&money));
        let troubles = self.inner.watched.troubles();
        reasons.extend(troubles.iter().map(|trouble| reasons::of_node(own.id, trouble)));
        let newest = nodes.iter().filter_map(|m| m.node.as_ref()).map(|n| n.last_log).max().unwrap_or(0);
        let nodes: Vec<_> = nodes.iter().map(|m| documents::member(m, newest, budgets)).collect();
        let status = view.status.as_ref().ok();
        json!({
            "cluster": self.inner.cluster,
            "seen_by": own.id,
            "as_told_by": if status.is_some() { "leader" } else { "this node alone" },
            "leader": status.map(|status| status.leader),
            "term": status.map_or(own.term, |status| status.term),
            "now_ms": status.map(|status| status.now),
            "at_ms": self.wall_ms(),
            "healthy": reasons.iter().all(|reason| reason.weight != reasons::Weight::Trouble),
            "reasons": reasons.iter().map(Reason::json).collect::<Vec<_>>(),
            "nodes": nodes,
            "sessions": Value::Array(sessions),
            "money": documents::money::money(&money),
            "crawls": self.crawl_documents(view),
            "actions": self.inner.gate.allows_changes(),
        })
    }

    /// Adds a point to the history.
    pub(super) fn sample(&self) {
        let (node, crawls) = (self.inner.watched.own(), self.inner.watched.crawls());
        let at = self.inner.clock.monotonic();
        self.inner.pace.lock().unwrap_or_else(PoisonError::into_inner).take(at, &crawls);
        let point = Point::of(self.wall_ms(), &node, &crawls);
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner).push(point);
    }
}

fn no_leader(text: String) -> Reason {
    Reason { kind: "no-leader", weight: reasons::Weight::Trouble, text, for_ms: None }
}
