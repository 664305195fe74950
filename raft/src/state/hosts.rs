//! Jobs that wait for a host (TWM-H1).
//!
//! A worker that cannot ask a host reports it, with the job ([`Finding::WaitsForHost`]). The job then waits for the
//! host and not for a time of its own, and so do the accounts of the host that a grant meets afterwards, if their ids
//! name it (`user@host`): they are parked without a record. When the host's time has come, one job is let out as a
//! probe. If it finds that the host answers, twice as many follow, and so on; if not, the host rests twice as long.
//!
//! A probe is an ordinary ready job: when its session ends, another node gets it. If it still finds nothing for
//! [`PATIENCE`](super::host_table::PATIENCE), another one is let out, so that no frozen node, paused crawl or absent
//! storage holds up the others.
//!
//! A host that has been away for too long is *gone*: its accounts fail, retriably. Only a failed request decides that, so
//! that a cluster that was stopped for a day gives nobody up.

use std::collections::{BTreeMap, BTreeSet};

use api::wire::bounds::MAX_HOST;
use storage::ids::UserId;

use crate::model::{CrawlId, Finding, HostTrouble, JobChange, JobId};

use super::State;
use super::host_table::{MAX_REASON, MAX_WINDOW, Trouble};
use super::invariants::Violation;
use super::job::Phase;

pub(super) use super::host_table::HostId;

/// Shortest and longest rest of a host that is away, cluster time in ms.
const REST: (u64, u64) = (1_000, 900_000);
/// Shortest rest of a host that takes no more for now, cluster time in ms.
const SHORTEST: u64 = 50;
/// Most hosts that one command looks at.
const SERVED_AT_ONCE: usize = 64;
/// Most accounts of a gone host that one command fails.
const FAILED_AT_ONCE: usize = 50;
/// How long a host is left alone whose jobs are all of paused crawls; a resumed crawl ends that.
const ALL_PAUSED: u64 = 60_000;

/// The host that an account's id names.
fn named_by(user: &UserId) -> Option<&str> {
    match user {
        UserId::Number(_) => None,
        UserId::Text(text) => text.rsplit_once('@').map(|(_, host)| host),
    }
}

