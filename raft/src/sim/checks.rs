//! Checks of a simulated world, during the run and at its end.

use std::collections::BTreeSet;
use std::time::Duration;

use api::TrackerApi;
use storage::env::Entropy;

use crate::model::{Answer, CrawlId, CrawlPhase, FailedUser, Failure, Gone, NodeId, Query, Write};
use crate::server::Tracker;
use crate::state::OutcomesError;

use super::operators::Acknowledged;
use super::process::{NEXT_VERSION, SimNode, Time};
use super::workforce::EndedCrawl;
use super::world::{STEP, World};

/// Time limit for all crawls to end once everything works.
const PROGRESS: Duration = Duration::from_secs(180);

impl World {
    /// Replicas that have applied the same entries are in the same state.
    pub(super) fn compare(&mut self) -> Result<(), String> {
        for node in &self.nodes {
            let Some(tracker) = node.tracker() else { continue };
            // A replica that has applied nothing since the last comparison is unchanged.
            let at = tracker.applied_index();
            if self.compared.insert(node.id, at) == Some(at) {
                continue;
            }
            if let Some(gap) = tracker.event_gap() {
                return Err(format!("node {}: {gap}", node.id));
            }
            let (applied, digest) = tracker.digest();
            let other = *self.digests.entry(applied).or_insert(digest);
            if other != digest {
                return Err(format!(
                    "node {} is in another state than others were at log entry {applied}: {:?} differ",
                    node.id,
                    digest.differences(&other)
                ));
            }
        }
        while self.digests.len() > 2_000 {
            self.digests.pop_first();
        }
        Ok(())
    }

