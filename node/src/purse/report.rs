//! Reports to the ledger.

use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::client::{ApiError, ClientError};
use api::model::{
    Amount, Change, Exhausted, MAX_CHANGES, Mark, NO_CRAWL, NodeId, Outcome, Refusal, SessionId, SpendAnswer,
    SpendReport,
};
use storage::env::Clock;
use tokio::time::{Instant, sleep, timeout};

use super::{Inner, Purse};
use crate::session::JobTracker;

/// Pause between two reports: others may want something too.
const PACE: Duration = Duration::from_millis(20);
/// How often what was spent is reported if nobody waits for more.
const EVERY: Duration = Duration::from_secs(1);
/// Pause before a report without an answer is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// A share that nothing was taken from for this long is given back.
const IDLE: Duration = Duration::from_secs(3);
/// How long a session that ends waits until what is left was given back.
const LAST_REPORT: Duration = Duration::from_secs(3);
/// How often a node of a cluster that counts no money looks whether it does.
const VERSION_EVERY: Duration = Duration::from_secs(1);

impl Purse {
    /// A session begins: nothing is held.
    pub fn begin(&self, session: SessionId) {
        *self.lock() = Inner { session: Some(session), ..Inner::default() };
        self.answers.send_modify(|count| *count += 1);
    }

    /// The session is lost, and with it what it held.
    pub fn lose(&self) {
        *self.lock() = Inner::default();
        self.answers.send_modify(|count| *count += 1);
    }

    /// Reports until the session is over; to be stopped when the session is.
    pub async fn serve(self: Arc<Self>, tracker: Arc<dyn JobTracker>, node: NodeId, session: SessionId) {
        while !tracker.knows_money() {
            let what = "the cluster does not count money yet, since a member runs an older release; upgrade all nodes";
            self.lock().trouble = Some(what.to_owned());
            sleep(VERSION_EVERY).await;
        }
        self.lock().trouble = None;
        let mut last = Instant::now();
        loop {
            let urgent = tokio::select! {
                () = self.due.notified() => true,
                () = sleep(EVERY) => false,
            };
            if !urgent || last.elapsed() >= EVERY {
                self.give_back_idle();
            }
            let Some(report) = self.next_report(session) else { continue };
            last = Instant::now();
            match self.send(&*tracker, node, session, &report).await {
                Ok(answer) => self.accept(session, &report, answer),
                Err(refused) => {
                    tracing::warn!(%session, "the ledger refuses a report of money, nothing more is spent: {refused}");
                    let mut inner = self.lock();
                    if inner.session == Some(session) {
                        let trouble =
                            Some(format!("the ledger of money refuses this node's reports: {refused}"));
                        *inner = Inner { trouble, session: Some(session), ..Inner::default() };
                    }
                    drop(inner);
                    self.answers.send_modify(|count| *count += 1);
                    return;
                }
            }
            sleep(PACE).await;
        }
    }

    /// Gives everything back and waits until the ledger knows, but not for long: what it does not know is lost when the
    /// session ends.
    pub async fn finish(&self) {
        let mut answers = self.answers.subscribe();
        let given_back = async {
            loop {
                answers.mark_unchanged();
                {
                    let mut inner = self.lock();
                    inner.waits.closing = true;
                    inner.held.values_mut().for_each(|held| held.share.give_back(0));
                    let settled = |held: &super::Held| held.is_empty() && !held.share.has_unreported();
                    if inner.session.is_none() || inner.trouble.is_some() || inner.held.values().all(settled)
                    {
                        return;
                    }
                }
                self.due.notify_one();
                if answers.changed().await.is_err() {
                    return;
                }
            }
        };
        if timeout(LAST_REPORT, given_back).await.is_err() {
            tracing::warn!("the cluster did not take money back in time; it counts as spent");
        }
    }

    fn give_back_idle(&self) {
        let now = self.clock.monotonic();
        let mut inner = self.lock();
        inner.waits.forget_old(&*self.clock);
        for held in inner.held.values_mut() {
            if held.waiters.is_empty() && now.saturating_sub(held.used) >= IDLE {
                held.share.give_back(0);
            }
        }
    }

    /// What there is to report; the first report names the apps.
    pub(super) fn next_report(&self, session: SessionId) -> Option<SpendReport> {
        let mut inner = self.lock();
        if inner.session != Some(session) {
            return None;
        }
        let mut changes = Vec::new();
        for ((app, crawl), held) in &mut inner.held {
            if changes.len() < MAX_CHANGES {
                changes.extend(held.share.settlement(app, *crawl));
            }
        }
        for ((app, crawl), held) in &inner.held {
            let Some((least, wanted)) = held.wanted().filter(|_| changes.len() < MAX_CHANGES) else {
                continue;
            };
            changes.push(Change::Reserve { app: app.clone(), crawl: *crawl, least, wanted });
        }
        let first = inner.sequence == 0;
        if changes.is_empty() && !first {
            return None;
        }
        inner.sequence += 1;
        let dates = inner.dates.iter().map(|(app, date)| (app.clone(), *date)).collect();
        let apps = if first { self.apps.clone() } else { Vec::new() };
        Some(SpendReport { sequence: inner.sequence, apps, dates, changes })
    }

