//! Reasons that have to do with money.

use api::documents::money;
use api::model::{CrawlMoney, CrawlPhase, CrawlView, SpendStatus};

use super::reasons::{Reason, Weight};

/// What a crawl waits for, if it waits for money.
pub(super) fn of_crawl(crawl: &CrawlView, money: Option<&CrawlMoney>) -> Vec<Reason> {
    let Some(money) = money.filter(|_| !matches!(crawl.phase, CrawlPhase::Finished | CrawlPhase::Cancelled))
    else {
        return Vec::new();
    };
    // A cycle ends by itself; a crawl's limit does not.
    let weight = if money.at_limit { Weight::Trouble } else { Weight::Warning };
    money::waits(money).into_iter().map(|text| Reason::new("money", weight, text)).collect()
}

/// What is wrong with apps.
pub(super) fn of_cluster(status: &SpendStatus) -> Vec<Reason> {
    let troubles = money::troubles(status).into_iter();
    troubles.map(|text| Reason::new("money-disputed", Weight::Trouble, text)).collect()
}
