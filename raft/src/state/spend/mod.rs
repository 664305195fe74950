//! The ledger of money: what apps may spend in a billing cycle and crawls in all, and who holds a part of it.
//!
//! A network that charges for objects bills an app by its own clock, in its own cycles. A request's cost is known only
//! when its answer is there, so the most that it can cost is taken from a budget before it is sent. Taking it from the
//! replicated state for each request would log two entries a page. Therefore a session takes *blocks*, spends them
//! by a [`Share`] of its own, and reports what became of them now and then. Amounts are millionths of a currency.
//!
//! # Who believes what
//!
//! - The **state** ([`Spend`]) believes that everything a session holds may be spent at any moment. It never learns of
//!   single requests. `spent + lost + held` of an app is at most its limit (TWM-X1), the same for a crawl (TWM-X2).
//! - A **session** believes that it may spend what it was granted and has not reported as spent, lost or returned. What
//!   is in a report that has no answer yet it neither spends nor reports in another one.
//! - The **network** believes nothing of this. What it bills is at most what sessions took for requests that they sent.
//!
//! So at each moment: billed <= what sessions have taken <= granted - returned = `spent + lost + held`.
//!
//! # Reports
//!
//! A session numbers its reports from 1 and has one under way. [`Spend::report`] applies a number once and remembers
//! its answer: a report that is sent again changes nothing and gets the same grants (as TWM-S2). A report of an unknown
//! session is refused.
//!
//! # Every point at which somebody can stop
//!
//! - *Before a grant is applied*: nothing was reserved.
//! - *After it, its answer lost*: held. The session repeats the report and gets the same answer; if it died, see below.
//! - *Between taking from the share and sending; after sending; after the answer, before the report*: the amount is
//!   held. A live session reports what was spent, or the most that it can have been (lost).
//! - *A request without an answer* is lost: it counts as spent with its worst case, for ever.
//! - *The session ends* (killed, cut off, frozen): everything that it held is lost ([`Spend::end_session`]). A process
//!   that wakes and sends what it decided to send before sends only what was counted. Its reports are refused, and it
//!   drops its shares.
//! - *The leader or any replica stops*: the ledger is part of the replicated state and has no clock and no timer.
//!
//! # The turn of a cycle
//!
//! A cycle turns by the `Date` of the network's answers alone, which sessions report; it never turns back. A session that
//! waits for the next cycle ([`Outcome::Wait`]) sends nothing and would never learn that it has begun: from `until` on, by
//! its own clock, it asks for the date now and then by a request that is not charged. What was held
//! at the turn can be billed in either cycle and counts in both. What was lost before counts in the next cycle as well,
//! because its request can have been billed late. Hosts of the network can disagree about the time, so that a grant made
//! after the turn can be billed in the old cycle: until [`AppTerms::margin`] seconds have passed by the network's dates,
//! a grant has to fit both cycles.
//!
//! Assumed, and to be kept by sessions: the margin covers twice the difference between clocks of the network's hosts,
//! plus the longest time from taking an amount to the end of its request, plus a session's time to live; and a process
//! that was frozen between taking an amount and sending its request for longer than a *whole cycle* gives it up. A session
//! reports no `Date` that is more than a day ahead of its own clock: one far in the future would begin a new cycle too
//! early. Before the first `Date` all belongs to the cycle that it will name.
//!
//! # Giving back
//!
//! What one session holds and does not need is missing elsewhere. A session gives back what is free when it has no job
//! left for an app and a crawl, when it is drained, and when the outcome of a [`Change::Reserve`] of its own says that
//! it has to wait although it holds more of another crawl. It asks for few requests' worth at a time. An app that left
//! the settings gets a limit of 0: what was spent by it stays known until its cycle is over.
//!
//! # Bounds
//!
//! At most [`MAX_APPS`] apps, [`MAX_CRAWLS`] crawls, [`MAX_SESSIONS`] sessions, [`MAX_BLOCKS`] blocks, and
//! [`MAX_CHANGES`] changes in a report. Each app, crawl, session and block is a small record of its own.