/// A time for people.
fn words(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

impl State {
    /// A worker has found that the host of its job takes no request.
    pub(super) fn waits_for_host(&mut self, job: JobId, host: String, after_ms: u64, trouble: HostTrouble) {
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let (crawl, source) = (record.crawl(), self.source_of(record.crawl()).clone());
        let clock = self.head.clock;
        let known = match (1..=MAX_HOST).contains(&host.len()) {
            true => self.hosts.find(&source, &host).or_else(|| self.hosts.add(&source, &host, clock)),
            false => None,
        };
        let Some(id) = known else {
            return match trouble {
                // Attempts are counted, or the crawl would never end.
                HostTrouble::Away { reason, .. } => self.failed(job, reason, after_ms, true),
                HostTrouble::Busy | HostTrouble::Limited => self.limited(job, after_ms),
            };
        };
        self.unlease(job);
        self.emit_job(job, || JobChange::Limited { after_ms });
        self.count(job, |counters| counters.limited += 1);
        self.hosts.forget(job);
        self.host_failed(id, after_ms, trouble);
        let order = self.next_order();
        let Some(record) = self.jobs.get_mut(job) else { return self.lost_job(job) };
        record.wait_for_host(id, order);
        let Some(crawl) = self.crawls.get_mut(crawl).filter(|_| self.hosts.enqueue(id, crawl, order, job))
        else {
            return self.lost_crawl(crawl);
        };
        crawl.place(job, record);
        self.serve_host(id);
    }

    /// Takes what a worker has found into a host's record. What was found while it rests is no news.
    fn host_failed(&mut self, id: HostId, after_ms: u64, found: HostTrouble) {
        let clock = self.head.clock;
        let nodes = self.sessions.len();
        self.hosts.change(id, |host| {
            let same = host.trouble.is_of(&found);
            if same && clock < host.until {
                return;
            }
            // Who has no budget for the host, or lets it rest, has not asked it: that says nothing about it.
            let is_away = matches!(host.trouble, Trouble::Away { .. } | Trouble::Gone { .. });
            if is_away && !matches!(found, HostTrouble::Away { .. }) {
                host.ask_again();
                host.until = host.until.max(clock.saturating_add(after_ms.clamp(SHORTEST, REST.1)));
                return;
            }
            if !same {
                (host.since, host.rest) = (clock, 0);
            }
            match found {
                HostTrouble::Busy => {
                    host.trouble = Trouble::Limited;
                    host.window = (host.window / 2).max(1);
                    host.until = clock.saturating_add(after_ms.max(SHORTEST));
                }
                HostTrouble::Limited => {
                    host.trouble = Trouble::Limited;
                    host.window = 1;
                    // Other nodes may have a budget left: one of them may get the next probe.
                    let rest = if nodes > 1 { host.rest.clamp(REST.0, REST.1) } else { after_ms };
                    host.rest = rest.saturating_mul(2);
                    host.until = clock.saturating_add(after_ms.min(rest).max(SHORTEST));
                }
                HostTrouble::Away { mut reason, gone_after_ms } => {
                    storage::text::truncate(&mut reason, MAX_REASON);
                    let rest = host.rest.max(after_ms).clamp(REST.0, REST.1);
                    host.rest = rest * 2;
                    host.window = 1;
                    let end = host.since.saturating_add(gone_after_ms);
                    // It is asked once more when it would be gone.
                    host.until = clock.saturating_add(rest).min(end.max(clock.saturating_add(REST.0)));
                    host.trouble = match clock >= end {
                        true => Trouble::Gone { reason, gone_after_ms },
                        false => Trouble::Away { reason, gone_after_ms },
                    };
                    if matches!(host.trouble, Trouble::Gone { .. }) {
                        host.until = clock;
                    }
                }
            }
        });
    }

    /// What a job has found may show that its host answers. Whatever it is, a job that was let out is no longer waited
    /// for, unless it goes back to the queue at once.
    pub(super) fn host_answered(&mut self, job: JobId, finding: &Finding) {
        if self.hosts.is_empty() {
            return;
        }
        let answered = match finding {
            Finding::Completed { .. }
            | Finding::Gone(_)
            | Finding::Advanced(_)
            | Finding::Discovered { .. }
            | Finding::Failed { .. } => true,
            Finding::Limited { .. } => false,
            Finding::HandedBack { .. }
            | Finding::InputMissing
            | Finding::Published
            | Finding::DraftLost
            | Finding::WaitsForHost { .. } => return,
        };
        let Some(record) = self.jobs.get(job) else { return self.lost_job(job) };
        let named = || self.hosts.find(self.source_of(record.crawl()), named_by(record.user())?);
        let Some(id) = self.hosts.of_out(job).or_else(named) else { return };
        let clock = self.head.clock;
        let was_out = self.hosts.of_out(job).is_some();
        self.hosts.forget(job);
        if !answered {
            return;
        }
        self.hosts.change(id, |host| {
            match host.trouble {
                // A budget that is spent stays so, whatever was sent before.
                Trouble::Limited if clock < host.until => return,
                Trouble::Away { .. } | Trouble::Gone { .. } => host.until = clock,
                Trouble::Limited | Trouble::None => {}
            }
            if host.trouble != Trouble::None {
                (host.trouble, host.since, host.rest) = (Trouble::None, clock, 0);
            }
            if was_out {
                host.window = (host.window * 2).min(MAX_WINDOW as u32);
            }
        });
        self.serve_host(id);
    }

    /// The account at the head of a crawl's queue is parked if its host is waited for; returns whether it was.
    pub(super) fn park_first(&mut self, id: CrawlId) -> bool {
        if self.hosts.is_empty() {
            return false;
        }
        let Some(crawl) = self.crawls.get(id) else { return false };
        let Some(user) = crawl.accounts().first_queued() else { return false };
        let host = named_by(&user).and_then(|name| self.hosts.find(&crawl.spec().source, name));
        let Some(host) = host.filter(|host| self.hosts.park(*host, 1)) else { return false };
        let Some(crawl) = self.crawls.get_mut(id) else { return false };
        crawl.park_first(host);
        self.serve_host(host);
        true
    }

    /// The accounts of a cancelled crawl wait for nothing any more. Call before they are dropped.
    pub(super) fn unpark_all(&mut self, id: CrawlId) {
        let Some(crawl) = self.crawls.get(id) else { return self.lost_crawl(id) };
        let parked: Vec<(HostId, u64)> = crawl.accounts().all_parked().collect();
        for (host, accounts) in parked {
            if !self.hosts.unpark(host, accounts) {
                self.broken("TWM-H1", format!("crawl {id} has accounts at host {}, which has not", host.0));
            }
        }
    }

    /// Counts the parked accounts of all crawls, which were loaded.
    pub(super) fn load_parked(&mut self) {
        let parked: Vec<(CrawlId, HostId, u64)> = self
            .crawls
            .iter()
            .flat_map(|(crawl, c)| c.accounts().all_parked().map(move |(host, n)| (crawl, host, n)))
            .collect();
        for (crawl, host, accounts) in parked {
            if !self.hosts.park(host, accounts) {
                self.broken(
                    "TWM-H1",
                    format!("crawl {crawl} has accounts at host {}, which is lost", host.0),
                );
            }
        }
    }

    /// Looks at the hosts whose time has come.
    pub(super) fn serve_due_hosts(&mut self) {
        for id in self.hosts.due(self.head.clock, SERVED_AT_ONCE) {
            self.serve_host(id);
        }
    }

    /// Lets out as many jobs of a host as its window allows, fails those of a gone host, or removes one that nobody waits
    /// for.
    fn serve_host(&mut self, id: HostId) {
        let clock = self.head.clock;
        let Some(host) = self.hosts.get(id) else { return };
        let patient = clock < host.out_at.saturating_add(super::host_table::PATIENCE);
        if !host.out.is_empty() && !patient {
            self.hosts.forget_all_out(id);
        }
        let Some(host) = self.hosts.get(id) else { return };
        if clock < host.until {
            return;
        }
        if !self.hosts.has_waiting(id) {
            if clock >= host.forgotten_at() {
                self.hosts.remove_idle(id);
            }
            return;
        }
        match host.trouble.clone() {
            Trouble::Gone { reason, .. } => {
                let since = host.since;
                let (name, time) = (&host.name, words(clock - since));
                let reason = format!("host {name} has been away for {time} and is given up: {reason}");
                self.fail_some(id, &reason);
            }
            _ => self.let_out(id),
        }
    }

    fn let_out(&mut self, id: HostId) {
        let clock = self.head.clock;
        while self.hosts.get(id).is_some_and(|host| host.out.len() < host.window as usize) {
            let Some((job, crawl)) = self.next_of_host(id) else { break };
            self.hosts.let_out(id, job, crawl, clock);
            self.make_ready(job, true);
        }
        self.leave_paused(id);
    }

    /// Fails some accounts of a gone host.
    fn fail_some(&mut self, id: HostId, reason: &str) {
        for _ in 0..FAILED_AT_ONCE {
            let Some((job, _)) = self.next_of_host(id) else { break };
            self.fail_all(job, reason);
        }
        self.leave_paused(id);
    }

    /// Jobs that are left although some could be let out are all of paused crawls.
    fn leave_paused(&mut self, id: HostId) {
        let clock = self.head.clock;
        let Some(host) = self.hosts.get(id) else { return };
        let stuck = host.out.len() < host.window as usize && self.hosts.has_waiting(id);
        if stuck && self.next_crawl(id).is_none() {
            self.hosts.change(id, |host| host.until = clock.saturating_add(ALL_PAUSED));
        }
    }

    /// The crawl whose job of a host is next: they take turns.
    fn next_crawl(&self, id: HostId) -> Option<CrawlId> {
        let last = self.hosts.get(id)?.last_crawl;
        let parked = self.crawls.active().filter(|(_, crawl)| crawl.accounts().parked(id) > 0);
        let all: BTreeSet<CrawlId> = self.hosts.crawls_of(id).chain(parked.map(|(crawl, _)| crawl)).collect();
        let grants = |crawl: &&CrawlId| self.crawls.get(**crawl).is_some_and(|crawl| crawl.grants());
        let mut in_turn =
            all.iter().filter(|crawl| **crawl > last).chain(all.iter().filter(|crawl| **crawl <= last));
        in_turn.find(grants).copied()
    }

    /// Takes the next job out of a host's queue; it is in no queue then.
    fn next_of_host(&mut self, id: HostId) -> Option<(JobId, CrawlId)> {
        let crawl = self.next_crawl(id)?;
        if let Some(job) = self.hosts.first_of(id, crawl) {
            self.unqueue(job);
            return Some((job, crawl));
        }
        if !self.hosts.unpark(id, 1) {
            self.broken("TWM-H1", format!("host {} counts no account of crawl {crawl}", id.0));
            return None;
        }
        match self.crawls.get_mut(crawl)?.begin_parked(crawl, id) {
            Ok(record) => Some((self.insert_job(record?), crawl)),
            Err(miscount) => {
                self.miscounted(crawl, miscount);
                None
            }
        }
    }

    /// TWM-H1.
    pub(super) fn check_hosts(&self) -> Result<(), Violation> {
        let (mut parked, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for (_, crawl) in self.crawls.iter() {
            for (host, accounts) in crawl.accounts().all_parked() {
                *parked.entry(host).or_default() += accounts;
            }
        }
        for (job, record) in self.jobs.iter() {
            let Phase::AtHost { host, .. } = *record.phase() else { continue };
            *waiting.entry(host).or_default() += 1;
            if self.hosts.of_out(job).is_some() {
                let what = format!("job {job} waits for a host that has let it out");
                return Err(Violation { invariant: "TWM-H1", what });
            }
        }
        let lost_out =
            self.hosts.iter().flat_map(|(_, host)| &host.out).find(|job| self.jobs.get(**job).is_none());
        if let Some(job) = lost_out {
            let what = format!("job {job} was let out and has no record");
            return Err(Violation { invariant: "TWM-H1", what });
        }
        self.hosts.check(&parked, &waiting).map_err(|what| Violation { invariant: "TWM-H1", what })
    }
}
