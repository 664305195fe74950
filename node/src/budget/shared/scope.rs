//! One shared budget as this node uses it.

use std::sync::Arc;
use std::time::Duration;

use api::model::{ShareAnswer, SharedBudget, Standing};
use raft::state::shares::{News, Outcome, Share, Taken};
use tokio::sync::Notify;

use crate::budget::boot::millis;
use crate::budget::gauge::{GRANULARITY, PATIENCE, doubled};
use crate::budget::settings::BudgetSettings;
use crate::rate::{Delivery, RateInfo};

/// What is free and was not used for so long is given back.
const UNUSED: Duration = Duration::from_secs(1);
/// After an answer that granted nothing, the next report goes this much later if this replica says that there is something.
const SOON: Duration = Duration::from_millis(20);
/// The same, if it does not say so: this replica may lag.
const LATER: Duration = Duration::from_secs(1);
/// A budget that nobody has used for so long is forgotten.
const IDLE: Duration = Duration::from_secs(600);
/// The capacity of a budget without limits.
const PLENTY: usize = 1 << 16;

/// One shared budget as this node uses it.
pub(in crate::budget) struct SharedScope {
    pub(in crate::budget) name: Box<str>,
    pub(in crate::budget) share: Share,
    /// Notified, one waiter at a time, whenever a request may be sent that could not be before.
    pub(in crate::budget) changed: Arc<Notify>,
    /// Workers that wait for a request.
    pub(super) waiters: u32,
    /// When something was asked for in vain, by someone who does not wait.
    wished: Option<Duration>,
    used: Duration,
    /// When to ask again if the replica says that something is left, and when in any case.
    ask: (Duration, Duration),
    view: Option<SharedBudget>,
    /// Refusals in a row, and failed connections in a row.
    strikes: u32,
    misses: u32,
    rest_until: Duration,
    window: Duration,
}

impl SharedScope {
    pub(super) fn new(name: Box<str>, now: Duration) -> Self {
        Self {
            name,
            share: Share::new(),
            changed: Arc::default(),
            waiters: 0,
            wished: None,
            used: now,
            ask: (Duration::ZERO, Duration::ZERO),
            view: None,
            strikes: 0,
            misses: 0,
            rest_until: Duration::ZERO,
            window: Duration::ZERO,
        }
    }

    /// Whether a request may be sent now.
    pub(in crate::budget) fn is_ready(&mut self, now: Duration) -> bool {
        now >= self.rest_until && self.share.ready(millis(now)) > 0
    }

    /// A request is wanted and cannot be sent. Returns until when, if that is known.
    pub(in crate::budget) fn wish(&mut self, now: Duration) -> Option<Duration> {
        self.wished = Some(now);
        self.waits_until(now)
    }

    fn waits_until(&self, now: Duration) -> Option<Duration> {
        let pause = self.rest_until.max(Duration::from_millis(self.share.paused_until()));
        if pause > now {
            return Some(pause);
        }
        let (left, ends) = self.share.window()?;
        (left == 0 && !self.is_open()).then(|| Duration::from_millis(ends))
    }

    /// Whether this replica says that something can be granted.
    fn is_open(&self) -> bool {
        self.view.is_some_and(|view| view.open)
    }

    pub(in crate::budget) fn take(&mut self, now: Duration) -> Taken {
        (self.used, self.wished) = (now, None);
        self.share.take()
    }

    /// Settles a request with what its answer tells. `jitter` is drawn from `0..1`.
    pub(in crate::budget) fn settle(
        &mut self,
        taken: Taken,
        rate: &RateInfo,
        now: Duration,
        settings: &BudgetSettings,
        jitter: f64,
    ) {
        self.used = now;
        let status = match rate.delivery {
            Delivery::NotSent => {
                self.share.settle(taken, Outcome::NotSent);
                self.misses = self.misses.saturating_add(1);
                if self.misses > 1 {
                    self.rest_until = now + doubled(settings.rest, self.misses - 1, jitter);
                }
                return;
            }
            Delivery::Unanswered => {
                self.misses = 0;
                return self.share.settle(taken, Outcome::Lost);
            }
            Delivery::Answered(status) => status,
        };
        self.misses = 0;
        if matches!(status, 200..=299) {
            self.strikes = 0;
        }
        let pauses = rate.limited || rate.retry_after.is_some();
        let remaining = if rate.limited && rate.reset_in.is_some() { Some(0) } else { rate.remaining };
        let Some(remaining) = remaining else {
            return self.learn_silence(taken, rate, status, pauses.then_some((now, settings, jitter)));
        };
        self.share.settle(taken, Outcome::Answered(rate.window));
        let ends = self.end_of_window(rate, now, settings);
        self.share.seen(taken, remaining, rate.limit, ends, rate.window);
        if pauses {
            self.pause(rate, now, settings, jitter);
        }
    }

    /// When the window of an answer has certainly ended, ms.
    fn end_of_window(&mut self, rate: &RateInfo, now: Duration, settings: &BudgetSettings) -> u64 {
        let longest = self.window.max(settings.default_window);
        let reset_in = match rate.reset_in {
            Some(reset_in) if !rate.undated => {
                self.window = self.window.max(reset_in + GRANULARITY);
                reset_in
            }
            // With a fast local clock the window would end too early. It cannot last longer than a whole one from now.
            guess => longest.max(guess.unwrap_or_default()),
        };
        millis(now + reset_in + GRANULARITY + settings.margin).saturating_add(1)
    }

