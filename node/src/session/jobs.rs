//! The running jobs of a session.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::model::{Job, JobId, LeaseId, Operation, SessionId, SourceWants, Wants};
use api::wire::bounds::MAX_SOURCES;
use storage::dataset::SourceName;
use storage::dataset::provenance::Record;
use tokio_util::sync::CancellationToken;

use super::{JobGauge, JobRunner};

/// A job that some worker has.
pub(super) struct RunningJob {
    pub(super) job: Job,
    pub(super) session: SessionId,
    pub(super) abandon: CancellationToken,
    /// When it began, since 1970.
    pub(super) begun: Duration,
    pub(super) gauge: Arc<JobGauge>,
}

impl RunningJob {
    /// The number of the job.
    pub(super) fn id(&self) -> JobId {
        self.job.id
    }

    /// What is known of its finished draft.
    pub(super) fn record(&self, ended: Duration, items: u64) -> Record {
        Record {
            key: self.job.file(),
            crawl: Some(self.job.crawl.0),
            operation: self.job.operation.letter(),
            begun: Some(self.begun),
            ended: Some(ended),
            published: ended,
            items: Some(items),
            node: 0,
            lease: self.job.lease.0,
            epoch: 0,
            extent: Some(self.gauge.extent()),
        }
    }
}

/// Numbers of jobs by source and [`Operation::index`].
type Numbers = BTreeMap<SourceName, [u16; 4]>;

/// All running jobs, including those of ended sessions until their workers stop.
#[derive(Default)]
pub(super) struct RunningJobs {
    by_lease: HashMap<LeaseId, RunningJob>,
    busy: Numbers,
}

impl RunningJobs {
    /// Whether a worker has that lease already.
    pub(super) fn contains(&self, lease: LeaseId) -> bool {
        self.by_lease.contains_key(&lease)
    }

    /// Adds a job whose lease no worker has.
    pub(super) fn add(&mut self, lease: LeaseId, job: RunningJob) {
        self.busy.entry(job.job.source.clone()).or_default()[job.job.operation.index()] += 1;
        self.by_lease.insert(lease, job);
    }

    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<RunningJob> {
        let job = self.by_lease.remove(&lease)?;
        if let Some(busy) = self.busy.get_mut(&job.job.source) {
            busy[job.job.operation.index()] -= 1;
        }
        Some(job)
    }

    /// The job, if its findings still count in this session.
    pub(super) fn valid(&self, lease: LeaseId, session: SessionId) -> Option<&RunningJob> {
        self.by_lease.get(&lease).filter(|job| job.session == session && !job.abandon.is_cancelled())
    }

    /// Tells the worker to drop its job.
    pub(super) fn abandon(&self, lease: LeaseId) {
        if let Some(job) = self.by_lease.get(&lease) {
            job.abandon.cancel();
        }
    }

    pub(super) fn abandon_all(&self) {
        self.by_lease.values().for_each(|job| job.abandon.cancel());
    }

    pub(super) fn len(&self) -> usize {
        self.by_lease.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_lease.is_empty()
    }

    /// The workload of this many workers. Jobs of other sources than the default one are wanted only if the cluster
    /// `knows_sources`.
    pub(super) fn load(&self, workers: u32, knows_sources: bool) -> Load {
        let idle = (workers as usize).saturating_sub(self.by_lease.len());
        let idle = u16::try_from(idle).unwrap_or(u16::MAX);
        Load { idle, busy: self.busy.clone(), knows_sources }
    }
}

/// The workload of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) idle: u16,
    busy: Numbers,
    knows_sources: bool,
}

/// What a report wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllWants {
    /// Of the default source, and the total.
    pub(super) wants: Wants,
    pub(super) others: Vec<SourceWants>,
}

impl AllWants {
    pub(super) const NONE: Self = Self { wants: Wants::NONE, others: Vec::new() };

    /// Whether each of these is at most what `asked` wants.
    pub(super) fn is_within(&self, asked: &Self) -> bool {
        let within =
            |now: &[u16; 4], asked: &[u16; 4]| now.iter().zip(asked).all(|(now, asked)| now <= asked);
        let of = |source: &SourceName| asked.others.iter().find(|other| other.source == *source);
        within(&self.wants.each, &asked.wants.each)
            && self
                .others
                .iter()
                .all(|now| of(&now.source).is_some_and(|asked| within(&now.each, &asked.each)))
    }

    /// Whether as much is wanted of each source and operation as there are idle workers.
    pub(super) fn is_full(&self, idle: u16) -> bool {
        let others = self.others.iter().map(|other| &other.each);
        others.chain([&self.wants.each]).flatten().all(|&asked| asked == idle)
    }
}

