//! Money: what sessions report of it, and what operators see. Amounts are millionths of the currency that a network bills
//! in. The rules are those of the ledger in the replicated state.

use serde::{Deserialize, Serialize};

use crate::wire::bounds::at_most;

use super::{CrawlId, CycleRule};

/// Most apps.
pub const MAX_APPS: usize = 64;
/// Longest name of an app, bytes.
pub const MAX_APP_NAME: usize = 64;
/// Most changes in a report.
pub const MAX_CHANGES: usize = 64;

/// The name of an app. It stands for one bill, whichever nodes and sources spend by it.
pub type AppName = Box<str>;

/// The crawl of requests that belong to none: operators' look-ups of names. Ids of crawls begin with 1.
pub const NO_CRAWL: CrawlId = CrawlId(0);

/// What an app may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTerms {
    /// The most in a cycle, in millionths of the currency.
    pub limit: u64,
    /// When cycles begin.
    pub cycle: CycleRule,
    /// How long after a turn grants have to fit the old cycle too, seconds of the network's dates.
    pub margin: u64,
}

/// A change that a session reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// What became of amounts that the session held.
    Settle {
        /// The app whose budget it was.
        app: AppName,
        /// The crawl whose budget it was.
        crawl: CrawlId,
        /// Exact cost of answered requests. It may exceed what was held if the network sent more than was asked for.
        spent: u64,
        /// Worst cases of requests without an answer.
        lost: u64,
        /// What the session gives back.
        returned: u64,
    },
    /// A block is wanted.
    Reserve {
        /// The app to spend by.
        app: AppName,
        /// The crawl to spend for.
        crawl: CrawlId,
        /// The worst case of the smallest request: a smaller grant is of no use.
        least: u64,
        /// What the session would like; it may get less, and then has to ask for smaller pages.
        wanted: u64,
    },
}

impl Change {
    /// The app.
    pub fn app(&self) -> &AppName {
        match self {
            Self::Settle { app, .. } | Self::Reserve { app, .. } => app,
        }
    }
}

/// What a session reports of its money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendReport {
    /// The number of the report, from 1.
    pub sequence: u64,
    /// The apps of the node's settings. They are part of the first report of a session.
    #[serde(deserialize_with = "at_most::<{ MAX_APPS }, _, _>")]
    pub apps: Vec<(AppName, AppTerms)>,
    /// The latest `Date` of answers by app, Unix seconds.
    #[serde(deserialize_with = "at_most::<{ MAX_APPS }, _, _>")]
    pub dates: Vec<(AppName, u64)>,
    /// Changes, in their order.
    #[serde(deserialize_with = "at_most::<{ MAX_CHANGES }, _, _>")]
    pub changes: Vec<Change>,
}

/// Which budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exhausted {
    /// That of the app in this cycle.
    App,
    /// That of the crawl.
    Crawl,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Settled. `excess` was spent beyond what was held.
    Settled {
        /// In millionths of the currency.
        excess: u64,
    },
    /// The session holds this much more; if it is less than was wanted, pages have to be smaller.
    Granted {
        /// In millionths of the currency.
        amount: u64,
    },
    /// Less than the least is left.
    Wait {
        /// Which budget.
        of: Exhausted,
        /// When the app's next cycle begins, Unix seconds of the network; `None` for a crawl, whose limit does not
        /// come back, and if no `Date` is known.
        until: Option<u64>,
        /// Whether sessions hold some of it that may come back before.
        held: bool,
    },
    /// The session did not name the app, or the crawl is over: nothing can be spent.
    Unknown,
    /// Too many blocks; wait until others end.
    Full,
}

/// A part of a limit was reached, reported once in a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// Of an app's limit in a cycle.
    App {
        /// The app.
        app: AppName,
        /// The cycle's number, if a `Date` is known.
        cycle: Option<u64>,
        /// 80 or 100.
        percent: u8,
    },
    /// Of a crawl's limit.
    Crawl {
        /// The crawl.
        crawl: CrawlId,
        /// 80 or 100.
        percent: u8,
    },
}

/// The answer to a [`SpendReport`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpendAnswer {
    /// One outcome for each change.
    pub outcomes: Vec<Outcome>,
    /// Marks that were passed for the first time.
    pub marks: Vec<Mark>,
}

/// An app as status shows it; amounts in millionths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// The limit.
    pub limit: u64,
    /// Whether nodes name different cycles for it: nothing is granted until they agree.
    pub disputed: bool,
    /// The cycle's number, if a `Date` is known.
    pub cycle: Option<u64>,
    /// When the next cycle begins, Unix seconds.
    pub next_cycle: Option<u64>,
    /// Spent in this cycle, as far as it is known exactly.
    pub spent: u64,
    /// Counted as spent because nobody knows: requests without an answer and sessions that ended, in this cycle and
    /// the one before.
    pub lost: u64,
    /// Held by sessions.
    pub held: u64,
}

/// A crawl's money as status shows it; amounts in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlMoney {
    /// The limit, if it has one.
    pub limit: Option<u64>,
    /// Spent, with what was lost.
    pub spent: u64,
    /// Held by sessions.
    pub held: u64,
    /// Whether the crawl waits because its limit is reached.
    pub at_limit: bool,
    /// The apps that it waits for, and when the cycle of each ends, Unix seconds, if that is known.
    pub waits_for: Vec<(AppName, Option<u64>)>,
}

/// All money.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpendStatus {
    /// The apps, by name.
    pub apps: Vec<(AppName, AppStatus)>,
    /// The crawls that have cost something or want to, by id; [`NO_CRAWL`] stands for look-ups of names.
    pub crawls: Vec<(CrawlId, CrawlMoney)>,
}

impl SpendStatus {
    /// A crawl's money, if it costs any.
    pub fn of_crawl(&self, id: CrawlId) -> Option<&CrawlMoney> {
        self.crawls.iter().find(|(crawl, _)| *crawl == id).map(|(_, money)| money)
    }
}
