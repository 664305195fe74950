//! Money in `/metrics`. Only the leader exports it, since every node has the same.

use api::model::{NO_CRAWL, NodeRole};

use super::Observation;
use super::crawls::NAMED;
use super::exposition::Exposition;

pub(super) fn render(page: &mut Exposition, node: &Observation) {
    let money = &node.money;
    if node.node.role != NodeRole::Leader || money.apps.is_empty() {
        return;
    }
    page.gauge(
        "twm_money_limit",
        "The most that an app may spend in a billing cycle, in the currency of its bill; the leader's alone.",
    );
    for (app, status) in &money.apps {
        page.sample(&[("app", app)], units(status.limit));
    }
    page.gauge(
        "twm_money",
        "Of an app's limit in this billing cycle: spent, lost (requests without an answer and sessions that ended), held by sessions.",
    );
    for (app, status) in &money.apps {
        for (state, micros) in [("spent", status.spent), ("lost", status.lost), ("held", status.held)] {
            page.sample(&[("app", app), ("state", state)], units(micros));
        }
    }
    page.gauge("twm_crawl_money", "Spent by crawls, and held for them, of the newest 20 that cost money.");
    let crawls = || money.crawls.iter().filter(|(id, _)| *id != NO_CRAWL).rev().take(NAMED);
    for (id, status) in crawls() {
        let id = id.to_string();
        for (state, micros) in [("spent", status.spent), ("held", status.held)] {
            page.sample(&[("crawl", &id), ("state", state)], units(micros));
        }
    }
    page.gauge("twm_crawl_money_limit", "Limits of these crawls, of those that have one.");
    for (id, status) in crawls() {
        if let Some(limit) = status.limit {
            page.sample(&[("crawl", &id.to_string())], units(limit));
        }
    }
}

/// Millionths as units of the currency: these are for graphs, not for accounts.
fn units(micros: u64) -> f64 {
    micros as f64 / 1e6
}