    /// Sends a report until it is answered.
    ///
    /// # Errors
    /// Why it never will be.
    async fn send(
        &self,
        tracker: &dyn TrackerApi,
        node: NodeId,
        session: SessionId,
        report: &SpendReport,
    ) -> Result<SpendAnswer, String> {
        loop {
            match tracker.spend(node, session, report.clone()).await {
                Ok(answer) => return Ok(answer),
                // A replica may still be below the version that this node has seen.
                Err(ClientError::Api(ApiError::Refused(Refusal::NeedsVersion { .. }))) => {}
                Err(error @ ClientError::Api(ApiError::Refused(_) | ApiError::BadRequest(_))) => {
                    return Err(error.to_string());
                }
                Err(error) => tracing::debug!("repeating a report of money: {error}"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Follows the ledger's answer.
    pub(super) fn accept(&self, session: SessionId, report: &SpendReport, answer: SpendAnswer) {
        answer.marks.iter().for_each(|mark| self.say(mark));
        let clock = &*self.clock;
        {
            let mut inner = self.lock();
            if inner.session != Some(session) {
                return;
            }
            for (change, outcome) in report.changes.iter().zip(&answer.outcomes) {
                inner.follow(change, *outcome, clock);
            }
            let empty = |held: &super::Held| held.is_empty() && !held.share.has_unreported();
            inner.held.retain(|_, held| !empty(held));
        }
        self.answers.send_modify(|count| *count += 1);
    }

    fn say(&self, mark: &Mark) {
        let limit =
            |app: &str| self.apps.iter().find(|(name, _)| **name == *app).map(|(_, terms)| terms.limit);
        match mark {
            Mark::App { app, percent, .. } => {
                let limit = Amount(limit(app).unwrap_or_default());
                let next = if *percent < 100 { "" } else { "; crawls wait until its next billing cycle" };
                tracing::warn!(
                    "app {app} has spent {percent} % of its limit of {limit} in this billing cycle{next}"
                );
            }
            Mark::Crawl { crawl, percent } => {
                let next = if *percent < 100 { "" } else { "; it waits" };
                tracing::warn!("crawl {crawl} has spent {percent} % of its limit of money{next}");
            }
        }
    }
}

impl Inner {
    fn follow(&mut self, change: &Change, outcome: Outcome, clock: &dyn Clock) {
        let Change::Reserve { app, crawl, least, wanted } = change else {
            if let Outcome::Settled { excess: excess @ 1.. } = outcome {
                tracing::error!(app = &**change.app(), excess, "more was spent than was reserved");
            }
            return;
        };
        let key = (app.clone(), *crawl);
        match outcome {
            Outcome::Granted { amount } => {
                let held = self.held.entry(key.clone()).or_default();
                held.share.granted(amount);
                held.tight = amount < *wanted;
                held.used = clock.monotonic();
                self.waits.granted(&key);
            }
            Outcome::Wait { of, until, held } => {
                self.tighten(&key);
                self.waits.refuse(&key, (of, until, held), *least, clock);
                self.give_others_back(&key, of);
            }
            Outcome::Unknown => self.waits.block(&key, &unknown(&key), clock),
            Outcome::Full | Outcome::Settled { .. } => {
                self.waits.block(&key, "the ledger of money is full; fewer crawls at once would fit", clock);
            }
        }
    }

    fn tighten(&mut self, key: &super::Key) {
        if let Some(held) = self.held.get_mut(key) {
            held.tight = true;
        }
    }

    /// This session may hold what it lacks, for another crawl or by another app.
    fn give_others_back(&mut self, (app, crawl): &super::Key, of: Exhausted) {
        for ((other_app, other_crawl), held) in &mut self.held {
            let same = match of {
                Exhausted::App => other_app == app && other_crawl != crawl,
                Exhausted::Crawl => other_crawl == crawl && other_app != app,
            };
            if same && held.waiters.is_empty() {
                held.share.give_back(0);
            }
        }
    }
}

fn unknown((app, crawl): &super::Key) -> String {
    match *crawl == NO_CRAWL {
        true => format!("the ledger of money knows no app {app}"),
        false => format!("the ledger of money knows no app {app}, or crawl {crawl} is over"),
    }
}