    /// An answer that tells nothing of what is left.
    fn learn_silence(
        &mut self,
        taken: Taken,
        rate: &RateInfo,
        status: u16,
        pauses: Option<(Duration, &BudgetSettings, f64)>,
    ) {
        // A server that has told of limits before has counted the request all the same.
        let counted = self.share.limit().is_some() && self.share.window().is_none() && pauses.is_none();
        self.share.settle(taken, if counted { Outcome::Lost } else { Outcome::Answered(rate.window) });
        match pauses {
            Some((now, settings, jitter)) => self.pause(rate, now, settings, jitter),
            // A 5xx may come from a gateway that knows nothing of budgets.
            None if status < 500 => self.share.seen_unlimited(taken),
            None => {}
        }
    }

    /// Settles a request that counted in this budget as well, of which its answer told nothing.
    pub(in crate::budget) fn settle_other(&mut self, taken: Taken, delivery: Delivery, now: Duration) {
        self.used = now;
        self.share.settle(
            taken,
            match delivery {
                Delivery::NotSent => Outcome::NotSent,
                Delivery::Answered(_) if self.share.window().is_some() => Outcome::Answered(None),
                Delivery::Answered(_) | Delivery::Unanswered => Outcome::Lost,
            },
        );
    }

    /// The server asked for a pause.
    fn pause(&mut self, rate: &RateInfo, now: Duration, settings: &BudgetSettings, jitter: f64) {
        // Many requests in flight are refused together: that counts as one refusal.
        let first = self.share.paused_until() <= millis(now);
        if rate.limited && first {
            self.strikes = self.strikes.saturating_add(1);
        }
        let pause = match rate.retry_after {
            Some(pause) => Some(pause + GRANULARITY + settings.margin),
            None if first && (rate.reset_in.is_none() || self.strikes > PATIENCE) => {
                Some(doubled(settings.backoff, self.strikes, jitter))
            }
            None => None,
        };
        if let Some(pause) = pause {
            self.share.pause(millis(now + pause), rate.limited);
        }
    }

    /// How many requests could be sent now or after a report.
    pub(in crate::budget) fn capacity(&mut self, now: Duration) -> usize {
        if now < self.rest_until.max(Duration::from_millis(self.share.paused_until())) {
            return 0;
        }
        let free = self.share.ready(millis(now)) as usize;
        if self.share.is_unlimited() {
            return PLENTY;
        }
        let left = match (self.view.and_then(|view| view.left), self.share.window()) {
            (Some(left), _) if self.is_open() => left,
            (_, Some((left, _))) => left,
            // Somebody has to probe.
            (_, None) => 1,
        };
        free.saturating_add(usize::try_from(left).unwrap_or(PLENTY)).min(PLENTY)
    }

    /// How many requests a report should ask for.
    fn wanted(&self, now: Duration) -> u32 {
        let wished = self.wished.is_some_and(|at| now < at + UNUSED);
        self.waiters.max(u32::from(wished)).saturating_sub(self.share.free())
    }

    /// Whether this replica is to be looked at: somebody waits for what others may leave.
    pub(super) fn is_wanted(&self, now: Duration) -> bool {
        self.wanted(now) > 0
    }

    /// This replica's view.
    pub(super) fn look(&mut self, view: Option<SharedBudget>) {
        self.view = view;
    }

    /// What has to be reported now, and how many requests to ask for; `None` if nothing has.
    pub(super) fn due(&mut self, now: Duration) -> Option<(News, u32)> {
        if self.share.free() > 0 && self.waiters == 0 && now >= self.used + UNUSED {
            self.share.give_back();
        }
        let mut wanted = self.wanted(now);
        if wanted > 0 && (self.waits_until(now).is_some() || !self.may_ask(now)) {
            wanted = 0;
        }
        let due = wanted > 0 || self.share.is_urgent(millis(now));
        due.then(|| (self.share.take_news(millis(now)), wanted))
    }

    fn may_ask(&self, now: Duration) -> bool {
        let (soon, later) = self.ask;
        now >= later || (now >= soon && self.is_open())
    }

    /// A report that was sent at `sent` was answered.
    pub(super) fn answered(&mut self, sent: Duration, answer: &ShareAnswer) {
        self.share.answered(millis(sent), answer);
        self.view = None;
        let later = match answer.standing {
            Standing::Window { ends_in_ms, .. } => LATER.min(Duration::from_millis(ends_in_ms)),
            Standing::Unknown { .. } | Standing::Unlimited { .. } | Standing::Full => LATER,
        };
        self.ask = match answer.granted {
            0 => (sent + SOON, sent + later),
            _ => (sent, sent),
        };
        self.changed.notify_one();
    }

    /// The session is over.
    pub(super) fn drop_session(&mut self) {
        self.share.drop_session();
        (self.view, self.ask) = (None, (Duration::ZERO, Duration::ZERO));
    }

    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let nothing = self.waiters == 0 && self.share.in_flight() == 0 && self.share.held() == 0;
        nothing && !self.share.has_news() && now >= self.used + IDLE
    }

    pub(in crate::budget) fn rests_until(&self) -> Duration {
        self.rest_until.max(Duration::from_millis(self.share.paused_until()))
    }

    /// What is left in the cluster, as this replica or the last answer has it.
    pub(in crate::budget) fn left(&self) -> Option<u64> {
        let told = self.share.window().map(|(left, _)| left);
        self.view.map_or(told, |view| view.left)
    }
}
