//! Money, as JSON and in words. Amounts are texts, as `"12.50"`, in the currency that the network bills in.

use serde_json::{Value, json};

use crate::model::{Amount, AppStatus, CrawlId, CrawlMoney, NO_CRAWL, SpendStatus, utc};

/// All money.
pub fn money(status: &SpendStatus) -> Value {
    let crawl = |(id, money): &(CrawlId, CrawlMoney)| {
        let mut value = crawl_money(money);
        value["crawl"] = (*id != NO_CRAWL).then_some(id.0).into();
        value
    };
    json!({
        "apps": status.apps.iter().map(|(name, app)| self::app(name, app)).collect::<Vec<_>>(),
        "crawls": status.crawls.iter().map(crawl).collect::<Vec<_>>(),
    })
}

fn amount(micros: u64) -> String {
    Amount(micros).to_string()
}

fn app(name: &str, app: &AppStatus) -> Value {
    json!({
        "app": name,
        "limit": amount(app.limit),
        "spent": amount(app.spent),
        "lost": amount(app.lost),
        "held": amount(app.held),
        "next_cycle": app.next_cycle.map(utc),
        "disputed": app.disputed,
    })
}

/// A crawl's money.
pub fn crawl_money(money: &CrawlMoney) -> Value {
    json!({
        "limit": money.limit.map(amount),
        "spent": amount(money.spent),
        "held": amount(money.held),
        "waits": waits(money),
    })
}

/// What a crawl that waits for money waits for; empty if it does not.
pub fn waits(money: &CrawlMoney) -> Vec<String> {
    let mut waits = Vec::new();
    if let (true, Some(limit)) = (money.at_limit, money.limit) {
        waits.push(format!(
            "the crawl has reached its limit of {}: {} are spent and {} are held for requests under way; a crawl's limit is \
             for its whole life, so cancel it, or submit the rest as another one",
            Amount(limit),
            Amount(money.spent),
            Amount(money.held),
        ));
    }
    for (app, until) in &money.waits_for {
        waits.push(match until {
            Some(until) => format!("the app {app} has reached its limit until {}", utc(*until)),
            None => format!("the app {app} has reached its limit, or nodes disagree about its billing cycle"),
        });
    }
    waits
}

/// What is wrong with apps.
pub fn troubles(status: &SpendStatus) -> Vec<String> {
    let disputed = status.apps.iter().filter(|(_, app)| app.disputed);
    disputed
        .map(|(name, _)| {
            format!(
                "the settings of the nodes name different billing cycles for the app {name}, so nothing is spent by it; give it \
                 the same one on all nodes and restart those that were changed"
            )
        })
        .collect()
}