    /// Lets all crawls end: nothing may be stuck. Then all replicas have to agree, and to be within their bounds.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let deadline = self.now + PROGRESS;
        // The operators stop; what they left unfinished is resumed here.
        self.operators = Time::new(self.dice.next_u64());
        let mut asked = Duration::ZERO;
        loop {
            self.advance(STEP)?;
            if self.now >= asked {
                asked = self.now + Duration::from_secs(3);
                self.let_all_go_on();
            }
            match self.unsettled() {
                None => return Ok(()),
                Some(why) if self.now >= deadline => {
                    return Err(format!("{PROGRESS:?} after everything works {why}"));
                }
                Some(_) => {}
            }
        }
    }

    /// What is still missing before everything has ended.
    fn unsettled(&self) -> Option<String> {
        let trackers: Vec<Tracker> = self.nodes.iter().filter_map(SimNode::tracker).collect();
        if trackers.len() < self.nodes.len() || self.leaving.is_some() {
            return Some(format!("{} of {} nodes are members", trackers.len(), self.nodes.len()));
        }
        let crawls = trackers.first().map(Tracker::crawls).unwrap_or_default();
        let open = crawls.iter().filter(|crawl| !crawl.phase.is_over());
        let open: Vec<String> =
            open.map(|crawl| format!("{} {:?} {:?}", crawl.id, crawl.phase, crawl.counters.users)).collect();
        if !open.is_empty() {
            let jobs = trackers.first().map(Tracker::describe_jobs).unwrap_or_default();
            return Some(format!("crawls are open: {open:?}; {jobs}"));
        }
        if trackers.windows(2).any(|pair| pair[0].digest() != pair[1].digest()) {
            return Some("the replicas do not agree".to_owned());
        }
        if let Some(version) = trackers.iter().map(Tracker::cluster_version).find(|at| *at != NEXT_VERSION) {
            return Some(format!("the cluster is at version {version}, and all members know {NEXT_VERSION}"));
        }
        let excess = self.nodes.iter().find_map(|node| Some((node.id, node.tracker()?.excess()?)));
        if let Some((node, excess)) = excess {
            return Some(format!("node {node} is not back: {excess}"));
        }
        let newest = trackers.first().map_or(0, |tracker| tracker.outbox().newest);
        self.workforce.as_ref()?.lacks(newest)
    }

    fn let_all_go_on(&self) {
        let Some(tracker) = self.nodes.iter().find_map(SimNode::tracker) else { return };
        let open: Vec<CrawlId> =
            tracker.crawls().iter().filter(|crawl| !crawl.phase.is_over()).map(|crawl| crawl.id).collect();
        let nodes: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        let client = self.client();
        self.admin.spawn(async move {
            // Failed calls are repeated later.
            for node in nodes {
                let _ = client.write(Write::Drain { node, drained: false }).await;
            }
            for crawl in open {
                let _ = client.write(Write::SealCrawl { crawl }).await;
                let _ = client.write(Write::ResumeCrawl { crawl }).await;
            }
        });
    }

    /// Every acknowledged account is in one final state, and every crawl was made once.
    pub(super) fn check_accounts(&self) -> Result<(), String> {
        let Some(tracker) = self.nodes.iter().find_map(SimNode::tracker) else {
            return Err("no node is a member at the end".to_owned());
        };
        let crawls = tracker.crawls();
        let names: BTreeSet<&str> = crawls.iter().map(|crawl| crawl.spec.name.as_str()).collect();
        if names.len() != crawls.len() {
            return Err(format!("{} crawls have {} names: one was made twice", crawls.len(), names.len()));
        }
        for (id, known) in self.ledger.crawls() {
            let Some(view) = crawls.iter().find(|crawl| crawl.id == id) else {
                return Err(format!("crawl {id} was acknowledged and is gone"));
            };
            let users = view.counters.users;
            let ended = users.completed + users.gone + users.failed + users.cancelled;
            if ended != users.accepted || users.waiting != 0 || users.active != 0 {
                return Err(format!("crawl {id} is over and not all of its accounts are: {users:?}"));
            }
            let (least, most) = (known.targets.len() as u64, known.sent.len() as u64);
            let too_many = known.targets_alone && users.accepted > most;
            if users.accepted < least || too_many {
                return Err(format!(
                    "crawl {id} has {} accounts; {least} were acknowledged of {most} that were sent",
                    users.accepted
                ));
            }
            if view.phase == CrawlPhase::Cancelled && !known.cancel_sent {
                return Err(format!("crawl {id} was cancelled by nobody"));
            }
        }
        match &self.workforce {
            Some(workforce) => workforce.check(&self.ended_crawls(&tracker).map_err(|e| e.to_string())?),
            None => Ok(()),
        }
    }

    /// All crawls with their accounts, as a replica has them.
    fn ended_crawls(&self, tracker: &Tracker) -> Result<Vec<EndedCrawl>, OutcomesError> {
        let acknowledged = self.ledger.crawls();
        let mut ended = Vec::new();
        for view in tracker.crawls() {
            let crawl = view.id;
            let Acknowledged { targets, sent, .. } = acknowledged.get(&crawl).cloned().unwrap_or_default();
            let (mut frontier, mut errors, mut gone) = (Vec::new(), Vec::new(), Vec::new());
            let mut from = Some(0);
            while let Some(at) = from {
                let Answer::Frontier(page) = tracker.read_replica(&Query::Frontier { crawl, from: at })?
                else {
                    break;
                };
                frontier.extend(page.users);
                from = page.next;
            }
            let limit = u32::MAX;
            loop {
                let after = errors.last().map(|failed: &FailedUser<Failure>| failed.user.clone());
                match tracker.read_replica(&Query::Errors { crawl, after, limit })? {
                    Answer::Errors(page) if !page.is_empty() => errors.extend(page),
                    _ => break,
                }
            }
            loop {
                let after = gone.last().map(|gone: &FailedUser<Gone>| gone.user.clone());
                match tracker.read_replica(&Query::Gone { crawl, after, limit })? {
                    Answer::Gone(page) if !page.is_empty() => gone.extend(page),
                    _ => break,
                }
            }
            ended.push(EndedCrawl { view, frontier, errors, gone, targets, sent });
        }
        Ok(ended)
    }

    pub(super) fn ended(&self) -> (u64, u64) {
        let Some(tracker) = self.nodes.iter().find_map(SimNode::tracker) else { return (0, 0) };
        let crawls = tracker.crawls();
        let accounts = crawls.iter().map(|crawl| {
            let users = crawl.counters.users;
            users.completed + users.gone + users.failed + users.cancelled
        });
        (crawls.len() as u64, accounts.sum())
    }
}