mod book;
mod cycle;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{CrawlId, SessionId};

use book::{AppBook, CrawlBook};
pub use book::{AppStatus, AppTerms, CrawlStatus, Mark};
pub use cycle::CycleRule;
pub use share::{Share, Taken};

/// Most apps.
pub const MAX_APPS: usize = 64;
/// Longest name of an app, bytes.
pub const MAX_APP_NAME: usize = 64;
/// Most crawls with a book.
pub const MAX_CRAWLS: usize = 4096;
/// Most sessions that hold something or have reported.
pub const MAX_SESSIONS: usize = 1024;
/// Most blocks of all sessions.
pub const MAX_BLOCKS: usize = 8192;
/// Most changes in a report.
pub const MAX_CHANGES: usize = 64;

/// Part of what is left that one grant takes at the most, so that near the limit several sessions get something and
/// pages get smaller instead of one block stopping the rest.
const LARGEST_PART: u64 = 4;

/// The name of an app.
pub type AppName = Box<str>;

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

/// What a session reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendReport {
    /// The number of the report, from 1.
    pub sequence: u64,
    /// The latest `Date` of answers by app, Unix seconds.
    pub dates: Vec<(AppName, u64)>,
    /// Changes, in their order.
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
        /// When the app's next cycle begins, Unix seconds of the network; `None` for a crawl, whose limit only an
        /// operator raises, and if no `Date` is known.
        until: Option<u64>,
        /// Whether sessions hold some of it that may come back before.
        held: bool,
    },
    /// The app or the crawl has no limits in this ledger, or the crawl is over: nothing can be spent.
    Unknown,
    /// Too many blocks; wait until others end.
    Full,
}

/// Why a report or a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpendRefusal {
    /// The session has ended, or was never opened.
    #[error("session {0} holds no money: it has ended; drop its shares")]
    NoSession(SessionId),
    /// A number that is neither the last one nor the next.
    #[error(
        "report {got} of session {session} is out of turn after report {last}; drop the session's shares and open a new one"
    )]
    OutOfTurn {
        /// The session.
        session: SessionId,
        /// The report's number.
        got: u64,
        /// The last number that was applied.
        last: u64,
    },
    /// More than the bounds allow.
    #[error("{what}: at most {most} are allowed")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        most: usize,
    },
}

/// What a session's report led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// One outcome for each change.
    pub outcomes: Vec<Outcome>,
    /// Marks that were passed for the first time; none for a repeated report.
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SessionBook {
    last: u64,
    outcomes: Vec<Outcome>,
}

type BlockKey = (SessionId, AppName, CrawlId);

/// The ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    apps: BTreeMap<AppName, AppBook>,
    crawls: BTreeMap<CrawlId, CrawlBook>,
    sessions: BTreeMap<SessionId, SessionBook>,
    /// What each session holds.
    blocks: BTreeMap<BlockKey, u64>,
}

impl Spend {
    /// Sets an app's limit and cycle. What was spent stays.
    ///
    /// # Errors
    /// There are too many apps, or the name is too long.
    pub fn set_app(&mut self, name: &str, terms: AppTerms) -> Result<(), SpendRefusal> {
        if name.len() > MAX_APP_NAME {
            return Err(SpendRefusal::TooMany { what: "bytes in the name of an app", most: MAX_APP_NAME });
        }
        if let Some(book) = self.apps.get_mut(name) {
            book.set_terms(terms);
            return Ok(());
        }
        if self.apps.len() >= MAX_APPS {
            return Err(SpendRefusal::TooMany { what: "apps", most: MAX_APPS });
        }
        self.apps.insert(name.into(), AppBook::new(terms));
        Ok(())
    }

