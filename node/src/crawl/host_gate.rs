//! How many requests go to each host of a source, and to which none for now.
//!
//! A host that hangs must not hold more than a few workers. Few requests are in flight to a host at once, and only one
//! while it has not answered yet. After a request without an answer the host rests, ever longer, and is then asked by one
//! request at a time. Jobs whose host rests learn that at once, without a request. A host that has answered before is
//! forgiven a few failures: its walks repeat a page by themselves.
//!
//! What is known of a host is of this node and its present run. How long the host has been away, and which jobs wait for
//! it, is in the replicated state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::env::{Backoff, Clock, Entropy};
use tokio::sync::Notify;

/// Most requests in flight to one host.
const IN_FLIGHT: u32 = 8;
/// Most requests in flight to all hosts that have failed: so many workers may be held up by hosts that are known to hang.
const PROBES: u32 = 4;
/// A host that has not answered yet has this long for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(8);
/// So long if more than [`CROWD`] such requests are under way: each holds a worker.
const FIRST_ANSWER_IN_A_CROWD: Duration = Duration::from_secs(2);
const CROWD: u32 = 12;
/// How often a crowd is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Failures in a row that a host is forgiven that has answered before.
const FORGIVEN: u32 = 2;
/// First and longest rest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// When a job asks again whose host is being probed.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Most hosts that are named in a status.
const NAMED: usize = 3;
/// Most hosts that are remembered.
const MOST_HOSTS: usize = 10_000;

/// Why a host is not asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// Enough requests are in flight to it.
    Busy,
    /// It does not answer.
    Away {
        /// How long it rests.
        rest: Duration,
        /// The error of the last request.
        what: String,
    },
}

/// The hosts of a source.
#[derive(Default)]
pub(super) struct HostGate {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    hosts: HashMap<String, Host>,
    /// Requests in flight to hosts that have failed.
    probes: u32,
    /// Requests in flight to hosts that have not answered yet.
    firsts: u32,
}

#[derive(Default)]
struct Host {
    in_flight: u32,
    /// Whether it has answered, and since then has not been away.
    answers: bool,
    /// Requests in a row that got no answer.
    failures: u32,
    rest: Option<Rest>,
    /// Wakes those who wait for a request to end.
    ended: Arc<Notify>,
}

struct Rest {
    until: Duration,
    what: String,
}

impl Host {
    fn is_idle(&self) -> bool {
        self.in_flight == 0
    }
}

/// Permission to send one request to a host.
#[must_use]
pub(super) struct Pass<'a> {
    gate: &'a HostGate,
    host: String,
    probes: bool,
    first: bool,
}

impl Pass<'_> {
    /// Returns when a host that has not answered before should have; never for others.
    pub(super) async fn overdue(&self) {
        if !self.first {
            return std::future::pending().await;
        }
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(FIRST_ANSWER_IN_A_CROWD).await;
        while begun.elapsed() < FIRST_ANSWER && self.gate.lock().firsts <= CROWD {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut table = self.gate.lock();
        table.probes -= u32::from(self.probes);
        table.firsts -= u32::from(self.first);
        if let Some(host) = table.hosts.get_mut(&self.host) {
            host.in_flight -= 1;
            host.ended.notify_one();
        }
    }
}

