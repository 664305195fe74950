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
//! it has to wait although it holds more of another crawl. It asks for few requests' worth at a time.
//!
//! # Who says what an app may spend
//!
//! The settings of the nodes, so that a limit stands beside the token that it is for. Each session names the apps of its
//! node in its first report. Nodes differ while an operator changes their settings one after the other, or by mistake;
//! the cluster must exceed neither what he has set nor what he is setting. Therefore the smallest limit holds among those
//! that live sessions name: a lowered one from the first node that has it, a raised one once all have it. If they name
//! different cycles, no answer is safe, since each would begin at another time with nothing spent: nothing is granted until
//! they agree, and status says so. An app that no live session names keeps its book: what was spent by it stays known.
//!
//! # The life of a crawl's book
//!
//! It is opened by the first reservation of a crawl that is in the state, with the limit of its specification. A finished
//! crawl keeps it, because a retry of its errors reopens it with what is left; a cancelled one keeps it for people and is
//! granted nothing more; that of a deleted one goes once no session holds anything for it, and does not come back.
//!
//! A crawl whose own limit has refused its smallest request is granted no jobs until something comes back
//! ([`Spend::is_at_limit`]): each job would only come back.
//!
//! # Bounds
//!
//! At most [`MAX_APPS`] apps, [`MAX_CRAWLS`] crawls, [`MAX_SESSIONS`] sessions, [`MAX_BLOCKS`] blocks, and
//! [`MAX_CHANGES`](api::model::MAX_CHANGES) changes in a report. Each app, crawl, session and block is a small record of its own.

mod book;
mod records;
mod refusal;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod terms_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storage::planted::{Bug, planted};

use crate::model::{
    AppName, AppTerms, Change, CrawlId, Exhausted, MAX_APP_NAME, MAX_APPS, Mark, Outcome, SessionId,
    SpendAnswer, SpendReport, SpendStatus,
};

use book::{AppBook, CrawlBook};
pub use refusal::SpendRefusal;
use refusal::check_size;
pub use share::{Share, Taken};

/// Most crawls with a book.
pub const MAX_CRAWLS: usize = 4096;
/// Most sessions that hold something or have reported.
pub const MAX_SESSIONS: usize = 1024;
/// Most blocks of all sessions.
pub const MAX_BLOCKS: usize = 8192;

/// Part of what is left that one grant takes at the most, so that near the limit several sessions get something and
/// pages get smaller instead of one block stopping the rest.
const LARGEST_PART: u64 = 4;

/// What is known of a session's reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SessionBook {
    last: u64,
    answer: SpendAnswer,
    /// The apps of the node's settings.
    apps: Vec<(AppName, AppTerms)>,
}

type BlockKey = (SessionId, AppName, CrawlId);