    /// Sets a crawl's limit over its whole life; `None` for no limit but its apps'. Before that it can spend nothing, so
    /// that a late report cannot bring a crawl back that was closed.
    ///
    /// # Errors
    /// There are too many crawls.
    pub fn set_crawl(&mut self, crawl: CrawlId, limit: Option<u64>) -> Result<(), SpendRefusal> {
        if !self.crawls.contains_key(&crawl) && self.crawls.len() >= MAX_CRAWLS {
            return Err(SpendRefusal::TooMany { what: "crawls that cost money", most: MAX_CRAWLS });
        }
        self.crawls.entry(crawl).or_default().set_limit(limit);
        Ok(())
    }

    /// The crawl is over. Its book is closed once no session holds anything for it.
    pub fn close_crawl(&mut self, crawl: CrawlId) {
        if let Some(book) = self.crawls.get_mut(&crawl) {
            book.over = true;
        }
        self.drop_closed(crawl);
    }

    fn drop_closed(&mut self, crawl: CrawlId) {
        if self.crawls.get(&crawl).is_some_and(|book| book.over && book.held == 0) {
            self.crawls.remove(&crawl);
        }
    }

    /// A session begins. Session ids are never used again.
    ///
    /// # Errors
    /// There are too many sessions.
    pub fn open_session(&mut self, session: SessionId) -> Result<(), SpendRefusal> {
        if !self.sessions.contains_key(&session) && self.sessions.len() >= MAX_SESSIONS {
            return Err(SpendRefusal::TooMany { what: "sessions that spend money", most: MAX_SESSIONS });
        }
        self.sessions.entry(session).or_default();
        Ok(())
    }

    /// A session has ended: what it held may have been spent, and nobody will say so.
    pub fn end_session(&mut self, session: SessionId) -> Vec<Mark> {
        let mut marks = Vec::new();
        if self.sessions.remove(&session).is_none() {
            return marks;
        }
        let of_session = (session, AppName::default(), CrawlId(0))..;
        let keys: Vec<BlockKey> = self
            .blocks
            .range(of_session)
            .map(|(key, _)| key.clone())
            .take_while(|(holder, ..)| *holder == session)
            .collect();
        for key in keys {
            let Some(held) = self.blocks.remove(&key) else { continue };
            let (_, app, crawl) = key;
            self.settle(&app, crawl, held, (0, held, 0), &mut marks);
        }
        marks
    }

    /// Applies a session's report, once.
    ///
    /// # Errors
    /// The session has ended, the report is out of turn, or it is too large; nothing was changed.
    pub fn report(&mut self, session: SessionId, report: &SpendReport) -> Result<Reported, SpendRefusal> {
        let last = self.sessions.get(&session).ok_or(SpendRefusal::NoSession(session))?;
        if report.sequence == last.last && report.sequence > 0 {
            return Ok(Reported { outcomes: last.outcomes.clone(), marks: Vec::new() });
        }
        if report.sequence != last.last + 1 {
            return Err(SpendRefusal::OutOfTurn { session, got: report.sequence, last: last.last });
        }
        if report.changes.len() > MAX_CHANGES || report.dates.len() > MAX_APPS {
            return Err(SpendRefusal::TooMany { what: "changes in a report", most: MAX_CHANGES });
        }
        for (app, date) in &report.dates {
            if let Some(book) = self.apps.get_mut(app) {
                book.see(*date);
            }
        }
        let mut marks = Vec::new();
        let outcomes: Vec<Outcome> =
            report.changes.iter().map(|change| self.apply(session, change, &mut marks)).collect();
        let book = SessionBook { last: report.sequence, outcomes: outcomes.clone() };
        self.sessions.insert(session, book);
        Ok(Reported { outcomes, marks })
    }