impl Load {
    /// How many jobs of each source and operation could be run by a worker within a budget. Each running job is assumed
    /// to need one more request.
    pub(super) fn wants(&self, runner: &dyn JobRunner) -> AllWants {
        if self.idle == 0 {
            return AllWants::NONE;
        }
        let (mut wants, mut others, mut all) = (Wants::NONE, Vec::new(), 0_u32);
        for source in runner.sources() {
            let each = self.of_source(runner, &source);
            match source.is_default() {
                true => wants.each = each,
                false if self.knows_sources && others.len() < MAX_SOURCES => {
                    others.push(SourceWants { source, each });
                }
                false => continue,
            }
            all += each.iter().map(|&n| u32::from(n)).sum::<u32>();
        }
        wants.total = all.min(u32::from(self.idle)) as u16;
        AllWants { wants, others }
    }

    fn of_source(&self, runner: &dyn JobRunner, source: &SourceName) -> [u16; 4] {
        let numbers = self.busy.get(source).copied().unwrap_or_default();
        let busy = |operation: Operation| numbers[operation.index()];
        Operation::ALL.map(|operation| {
            let rivals = match operation {
                Operation::Timeline | Operation::Update => {
                    busy(Operation::Timeline) + busy(Operation::Update)
                }
                Operation::Followers | Operation::Analysis => busy(operation),
            };
            let room = runner.capacity(source, operation).saturating_sub(usize::from(rivals));
            u16::try_from(room).unwrap_or(u16::MAX).min(self.idle)
        })
    }
}

#[cfg(test)]
mod tests {
    use api::model::CrawlId;

    use futures::future::BoxFuture;

    use super::*;
    use crate::session::{Assignment, Ending};

    fn source(name: &str) -> SourceName {
        name.parse().unwrap()
    }

    fn job(id: u64, name: &str, operation: Operation) -> RunningJob {
        let (abandon, gauge) = (CancellationToken::new(), Arc::default());
        let job = Job {
            id: JobId(id),
            lease: LeaseId(id),
            crawl: CrawlId(1),
            user: 5.into(),
            operation,
            depth: 0,
            attempt: 1,
            progress: None,
            source: source(name),
        };
        RunningJob { job, session: SessionId(1), abandon, begun: Duration::ZERO, gauge }
    }

    /// Two sources with room for some jobs each.
    struct Room(usize, usize);

    impl JobRunner for Room {
        fn run(self: Arc<Self>, _: Assignment) -> BoxFuture<'static, Ending> {
            unreachable!()
        }

        fn sources(&self) -> Vec<SourceName> {
            vec![SourceName::default(), source("bluesky")]
        }

        fn capacity(&self, source: &SourceName, _: Operation) -> usize {
            if source.is_default() { self.0 } else { self.1 }
        }
    }

    #[test]
    fn the_load_is_that_of_the_jobs_that_run_and_of_no_others() {
        let mut jobs = RunningJobs::default();
        for lease in [1, 2, 3] {
            jobs.add(LeaseId(lease), job(lease + 10, "twitter", Operation::Followers));
            assert!(jobs.contains(LeaseId(lease)));
        }
        let busy = |followers| Numbers::from([(SourceName::default(), [0, 0, followers, 0])]);
        assert_eq!(jobs.load(4, true), Load { idle: 1, busy: busy(3), knows_sources: true });
        assert_eq!(jobs.remove(LeaseId(2)).map(|job| job.id()), Some(JobId(12)));
        assert!(jobs.remove(LeaseId(2)).is_none());
        assert_eq!(jobs.load(4, true), Load { idle: 2, busy: busy(2), knows_sources: true });
    }

    #[test]
    fn each_source_is_asked_for_what_its_budgets_allow_and_all_together_for_the_idle_workers() {
        let mut jobs = RunningJobs::default();
        jobs.add(LeaseId(1), job(1, "bluesky", Operation::Update));
        let wants = jobs.load(6, true).wants(&Room(2, 4));
        assert_eq!(wants.wants, Wants { total: 5, each: [2; 4] });
        assert_eq!(wants.others, [SourceWants { source: source("bluesky"), each: [3, 3, 4, 4] }]);
        let none = jobs.load(6, true).wants(&Room(0, 1));
        assert_eq!((none.wants.total, none.wants.each), (2, [0; 4]), "a running job needs the only request");
        let old = jobs.load(6, false).wants(&Room(2, 4));
        assert_eq!((old.wants.total, old.others), (5, Vec::new()), "an older cluster knows no sources");
        assert!(none.is_within(&wants) && !wants.is_within(&none));
        assert!(!wants.is_full(5) && jobs.load(6, true).wants(&Room(9, 9)).is_full(5));
    }
}