impl HostGate {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permission to ask a host; waits for at most `patience` if others ask it.
    pub(super) async fn enter(
        &self,
        host: &str,
        patience: Duration,
        clock: &dyn Clock,
    ) -> Result<Pass<'_>, Closed> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let ended = match self.try_enter(host, clock) {
                Ok(pass) => return Ok(pass),
                Err((closed @ Closed::Away { .. }, _)) => return Err(closed),
                Err((Closed::Busy, ended)) => ended,
            };
            // One that ends in between has left a permit.
            if tokio::time::timeout_at(end, ended.notified()).await.is_err() {
                return Err(Closed::Busy);
            }
        }
    }

    fn try_enter(&self, name: &str, clock: &dyn Clock) -> Result<Pass<'_>, (Closed, Arc<Notify>)> {
        let now = clock.monotonic();
        let mut table = self.lock();
        let probes = table.probes;
        table.make_room(name);
        let host = table.hosts.entry(name.to_owned()).or_default();
        let is_probe = match &host.rest {
            Some(Rest { until, what }) => {
                let rest = until.saturating_sub(now);
                let taken = host.in_flight > 0 || probes >= PROBES;
                if !rest.is_zero() || taken {
                    let (rest, what) = (if rest.is_zero() { ASK_AGAIN } else { rest }, what.clone());
                    return Err((Closed::Away { rest, what }, host.ended.clone()));
                }
                true
            }
            None => {
                let most = if host.answers { IN_FLIGHT } else { 1 };
                if host.in_flight >= most {
                    return Err((Closed::Busy, host.ended.clone()));
                }
                false
            }
        };
        host.in_flight += 1;
        if host.answers && host.in_flight < IN_FLIGHT {
            // Whoever else waits may go on too.
            host.ended.notify_one();
        }
        let first = !host.answers;
        table.probes += u32::from(is_probe);
        table.firsts += u32::from(first);
        Ok(Pass { gate: self, host: name.to_owned(), probes: is_probe, first })
    }

    /// A host has answered, whatever it said.
    pub(super) fn answered(&self, name: &str) {
        let mut table = self.lock();
        let Some(host) = table.hosts.get_mut(name) else { return };
        (host.answers, host.failures) = (true, 0);
        if host.rest.take().is_some() {
            tracing::info!(host = name, "a host answers again");
        }
        // More requests may be in flight than before.
        host.ended.notify_waiters();
    }

    /// A request to a host got no answer, or one that says that the host cannot be reached; returns how long it rests now.
    /// `None`: it is forgiven.
    pub(super) fn failed(
        &self,
        name: &str,
        what: &str,
        at_least: Option<Duration>,
        (clock, entropy): (&dyn Clock, &dyn Entropy),
    ) -> Option<Duration> {
        let now = clock.monotonic();
        let mut table = self.lock();
        let host = table.hosts.get_mut(name)?;
        if let Some(rest) = host.rest.as_ref().filter(|rest| now < rest.until) {
            return Some(rest.until - now);
        }
        host.failures = host.failures.saturating_add(1);
        if host.answers && host.failures <= FORGIVEN {
            return None;
        }
        if host.answers {
            (host.answers, host.failures) = (false, 1);
        }
        let rest = Backoff::new(REST.0, REST.1).after(host.failures, entropy);
        let rest = rest.max(at_least.unwrap_or_default().min(REST.1));
        if host.rest.is_none() {
            tracing::info!(host = name, ?rest, "a host does not answer: {what}");
        }
        host.rest = Some(Rest { until: now + rest, what: what.to_owned() });
        host.ended.notify_waiters();
        Some(rest)
    }

    /// Which hosts do not answer, as far as this node knows: how many, and some of them.
    pub(super) fn trouble(&self) -> Option<String> {
        let table = self.lock();
        let mut away: Vec<&str> =
            table.hosts.iter().filter(|(_, host)| host.rest.is_some()).map(|(name, _)| &**name).collect();
        away.sort_unstable();
        let some = away.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        match away.len() {
            0 => None,
            1 => Some(format!("{some} does not answer; its accounts wait for it")),
            all if all <= NAMED => Some(format!("{some} do not answer; their accounts wait for them")),
            all => {
                Some(format!("{all} hosts do not answer, {some} among them; their accounts wait for them"))
            }
        }
    }
}

