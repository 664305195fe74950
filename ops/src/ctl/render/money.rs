//! Tables of money.

use api::documents::money;
use api::model::{Amount, CrawlMoney, CrawlView, NO_CRAWL, SpendStatus, utc};
use comfy_table::Table;

use super::columns;

fn amount(micros: u64) -> String {
    Amount(micros).to_string()
}

/// Every app.
pub fn apps(status: &SpendStatus) -> Table {
    let rows = status.apps.iter().map(|(name, app)| {
        let used = app.spent.saturating_add(app.lost).saturating_add(app.held);
        [
            name.to_string(),
            amount(app.limit),
            amount(app.spent),
            amount(app.lost),
            amount(app.held),
            amount(app.limit.saturating_sub(used)),
            match (app.disputed, app.next_cycle) {
                (true, _) => "nodes disagree".to_owned(),
                (false, Some(next)) => utc(next),
                (false, None) => "-".to_owned(),
            },
        ]
    });
    columns(["APP", ">LIMIT", ">SPENT", ">LOST", ">HELD", ">LEFT", "NEXT CYCLE"], rows)
}

/// Every crawl that costs money.
pub fn crawls(status: &SpendStatus) -> Table {
    let rows = status.crawls.iter().map(|(id, money)| {
        [
            if *id == NO_CRAWL { "names".to_owned() } else { id.to_string() },
            money.limit.map_or_else(|| "-".to_owned(), amount),
            amount(money.spent),
            amount(money.held),
            waits(money),
        ]
    });
    columns(["CRAWL", ">LIMIT", ">SPENT", ">HELD", "WAITS FOR"], rows)
}

fn waits(money: &CrawlMoney) -> String {
    let limit = money.at_limit.then(|| "its limit".to_owned());
    let apps = money.waits_for.iter().map(|(app, until)| match until {
        Some(until) => format!("{app} until {}", utc(*until)),
        None => app.to_string(),
    });
    let all: Vec<String> = limit.into_iter().chain(apps).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// The lines of a crawl in full.
pub fn details(crawl: &CrawlView, money: Option<&CrawlMoney>) -> Vec<(&'static str, String)> {
    let limit = money.map_or(crawl.spec.spend_limit, |money| money.limit);
    let mut lines = Vec::new();
    lines.extend(limit.map(|limit| ("spend limit", amount(limit))));
    if let Some(money) = money {
        lines.push(("spent", format!("{}, {} held for requests", amount(money.spent), amount(money.held))));
        lines.extend(money::waits(money).into_iter().map(|why| ("waits", why)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use api::model::{AppStatus, CrawlId};

    use super::*;
    use crate::ctl::render::samples;

    fn sample() -> SpendStatus {
        let app = AppStatus {
            limit: 100_000_000,
            disputed: false,
            cycle: Some(7),
            next_cycle: Some(1_795_422_061),
            spent: 12_500_000,
            lost: 500_000,
            held: 2_000_000,
        };
        let waits_for = vec![("main".into(), Some(1_795_422_061))];
        let crawl =
            CrawlMoney { limit: Some(20_000_000), spent: 13_000_000, held: 0, at_limit: true, waits_for };
        let names =
            CrawlMoney { limit: None, spent: 10_000, held: 0, at_limit: false, waits_for: Vec::new() };
        SpendStatus { apps: vec![("main".into(), app)], crawls: vec![(NO_CRAWL, names), (CrawlId(7), crawl)] }
    }

    #[test]
    fn apps_and_crawls_show_what_is_spent_held_and_left() {
        let text = apps(&sample()).trim_fmt();
        for word in ["main", "100.00", "12.50", "0.50", "2.00", "85.00", "2026-11-23"] {
            assert!(text.contains(word), "{word}:\n{text}");
        }
        let text = crawls(&sample()).trim_fmt();
        for word in ["names", "0.01", "20.00", "13.00", "its limit, main until 2026-11-23 08:21:01 UTC"] {
            assert!(text.contains(word), "{word}:\n{text}");
        }
    }

    #[test]
    fn a_crawl_in_full_says_what_it_has_spent_and_why_it_waits() {
        let (mut crawl, status) = (samples::crawl(), sample());
        let text = super::super::crawl_details(&crawl, status.of_crawl(CrawlId(7)));
        for line in
            ["spend limit  20.00", "spent        13.00, 0.00 held", "waits        the crawl has reached"]
        {
            assert!(text.contains(line), "{line:?} in:\n{text}");
        }
        assert!(details(&crawl, None).is_empty());
        crawl.spec.spend_limit = Some(5_000);
        assert_eq!(details(&crawl, None), [("spend limit", "0.005".to_owned())]);
    }
}
