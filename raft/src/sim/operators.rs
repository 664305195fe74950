//! Operators that submit, change and read, and remember what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use storage::dataset::SourceName;

use api::TrackerApi;
use api::client::{ApiError, Client, ClientError};
use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use tokio::time::sleep;

use crate::model::{
    Answer, CheckOutcome, CrawlId, CrawlPhase, CrawlSpec, CrawlView, NodeId, Operation, Operations, Query,
    Response, Traversal, Write,
};
use crate::wire::MemberRequest;

use super::history::{CrawlCall, History, Told};
use super::net::{SimNet, address};
use super::trace::Trace;
use super::worker::{account_of_host, other_source};

/// Timeout of a call.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the cluster has acknowledged. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    crawls: BTreeMap<CrawlId, Acknowledged>,
    wrong: Vec<String>,
    calls: u64,
    history: History,
}

/// What is known of one crawl.
#[derive(Debug, Clone, Default)]
pub(super) struct Acknowledged {
    /// Acknowledged targets.
    pub(super) targets: BTreeSet<UserId>,
    /// Targets that were sent and may have arrived.
    pub(super) sent: BTreeSet<UserId>,
    /// Whether cancellation was requested.
    pub(super) cancel_sent: bool,
    /// Whether that was acknowledged.
    pub(super) cancelled: bool,
    /// Whether the targets are all of its accounts.
    pub(super) targets_alone: bool,
    /// The largest number of accounts that was read.
    accepted_seen: u64,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A contradiction of an acknowledgement.
    pub(super) fn wrong(&self) -> Option<String> {
        self.entries().wrong.first().cloned()
    }

    pub(super) fn crawls(&self) -> BTreeMap<CrawlId, Acknowledged> {
        self.entries().crawls.clone()
    }

    /// A contradiction between the operators' calls.
    pub(super) fn contradiction(&self) -> Option<String> {
        self.entries().history.contradiction()
    }

    /// Number of answered calls.
    pub(super) fn calls(&self) -> u64 {
        self.entries().calls
    }
}

/// One operator.
pub(super) struct Operator {
    number: u64,
    client: Client,
    ledger: Ledger,
    dice: SeededEntropy,
    trace: Trace,
    created: u64,
    /// Whether accounts of other hosts are among the targets: the workers' network has none.
    hosts: bool,
}