    fn apply(&mut self, session: SessionId, change: &Change, marks: &mut Vec<Mark>) -> Outcome {
        match change {
            Change::Settle { app, crawl, spent, lost, returned } => {
                let key = (session, app.clone(), *crawl);
                let held = self.blocks.get(&key).copied().unwrap_or(0);
                let released = spent.saturating_add(*lost).saturating_add(*returned).min(held);
                match held - released {
                    0 => self.blocks.remove(&key),
                    rest => self.blocks.insert(key, rest),
                };
                let excess = spent.saturating_add(*lost).saturating_sub(held);
                self.settle(app, *crawl, released, (*spent, *lost, excess), marks);
                Outcome::Settled { excess }
            }
            Change::Reserve { app, crawl, least, wanted } => {
                self.reserve(session, app, *crawl, (*least).max(1), *wanted, marks)
            }
        }
    }

    /// Books what became of `released`, which a block no longer holds.
    fn settle(
        &mut self,
        app: &AppName,
        crawl: CrawlId,
        released: u64,
        (spent, lost, excess): (u64, u64, u64),
        marks: &mut Vec<Mark>,
    ) {
        if let Some(book) = self.apps.get_mut(app) {
            book.settle(released, spent, lost, excess);
            marks.extend(book.mark(app));
        }
        if let Some(book) = self.crawls.get_mut(&crawl) {
            book.settle(released, spent.saturating_add(lost));
            marks.extend(book.mark(crawl));
        }
        self.drop_closed(crawl);
    }

    fn reserve(
        &mut self,
        session: SessionId,
        app: &AppName,
        crawl: CrawlId,
        least: u64,
        wanted: u64,
        marks: &mut Vec<Mark>,
    ) -> Outcome {
        let key = (session, app.clone(), crawl);
        if !self.blocks.contains_key(&key) && self.blocks.len() >= MAX_BLOCKS {
            return Outcome::Full;
        }
        let (Some(book), Some(of_crawl)) = (self.apps.get_mut(app), self.crawls.get_mut(&crawl)) else {
            return Outcome::Unknown;
        };
        if of_crawl.over {
            return Outcome::Unknown;
        }
        if of_crawl.left() < least {
            marks.extend(of_crawl.refuse(crawl));
            return Outcome::Wait { of: Exhausted::Crawl, until: None, held: of_crawl.held > 0 };
        }
        if book.left() < least {
            marks.extend(book.refuse(app));
            return Outcome::Wait { of: Exhausted::App, until: book.next_cycle(), held: book.held() > 0 };
        }
        let left = book.left().min(of_crawl.left());
        let amount = wanted.min((left / LARGEST_PART).max(least)).max(least);
        book.hold(amount);
        of_crawl.held = of_crawl.held.saturating_add(amount);
        let block = self.blocks.entry(key).or_default();
        *block = block.saturating_add(amount);
        Outcome::Granted { amount }
    }

    /// The apps, by name.
    pub fn apps(&self) -> impl Iterator<Item = (&str, AppStatus)> {
        self.apps.iter().map(|(name, book)| (&**name, book.status()))
    }

    /// The crawls that cost money.
    pub fn crawls(&self) -> impl Iterator<Item = (CrawlId, CrawlStatus)> {
        self.crawls.iter().map(|(id, book)| (*id, book.status()))
    }

    /// The first violated invariant: what blocks hold is what the books say, and no budget is exceeded but by what the
    /// network charged beyond the worst case, or by a limit that was lowered.
    ///
    /// # Errors
    /// Which one, and how.
    pub fn check(&self) -> Result<(), String> {
        let held = |fits: &dyn Fn(&BlockKey) -> bool| -> u64 {
            self.blocks.iter().filter(|(key, _)| fits(key)).map(|(_, held)| held).sum()
        };
        for (name, book) in &self.apps {
            book.check(name, held(&|(_, app, _)| app == name))?;
        }
        for (id, book) in &self.crawls {
            book.check(*id, held(&|(.., crawl)| crawl == id))?;
        }
        match self.blocks.keys().find(|(session, ..)| !self.sessions.contains_key(session)) {
            Some((session, ..)) => Err(format!("TWM-X1: session {session} has ended and holds a block")),
            None => Ok(()),
        }
    }
}