impl Table {
    /// Forgets hosts that nobody asks, if there are too many: first those that are well.
    fn make_room(&mut self, name: &str) {
        if self.hosts.len() < MOST_HOSTS || self.hosts.contains_key(name) {
            return;
        }
        self.hosts.retain(|_, host| !host.is_idle() || host.rest.is_some());
        if self.hosts.len() >= MOST_HOSTS {
            self.hosts.retain(|_, host| !host.is_idle());
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::env::{ManualClock, SeededEntropy};

    use super::*;

    const NONE: Duration = Duration::ZERO;

    struct Rig {
        gate: HostGate,
        clock: ManualClock,
        entropy: SeededEntropy,
    }

    impl Rig {
        fn new() -> Self {
            Self { gate: HostGate::default(), clock: ManualClock::default(), entropy: SeededEntropy::new(1) }
        }

        async fn enter(&self, host: &str) -> Result<Pass<'_>, Closed> {
            self.gate.enter(host, NONE, &self.clock).await
        }

        fn failed(&self, host: &str) -> Option<Duration> {
            self.gate.failed(host, "timed out", None, (&self.clock, &self.entropy))
        }
    }

    #[tokio::test]
    async fn a_host_that_has_not_answered_holds_one_worker_and_one_that_has_a_few() {
        let rig = Rig::new();
        let first = rig.enter("a").await.unwrap();
        assert_eq!(rig.enter("a").await.err(), Some(Closed::Busy));
        assert!(rig.enter("b").await.is_ok(), "another host is another matter");
        rig.gate.answered("a");
        let mut more = Vec::new();
        for _ in 1..IN_FLIGHT {
            more.push(rig.enter("a").await.unwrap());
        }
        assert_eq!(rig.enter("a").await.err(), Some(Closed::Busy));
        drop(first);
        assert!(rig.enter("a").await.is_ok());
        assert_eq!(rig.gate.trouble(), None);
    }

    #[tokio::test]
    async fn who_waits_for_a_host_goes_on_when_a_request_ends_or_the_host_answers() {
        let rig = Rig::new();
        let long = Duration::from_secs(60);
        let first = rig.enter("a").await.unwrap();
        let (second, ()) = tokio::join!(rig.gate.enter("a", long, &rig.clock), async {
            tokio::task::yield_now().await;
            rig.gate.answered("a");
        });
        let second = second.unwrap();
        drop(first);
        let mut all = vec![second];
        for _ in 1..IN_FLIGHT {
            all.push(rig.enter("a").await.unwrap());
        }
        let (last, ()) = tokio::join!(rig.gate.enter("a", long, &rig.clock), async {
            tokio::task::yield_now().await;
            drop(all.pop());
        });
        assert!(last.is_ok());
    }

    #[tokio::test]
    async fn a_host_that_hangs_rests_ever_longer_and_is_asked_by_one_request_at_a_time() {
        let rig = Rig::new();
        let mut last = Duration::ZERO;
        for attempt in 0..12 {
            let pass = rig.enter("a").await.unwrap();
            let rest = rig.failed("a").expect("it has never answered");
            drop(pass);
            assert!(rest >= last / 2 && rest <= REST.1, "{attempt}: {rest:?} after {last:?}");
            last = rest;
            let closed = rig.enter("a").await.err();
            assert_eq!(closed, Some(Closed::Away { rest, what: "timed out".to_owned() }));
            rig.clock.advance(rest);
        }
        assert!(last >= REST.1 / 2);
        let probe = rig.enter("a").await.unwrap();
        assert!(matches!(rig.enter("a").await, Err(Closed::Away { rest: ASK_AGAIN, .. })));
        rig.gate.answered("a");
        drop(probe);
        assert!(rig.enter("a").await.is_ok());
        assert_eq!(rig.gate.trouble(), None);
    }

    #[tokio::test]
    async fn hosts_that_hang_hold_a_few_workers_together() {
        let rig = Rig::new();
        let names: Vec<String> = (0..2 * PROBES).map(|n| format!("host{n}")).collect();
        for name in &names {
            let pass = rig.enter(name).await.unwrap();
            rig.failed(name);
            drop(pass);
        }
        rig.clock.advance(REST.1);
        let said = rig.gate.trouble().unwrap();
        assert_eq!(
            said,
            "8 hosts do not answer, host0, host1, host2 among them; their accounts wait for them"
        );
        let mut probes = Vec::new();
        for name in &names {
            probes.extend(rig.enter(name).await);
        }
        assert_eq!(probes.len(), PROBES as usize);
        assert!(rig.enter("well").await.is_ok());
        drop(probes);
        assert!(rig.enter(&names[0]).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_has_not_answered_is_given_less_time_when_there_are_many() {
        let rig = Rig::new();
        let overdue = async |pass: &Pass<'_>| {
            let begun = tokio::time::Instant::now();
            pass.overdue().await;
            begun.elapsed()
        };
        let alone = rig.enter("alone").await.unwrap();
        assert_eq!(overdue(&alone).await, FIRST_ANSWER);
        let mut all = Vec::new();
        for n in 0..CROWD {
            all.push(rig.enter(&format!("host{n}")).await.unwrap());
        }
        assert_eq!(overdue(&alone).await, FIRST_ANSWER_IN_A_CROWD);
        rig.gate.answered("alone");
        drop(alone);
        let known = rig.enter("alone").await.unwrap();
        let never = tokio::time::timeout(10 * FIRST_ANSWER, known.overdue()).await;
        assert!(never.is_err(), "it has the time of any request");
    }

    #[tokio::test]
    async fn a_host_that_has_answered_is_forgiven_a_few_failures_in_a_row() {
        let rig = Rig::new();
        let _pass = rig.enter("a").await.unwrap();
        for _ in 0..3 {
            rig.gate.answered("a");
            for _ in 0..FORGIVEN {
                assert_eq!(rig.failed("a"), None);
            }
        }
        assert!(rig.failed("a").is_some_and(|rest| rest <= REST.0));
    }

    #[tokio::test]
    async fn however_many_hosts_there_are_a_bounded_number_is_remembered() {
        let rig = Rig::new();
        let kept = rig.enter("kept").await.unwrap();
        for n in 0..3 * MOST_HOSTS {
            let name = format!("host{n}");
            let pass = rig.enter(&name).await.unwrap();
            if n % 2 == 0 {
                rig.failed(&name);
            }
            drop(pass);
            assert!(rig.gate.lock().hosts.len() <= MOST_HOSTS);
        }
        assert_eq!(rig.enter("kept").await.err(), Some(Closed::Busy));
        drop(kept);
    }
}