impl Operator {
    pub(super) fn new(
        number: u64,
        nodes: &[NodeId],
        net: &SimNet,
        ledger: Ledger,
        seed: u64,
        trace: Trace,
        hosts: bool,
    ) -> Self {
        let dice = SeededEntropy::new(seed);
        let mut endpoints: Vec<_> = nodes.iter().map(|node| address(*node)).collect();
        endpoints.rotate_left(number as usize % nodes.len());
        let client = Client::dialling(net.of(0), endpoints, PATIENCE, &dice);
        Self { number, client, ledger, dice, trace, created: 0, hosts }
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    /// Makes one random call after the other.
    pub(super) async fn run(mut self, nodes: Vec<NodeId>) {
        loop {
            sleep(Duration::from_millis(20 + self.below(300))).await;
            match self.below(20) {
                0..4 => self.submit().await,
                4..6 => self.change_one().await,
                6 => {
                    let (node, drained) =
                        (nodes[self.below(nodes.len() as u64) as usize], self.below(3) == 0);
                    self.drain(node, drained).await;
                }
                7 if self.below(4) == 0 => self.check().await,
                8 if self.below(4) == 0 => self.look_at_nodes().await,
                _ => self.look().await,
            }
        }
    }

    /// Makes a change; returns the answer, and its meaning for the history.
    async fn write(&self, write: Write) -> (Option<Response>, Told) {
        let what = format!("{write:?}");
        let what: String = what.chars().take(70).collect();
        let answer = self.client.write(write).await;
        let (told, word) = match &answer {
            Ok(Response::Added(summary)) => (Told::Done(summary.accepted), "acknowledged"),
            Ok(Response::Retried(accounts)) => (Told::Done(u64::from(*accounts)), "acknowledged"),
            Ok(_) => (Told::Done(0), "acknowledged"),
            Err(ClientError::Api(ApiError::Refused(_))) => (Told::Refused, "refused"),
            Err(_) => (Told::Nothing, "unanswered"),
        };
        self.trace.deed(format_args!("operator {}: {what} {word}", self.number));
        let done = answer.ok();
        self.ledger.entries().calls += u64::from(done.is_some());
        (done, told)
    }

    fn moment(&self) -> u64 {
        self.ledger.entries().history.moment()
    }

    /// Changes a crawl, and records the call; returns whether it was done.
    async fn change(&self, crawl: CrawlId, write: Write, call: impl Fn(Told) -> CrawlCall) -> bool {
        let at = self.ledger.entries().history.calls(crawl, call(Told::Nothing));
        let (done, told) = self.write(write).await;
        self.ledger.entries().history.called(at, crawl, told, call(told));
        done.is_some()
    }

    async fn drain(&self, node: NodeId, drained: bool) {
        let at = self.ledger.entries().history.drains(node, drained);
        let (_, told) = self.write(Write::Drain { node, drained }).await;
        if told != Told::Nothing {
            self.ledger.entries().history.drained(at, node);
        }
    }

    async fn look_at_nodes(&self) {
        let begun = self.moment();
        let Ok(Answer::Status(status)) = self.client.query(Query::Status).await else { return };
        let mut ledger = self.ledger.entries();
        ledger.calls += 1;
        for node in &status.nodes {
            ledger.history.read_drained(begun, node.id, node.drained);
        }
    }

    async fn submit(&mut self) {
        self.created += 1;
        let (operations, targets_alone) = match self.below(5) {
            0 => (Operations::only(Operation::Followers), true),
            1 => (Operations::only(Operation::Followers).with(Operation::Analysis), false),
            2 => (Operations::only(Operation::Timeline).with(Operation::Followers), true),
            3 => (Operations::only(Operation::Update), true),
            _ => (Operations::only(Operation::Timeline), true),
        };
        let spec = CrawlSpec {
            name: format!("crawl {} of operator {}", self.created, self.number),
            operations,
            traversal: if self.below(3) == 0 { Traversal::Bfs } else { Traversal::Default },
            depth: Some(1),
            follow: None,
            priority: 1 + self.below(20) as u8,
            fingerprint: None,
            source: if self.below(3) == 0 { other_source() } else { SourceName::default() },
            spend_limit: None,
        };
        let request = self.client.request_id();
        let at = self.ledger.entries().history.creates();
        let created = match self.write(Write::CreateCrawl { request, spec }).await.0 {
            Some(Response::CrawlCreated(crawl)) => Some(crawl),
            _ => None,
        };
        let Some(crawl) = created else { return };
        self.ledger.entries().history.created(at, crawl, targets_alone);
        let known = Acknowledged { targets_alone, ..Acknowledged::default() };
        self.ledger.entries().crawls.insert(crawl, known);
        for chunk in 0..1 + self.below(2) {
            // Some accounts are in several crawls, so that these compete for files.
            let user = |_| match self.below(4) {
                0 => UserId::Number(1 + self.below(30)),
                1 if self.hosts => account_of_host(self.below(200)),
                _ => UserId::Number(1_000 + self.below(1_000_000)),
            };
            let users: Vec<UserId> = (0..1 + self.below(25)).map(user).collect();
            if let Some(known) = self.ledger.entries().crawls.get_mut(&crawl) {
                known.sent.extend(users.iter().cloned());
            }
            self.ledger.entries().history.adds(crawl, &users);
            let add = Write::AddTargets { crawl, chunk, users: users.clone(), seeds: false };
            if !self.change(crawl, add, |told| CrawlCall::Add { chunk, told }).await {
                return;
            }
            if let Some(known) = self.ledger.entries().crawls.get_mut(&crawl) {
                known.targets.extend(users);
            }
        }
        self.change(crawl, Write::SealCrawl { crawl }, CrawlCall::Seal).await;
    }

    fn some_crawl(&self) -> Option<CrawlId> {
        let ledger = self.ledger.entries();
        let count = ledger.crawls.len() as u64;
        ledger.crawls.keys().nth(self.below(count.max(1)) as usize).copied()
    }

    async fn change_one(&self) {
        let Some(crawl) = self.some_crawl() else { return };
        match self.below(6) {
            0 | 1 => {
                if let Some(known) = self.ledger.entries().crawls.get_mut(&crawl) {
                    known.cancel_sent = true;
                }
                if self.change(crawl, Write::CancelCrawl { crawl }, CrawlCall::Cancel).await {
                    if let Some(known) = self.ledger.entries().crawls.get_mut(&crawl) {
                        known.cancelled = true;
                    }
                }
            }
            2 => {
                self.change(crawl, Write::PauseCrawl { crawl }, CrawlCall::Pause).await;
            }
            3 | 4 => {
                self.change(crawl, Write::ResumeCrawl { crawl }, CrawlCall::Resume).await;
            }
            _ => {
                let request = self.client.request_id();
                let retry = Write::RetryErrors { request, crawl, user: None, limit: 100 };
                self.change(crawl, retry, CrawlCall::Retry).await;
            }
        }
    }

    /// Checks that all replicas are in one state at one entry.
    async fn check(&self) {
        let Ok(check) = self.client.check_replicas().await else { return };
        let mut digests = check.replicas.iter().filter_map(|replica| match &replica.outcome {
            CheckOutcome::Digest(digest) => Some(digest),
            _ => None,
        });
        let first = digests.next();
        let other = first.and_then(|first| digests.find(|digest| *digest != first));
        self.trace.deed(format_args!("operator {}: compared the replicas", self.number));
        let mut ledger = self.ledger.entries();
        ledger.calls += 1;
        ledger.wrong.extend(other.map(|_| format!("replicas differ at one entry: {check:?}")));
    }

    /// A read after an acknowledgement, or after another read, returns no less.
    async fn look(&self) {
        let Some(crawl) = self.some_crawl() else { return };
        let Some(before) = self.ledger.entries().crawls.get(&crawl).cloned() else { return };
        let begun = self.moment();
        let Ok(Answer::Crawl(view)) = self.client.query(Query::Crawl(crawl)).await else { return };
        let wrong = match &view {
            None => Some(format!("crawl {crawl} was acknowledged, and a reader was told that there is none")),
            Some(view) => contradiction(&before, view),
        };
        let mut ledger = self.ledger.entries();
        ledger.calls += 1;
        ledger.wrong.extend(wrong);
        if let Some(view) = &view {
            ledger.history.read(begun, view);
        }
        if let (Some(known), Some(view)) = (ledger.crawls.get_mut(&crawl), view) {
            known.accepted_seen = known.accepted_seen.max(view.counters.users.accepted);
        }
    }
}

/// How a view contradicts what was known before it was requested.
fn contradiction(known: &Acknowledged, view: &CrawlView) -> Option<String> {
    let accepted = view.counters.users.accepted;
    let least = known.accepted_seen.max(known.targets.len() as u64);
    if accepted < least {
        return Some(format!(
            "crawl {} has {accepted} accounts, and {least} were acknowledged or seen",
            view.id
        ));
    }
    (known.cancelled && view.phase != CrawlPhase::Cancelled && view.phase != CrawlPhase::Finished).then(
        || format!("the end of crawl {} was acknowledged, and a reader was told {:?}", view.id, view.phase),
    )
}

/// An operator who replaces disks: repeats the call until it is acknowledged.
pub(super) async fn replace_disk(client: Client, node: NodeId, trace: Trace) {
    let mut disk = None;
    loop {
        if let (None, Ok(Answer::Status(status))) = (disk, client.query(Query::Status).await) {
            disk = status.disk_of(node);
        }
        if let Some(disk) = disk {
            let asked = client.change_members(MemberRequest::ReplaceDisk { node, disk, address: None }).await;
            if asked.is_ok() {
                return trace.deed(format_args!("the disk of node {node} may be replaced"));
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}