/// The ledger.
#[derive(Debug, Clone, Default)]
pub struct Spend {
    apps: BTreeMap<AppName, AppBook>,
    crawls: BTreeMap<CrawlId, CrawlBook>,
    sessions: BTreeMap<SessionId, SessionBook>,
    /// What each session holds.
    blocks: BTreeMap<BlockKey, u64>,
    /// What the next checkpoint has to write or remove.
    changed: BTreeSet<records::Key>,
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
        if !self.apps.contains_key(name) && self.apps.len() >= MAX_APPS && !self.drop_unused_app() {
            return Err(SpendRefusal::TooMany { what: "apps", most: MAX_APPS });
        }
        self.changed.insert(records::Key::App(name.into()));
        self.apps.entry(name.into()).or_insert_with(|| AppBook::new(terms)).set_terms(terms);
        Ok(())
    }

    /// Drops the book of an app that no session names, if whatever it spent lies two cycles back by the dates of the
    /// others.
    fn drop_unused_app(&mut self) -> bool {
        let now = self.apps.values().map(AppBook::latest).max().unwrap_or(0);
        let named =
            |name: &AppName| self.sessions.values().any(|book| book.apps.iter().any(|(n, _)| n == name));
        let unused = self.apps.iter().find(|(name, book)| book.is_over_at(now) && !named(name));
        let Some(name) = unused.map(|(name, _)| name.clone()) else { return false };
        self.apps.remove(&name);
        self.changed.insert(records::Key::App(name));
        true
    }

    /// Brings an app's terms up to date with what sessions name. Nodes differ while settings are changed on one after the
    /// other: then the smallest limit holds, and if they name different cycles, nothing is granted.
    fn agree(&mut self, name: &AppName) -> Result<(), SpendRefusal> {
        let named = self.sessions.values().flat_map(|book| &book.apps).filter(|(app, _)| app == name);
        let all: Vec<AppTerms> = named.map(|(_, terms)| *terms).collect();
        // Without a session that names it, nobody spends by it, and what was spent has to stay known.
        let Some(first) = all.first().copied() else { return Ok(()) };
        let disputed = all.iter().any(|terms| terms.cycle != first.cycle);
        let limit = all.iter().map(|terms| terms.limit).min().unwrap_or(0);
        let margin = all.iter().map(|terms| terms.margin).max().unwrap_or(0);
        if !disputed {
            self.set_app(name, AppTerms { limit, cycle: first.cycle, margin })?;
        } else if !self.apps.contains_key(name) {
            self.set_app(name, AppTerms { limit, margin, ..first })?;
        }
        if let Some(book) = self.apps.get_mut(name) {
            book.disputed = disputed;
            self.changed.insert(records::Key::App(name.clone()));
        }
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
        self.changed.insert(records::Key::Crawl(crawl));
        Ok(())
    }

    /// Whether the crawl has a book.
    pub fn has_crawl(&self, crawl: CrawlId) -> bool {
        self.crawls.contains_key(&crawl)
    }

    /// The crawl is cancelled: nothing more is granted to it. What it spent stays known.
    pub fn stop_crawl(&mut self, crawl: CrawlId) {
        if let Some(book) = self.crawls.get_mut(&crawl) {
            book.over = true;
            self.changed.insert(records::Key::Crawl(crawl));
        }
    }

    /// The crawl is deleted. Its book is closed once no session holds anything for it.
    pub fn close_crawl(&mut self, crawl: CrawlId) {
        if let Some(book) = self.crawls.get_mut(&crawl) {
            (book.over, book.deleted) = (true, true);
            self.changed.insert(records::Key::Crawl(crawl));
        }
        self.drop_closed(crawl);
    }

    fn drop_closed(&mut self, crawl: CrawlId) {
        if self.crawls.get(&crawl).is_some_and(|book| book.deleted && book.held == 0) {
            self.crawls.remove(&crawl);
        }
    }

    /// Whether the crawl's limit has refused what its smallest request can cost, and nothing came back since.
    pub fn is_at_limit(&self, crawl: CrawlId) -> bool {
        self.crawls.get(&crawl).is_some_and(CrawlBook::is_at_limit)
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
        self.changed.insert(records::Key::Session(session));
        Ok(())
    }

    /// Whether the session has reported.
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The sessions that have reported.
    pub fn session_ids(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// A session has ended: what it held may have been spent, and nobody will say so. A mark that this passes is
    /// reported with the next change that names the app or the crawl.
    pub fn end_session(&mut self, session: SessionId) {
        let Some(book) = self.sessions.remove(&session) else { return };
        self.changed.insert(records::Key::Session(session));
        let of_session = (session, AppName::default(), CrawlId(0))..;
        let keys: Vec<BlockKey> = self
            .blocks
            .range(of_session)
            .map(|(key, _)| key.clone())
            .take_while(|(holder, ..)| *holder == session)
            .collect();
        for key in keys {
            let Some(held) = self.blocks.remove(&key) else { continue };
            self.changed.insert(records::Key::Block(key.clone()));
            let (_, app, crawl) = key;
            let lost = if planted(Bug::DeadSessionPaysBack) { 0 } else { held };
            self.settle(&app, crawl, held, (0, lost, 0));
        }
        for (app, _) in &book.apps {
            // Only a new app can be refused, and this one has a book.
            let _known = self.agree(app);
        }
    }

    /// Applies a session's report, once.
    ///
    /// # Errors
    /// The session has ended, the report is out of turn, or it is too large; nothing was changed.
    pub fn report(&mut self, session: SessionId, report: &SpendReport) -> Result<SpendAnswer, SpendRefusal> {
        let book = self.sessions.get(&session).ok_or(SpendRefusal::NoSession(session))?;
        let last = book.last;
        let repeated = report.sequence == last && report.sequence > 0;
        if repeated && !planted(Bug::SpendTwice) {
            return Ok(book.answer.clone());
        }
        if report.sequence != last + 1 && !repeated {
            return Err(SpendRefusal::OutOfTurn { session, got: report.sequence, last });
        }
        check_size(report)?;
        self.name_apps(session, &report.apps)?;
        for (app, date) in &report.dates {
            if let Some(book) = self.apps.get_mut(app) {
                book.see(*date);
                self.changed.insert(records::Key::App(app.clone()));
            }
        }
        let mut answer = SpendAnswer::default();
        for change in &report.changes {
            answer.outcomes.push(self.apply(session, change, &mut answer.marks));
        }
        if let Some(book) = self.sessions.get_mut(&session) {
            (book.last, book.answer) = (report.sequence, answer.clone());
        }
        self.changed.insert(records::Key::Session(session));
        Ok(answer)
    }

    /// The apps of the session's node, once for a session.
    fn name_apps(&mut self, session: SessionId, apps: &[(AppName, AppTerms)]) -> Result<(), SpendRefusal> {
        if apps.is_empty() {
            return Ok(());
        }
        let Some(book) = self.sessions.get_mut(&session) else { return Ok(()) };
        let before = std::mem::replace(&mut book.apps, apps.to_vec());
        let agreed = apps.iter().try_for_each(|(app, _)| self.agree(app));
        if agreed.is_err() {
            // Refused: the terms are again those of the other sessions.
            if let Some(book) = self.sessions.get_mut(&session) {
                book.apps = before;
            }
            for (app, _) in apps {
                let _again = self.agree(app);
            }
        }
        agreed
    }

    fn apply(&mut self, session: SessionId, change: &Change, marks: &mut Vec<Mark>) -> Outcome {
        match change {
            Change::Settle { app, crawl, spent, lost, returned } => {
                let key = (session, app.clone(), *crawl);
                let held = self.blocks.get(&key).copied().unwrap_or(0);
                let released = spent.saturating_add(*lost).saturating_add(*returned).min(held);
                self.changed.insert(records::Key::Block(key.clone()));
                match held - released {
                    0 => self.blocks.remove(&key),
                    rest => self.blocks.insert(key, rest),
                };
                let excess = spent.saturating_add(*lost).saturating_sub(held);
                self.settle(app, *crawl, released, (*spent, *lost, excess));
                self.mark(app, *crawl, marks);
                Outcome::Settled { excess }
            }
            Change::Reserve { app, crawl, least, wanted } => {
                let outcome = self.reserve(session, app, *crawl, ((*least).max(1), *wanted), marks);
                self.mark(app, *crawl, marks);
                outcome
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
    ) {
        if let Some(book) = self.apps.get_mut(app) {
            book.settle(released, spent, lost, excess);
            self.changed.insert(records::Key::App(app.clone()));
        }
        if let Some(book) = self.crawls.get_mut(&crawl) {
            book.settle(released, spent.saturating_add(lost));
            self.changed.insert(records::Key::Crawl(crawl));
        }
        self.drop_closed(crawl);
    }

    /// The marks that an app and a crawl have passed and that were not reported.
    fn mark(&mut self, app: &AppName, crawl: CrawlId, marks: &mut Vec<Mark>) {
        marks.extend(self.apps.get_mut(app).and_then(|book| book.mark(app)));
        marks.extend(self.crawls.get_mut(&crawl).and_then(|book| book.mark(crawl)));
    }

    fn reserve(
        &mut self,
        session: SessionId,
        app: &AppName,
        crawl: CrawlId,
        (least, wanted): (u64, u64),
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
        self.changed.extend([records::Key::App(app.clone()), records::Key::Crawl(crawl)]);
        if of_crawl.left() < least {
            marks.extend(of_crawl.refuse(crawl, least));
            return Outcome::Wait { of: Exhausted::Crawl, until: None, held: of_crawl.held > 0 };
        }
        if book.left() < least {
            marks.extend(book.refuse(app));
            of_crawl.wait_for(app, least);
            return Outcome::Wait { of: Exhausted::App, until: book.next_cycle(), held: book.held() > 0 };
        }
        let left = book.left().min(of_crawl.left());
        let amount = wanted.min((left / LARGEST_PART).max(least)).max(least);
        book.hold(amount);
        of_crawl.hold(app, amount);
        self.changed.insert(records::Key::Block(key.clone()));
        let block = self.blocks.entry(key).or_default();
        *block = block.saturating_add(amount);
        Outcome::Granted { amount }
    }

    /// All of it, for people.
    pub fn status(&self) -> SpendStatus {
        let wait = |app: &AppName, least: u64| {
            let book = self.apps.get(app)?;
            (book.left() < least).then(|| (app.clone(), book.next_cycle()))
        };
        SpendStatus {
            apps: self.apps.iter().map(|(name, book)| (name.clone(), book.status())).collect(),
            crawls: self.crawls.iter().map(|(id, book)| (*id, book.status(wait))).collect(),
        }
    }

    /// The first violated invariant: what blocks hold is what the books say, and no budget is exceeded but by what the
    /// network charged beyond the worst case, or by a limit that was lowered.
    ///
    /// # Errors
    /// Which one, and how.
    pub fn check(&self) -> Result<(), String> {
        let (mut by_app, mut by_crawl) = (BTreeMap::new(), BTreeMap::new());
        for ((session, app, crawl), held) in &self.blocks {
            if !self.sessions.contains_key(session) {
                return Err(format!("TWM-X1: session {session} has ended and holds a block"));
            }
            *by_app.entry(app).or_insert(0u64) += held;
            *by_crawl.entry(crawl).or_insert(0u64) += held;
        }
        for (name, book) in &self.apps {
            book.check(name, by_app.get(name).copied().unwrap_or(0))?;
        }
        for (id, book) in &self.crawls {
            book.check(*id, by_crawl.get(id).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}
