//! The end of a run: everything is repaired, all crawls must end, and the final state is compared with the
//! acknowledged requests.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use api::TrackerApi;
use api::model::{Answer, CheckOutcome, CrawlId, CrawlPhase, CrawlView, Operation, Query, Write};
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use crate::cluster::{FileName, Program, Truth, eventually, tls_flags};
use crate::event_stream::{check_order, entries};

use super::change::Change;
use super::hub::{self, Host};
use super::ledger::Known;
use super::world::World;

/// Timeout for all crawls to end after the repair.
const PROGRESS: Duration = Duration::from_secs(180);

/// Whether a crawl has neither work left nor accounts to retry. A cancelled crawl keeps the accounts that failed
/// before the cancellation: its errors cannot be retried.
fn is_settled(phase: CrawlPhase, failed: u64) -> bool {
    match phase {
        CrawlPhase::Cancelled => true,
        phase => phase.is_over() && failed == 0,
    }
}

/// Expected contents of a dataset.
#[derive(Default)]
struct Expected {
    timelines: BTreeSet<u64>,
    followers: BTreeSet<u64>,
    permitted: BTreeSet<FileName>,
}

impl World {
    /// Ends all faults and starts all nodes.
    async fn repair(&mut self) -> anyhow::Result<()> {
        self.seen.deed("everything works");
        // Stops the operators and leadership transfers.
        self.busy.abort_all();
        while self.busy.join_next().await.is_some() {}
        self.watch();
        for (_, what) in std::mem::take(&mut self.later) {
            self.end(what).await?;
        }
        for host in self.members.clone() {
            self.site(host)?.start(None)?;
        }
        Ok(())
    }

    /// Repairs everything, waits until all crawls have ended, and compares.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        self.repair().await?;
        let begun = Instant::now();
        let mut asked = None;
        loop {
            self.look().await?;
            if !self.seen.wrong.is_empty() {
                return Ok(());
            }
            if asked.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(3)) {
                asked = Some(Instant::now());
                self.let_all_go_on().await;
            }
            let settled = self.settled();
            if settled.is_ok() {
                break;
            }
            if begun.elapsed() > PROGRESS {
                let why = settled.err().unwrap_or_default();
                self.seen.wrong.push(format!("{PROGRESS:?} after everything works: {why}"));
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        self.seen
            .compared
            .push(format!("settled {:.0} s after everything worked", begun.elapsed().as_secs_f64()));
        self.compare().await
    }

    /// Returns an error with the first thing that is still in progress.
    fn settled(&self) -> Result<(), String> {
        match &self.change {
            Some(Change::Replace(host, _)) => {
                return Err(format!("the new disk of node {host} is not let in"));
            }
            Some(Change::Roll(_)) => return Err("a rolling restart is still in progress".to_owned()),
            Some(Change::Add(host, ..) | Change::Promote(host, _) | Change::Remove(host, _)) => {
                return Err(format!("the change of member {host} is still in progress"));
            }
            Some(Change::OtherDisks(_)) => return Err("nodes have other disks".to_owned()),
            None => {}
        }
        let status = self.status().ok_or("no leader says how the cluster is")?;
        let ids: BTreeSet<Host> = status.nodes.iter().map(|node| node.id).collect();
        if ids != self.members || !status.changes.is_empty() {
            return Err(format!(
                "members are {ids:?} with changes {:?}, not {:?}",
                status.changes, self.members
            ));
        }
        let behind = |node: &&api::model::MemberStatus| {
            node.node.as_ref().is_none_or(|node| node.workers.is_none()) || node.cut_off.is_some()
        };
        if let Some(node) = status.nodes.iter().find(behind) {
            return Err(format!("node {} is not there: {:?}", node.id, node));
        }
        let open = |crawl: &&CrawlView| !is_settled(crawl.phase, crawl.counters.users.failed);
        let open: Vec<_> = status.crawls.iter().filter(open).collect();
        match open.first() {
            None => Ok(()),
            Some(crawl) => Err(format!("{} crawls are open, as {crawl:?}", open.len())),
        }
    }

    /// Resumes what operators left unfinished. Failed writes are repeated later.
    async fn let_all_go_on(&self) {
        let Some(status) = self.status() else { return };
        for node in status.nodes.iter().filter(|node| node.drained) {
            let _ = self.client.write(Write::Drain { node: node.id, drained: false }).await;
        }
        for crawl in &status.crawls {
            let id = crawl.id;
            match crawl.phase {
                CrawlPhase::Loading => drop(self.client.write(Write::SealCrawl { crawl: id }).await),
                CrawlPhase::Paused => drop(self.client.write(Write::ResumeCrawl { crawl: id }).await),
                _ => {}
            }
            if crawl.counters.users.failed > 0 {
                let request = self.client.request_id();
                let retry = Write::RetryErrors { request, crawl: id, user: None, limit: 1_000 };
                let _ = self.client.write(retry).await;
            }
        }
    }

    async fn compare(&mut self) -> anyhow::Result<()> {
        let Answer::Crawls(crawls) = self.client.query(Query::Crawls).await? else {
            anyhow::bail!("a query for all crawls was answered by something else");
        };
        let crawls: Vec<CrawlView> = crawls;
        let wrong = self.compare_accounts(&crawls);
        self.seen.wrong.extend(wrong);
        let replicas = self.compare_replicas().await;
        let files = self.compare_files(&crawls).await;
        let events = self.compare_events(&crawls).await;
        for (what, compared) in [("replicas", replicas), ("files", files), ("events", events)] {
            match compared {
                Ok(told) => self.seen.compared.push(told),
                Err(why) => self.seen.wrong.push(format!("{what}: {why:#}")),
            }
        }
        let accounts: u64 = crawls.iter().map(|crawl| crawl.counters.users.accepted).sum();
        self.seen
            .compared
            .push(format!("{} crawls with {accounts} accounts, each in one final state", crawls.len()));
        Ok(())
    }

    /// Checks that all replicas are in the same state at the same log entry.
    async fn compare_replicas(&self) -> anyhow::Result<String> {
        let old = self.old.is_some();
        let check = match self.client.check_replicas().await {
            // A node of an older build does not support this check.
            Err(why) if old => return Ok(format!("the replicas were not compared: {why}")),
            check => check?,
        };
        let mut digests = Vec::new();
        for replica in &check.replicas {
            match &replica.outcome {
                CheckOutcome::Digest(digest) => digests.push(digest),
                CheckOutcome::Silent(_) if old => {}
                other => anyhow::bail!("node {} was not compared: {other:?}", replica.member.node),
            }
        }
        anyhow::ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "they differ: {check:?}");
        Ok(format!("{} replicas are in one state at entry {}", digests.len(), check.index))
    }

    /// Checks that every acknowledged account is in exactly one final state, and that every crawl was created
    /// once.
    fn compare_accounts(&self, crawls: &[CrawlView]) -> Vec<String> {
        let mut wrong = Vec::new();
        let names: BTreeSet<&str> = crawls.iter().map(|crawl| crawl.spec.name.as_str()).collect();
        if names.len() != crawls.len() {
            wrong.push(format!("{} crawls have {} names: one was made twice", crawls.len(), names.len()));
        }
        for (id, known) in &self.ledger.entries().crawls {
            let Some(view) = crawls.iter().find(|crawl| crawl.id == *id) else {
                if !known.delete_sent {
                    wrong.push(format!("crawl {id} was acknowledged and is gone"));
                }
                continue;
            };
            let users = view.counters.users;
            let ended = users.completed + users.gone + users.failed + users.cancelled;
            if ended != users.accepted || users.waiting + users.active != 0 {
                wrong.push(format!("crawl {id} is over and not all of its accounts are: {users:?}"));
            }
            let (least, most) = (known.targets.len() as u64, known.sent.len() as u64);
            if users.accepted < least || (!known.traverses && users.accepted > most) {
                wrong.push(format!(
                    "crawl {id} has {} accounts; {least} were acknowledged of {most} that were sent",
                    users.accepted
                ));
            }
            if view.phase == CrawlPhase::Cancelled && !known.cancel_sent {
                wrong.push(format!("crawl {id} was cancelled by nobody"));
            }
        }
        wrong
    }

    /// The accounts that a crawl of these targets reaches.
    fn reached(&self, known: &Known, targets: &BTreeSet<u64>) -> BTreeSet<u64> {
        let mut reached = targets.clone();
        if known.traverses {
            let open = targets.iter().filter(|target| self.emulator.is_open(**target));
            let found = open.flat_map(|target| self.emulator.expected_followers(*target));
            reached.extend(found.filter(|account| self.emulator.profile(*account).is_some()));
        }
        reached
    }

    /// The accounts in a crawl's frontier.
    async fn frontier(&self, crawl: CrawlId) -> anyhow::Result<BTreeSet<u64>> {
        let (mut accounts, mut from) = (BTreeSet::new(), Some(0));
        while let Some(at) = from {
            let Answer::Frontier(page) = self.client.query(Query::Frontier { crawl, from: at }).await? else {
                anyhow::bail!("a query for a frontier was answered by something else");
            };
            accounts.extend(page.users.iter().filter_map(|user| match user {
                UserId::Number(account) => Some(*account),
                UserId::Text(_) => None,
            }));
            from = page.next;
        }
        Ok(accounts)
    }

    async fn expected(&self, crawls: &[CrawlView]) -> anyhow::Result<Expected> {
        let mut expected = Expected::default();
        let known = self.ledger.entries().crawls.clone();
        for (id, known) in &known {
            let finished = crawls.iter().any(|crawl| crawl.id == *id && crawl.phase == CrawlPhase::Finished);
            let files = |accounts: BTreeSet<u64>, expected: &mut Expected, certain: bool| {
                for account in accounts.into_iter().filter(|account| self.emulator.is_open(*account)) {
                    let has = |operation| known.operations.contains(operation);
                    let files = [
                        (has(Operation::Timeline) || has(Operation::Update), FileName::Timeline(account)),
                        (has(Operation::Followers), FileName::Followers(account)),
                    ];
                    for (_, file) in files.into_iter().filter(|(wanted, _)| *wanted) {
                        match file {
                            FileName::Timeline(_) if certain && has(Operation::Timeline) => {
                                expected.timelines.insert(account);
                            }
                            FileName::Followers(_) if certain => {
                                expected.followers.insert(account);
                            }
                            _ => {
                                expected.permitted.insert(file);
                            }
                        }
                    }
                }
            };
            files(self.reached(known, &known.sent), &mut expected, false);
            if finished && !known.cancel_sent {
                let mut reached = self.reached(known, &known.targets);
                if known.traverses {
                    // These were discovered on a path longer than the shortest one.
                    let frontier = self.frontier(*id).await?;
                    reached.retain(|account| known.targets.contains(account) || !frontier.contains(account));
                }
                files(reached, &mut expected, true);
            }
        }
        Ok(expected)
    }

    /// Checks that every expected file exists once and is complete, and that there are no others.
    async fn compare_files(&self, crawls: &[CrawlView]) -> anyhow::Result<String> {
        let expected = self.expected(crawls).await?;
        let (timelines, followers) = (expected.timelines.len(), expected.followers.len());
        let truth = Truth::of(&self.emulator)
            .timelines(expected.timelines)
            .followers(expected.followers)
            .permit(expected.permitted);
        let truth = if self.local { truth.copies() } else { truth };
        let outputs: Vec<PathBuf> = self.outputs.iter().map(|(path, _)| path.clone()).collect();
        truth.check(&outputs)?;
        let endpoint = format!("{}:8000", hub::address(1));
        for output in &outputs {
            let mut command = Program::Ctl.command()?;
            command.args(["--endpoints", &endpoint]).args(tls_flags(&self.folder, "operator-harness"));
            command.args(["dataset", "verify"]).arg(output);
            let verified = crate::cluster::ended(&mut command).await?;
            anyhow::ensure!(
                verified.status.success(),
                "twm-ctl dataset verify: {}{}",
                String::from_utf8_lossy(&verified.stdout),
                String::from_utf8_lossy(&verified.stderr)
            );
        }
        Ok(format!("the dataset is exact: timelines of {timelines} accounts, followers of {followers}"))
    }

    /// Checks that every event is in the stream once and in order, including the end of every finished crawl.
    async fn compare_events(&self, crawls: &[CrawlView]) -> anyhow::Result<String> {
        let finished: Vec<String> = crawls
            .iter()
            .filter(|crawl| crawl.phase == CrawlPhase::Finished)
            .map(|crawl| crawl.id.to_string())
            .collect();
        let mut missing = String::new();
        let all = eventually("the stream tells the end of all crawls", async || {
            let all = match entries(&self.redis).await {
                Ok(all) => all,
                Err(error) => {
                    missing = format!("{error:#}");
                    return Ok(None);
                }
            };
            let ends = all.iter().filter(|entry| entry.text("type") == "finished");
            let told: BTreeSet<&str> = ends.map(|entry| entry.text("crawl")).collect();
            let open: Vec<&String> = finished.iter().filter(|crawl| !told.contains(crawl.as_str())).collect();
            missing = format!("of {} entries none tells the end of crawls {open:?}", all.len());
            Ok(open.is_empty().then_some(all))
        });
        let all = all.await;
        let all = all.context(missing)?;
        check_order(&all)?;
        Ok(format!("{} events in Redis, each once and in order", all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_waited_for_only_where_they_can_be_retried() {
        assert!(is_settled(CrawlPhase::Cancelled, 1));
        assert!(is_settled(CrawlPhase::Finished, 0));
        assert!(!is_settled(CrawlPhase::Finished, 1));
        assert!(!is_settled(CrawlPhase::Running, 0));
    }
}
