//! Applies reports and builds their answers.

use storage::planted::{Bug, planted};

use crate::model::{
    Finding, JobId, LeaseId, Publication, Refusal, Report, ReportAnswer, Response, SessionId, SourceWants,
};

use super::State;
use super::demand::Demand;
use super::session::{Positions, Turn};

/// The answer's part about one finding.
struct Receipt {
    job: JobId,
    lease: LeaseId,
    /// Whether it asks for a publication.
    publishes: bool,
}

impl Receipt {
    fn of((job, lease, finding): &(JobId, LeaseId, Finding)) -> Self {
        Self { job: *job, lease: *lease, publishes: matches!(finding, Finding::Completed { file: true, .. }) }
    }
}

impl State {
    pub(super) fn report(&mut self, index: u64, report: Report, others: Vec<SourceWants>) -> Response {
        let Report { session: id, sequence, findings, wants } = report;
        let Some(session) = self.sessions.get_mut(id) else {
            return Response::Refused(Refusal::SessionOver(id));
        };
        let receipts: Vec<Receipt> = findings.iter().map(Receipt::of).collect();
        match session.expects(sequence) {
            Turn::Repeated if !planted(Bug::ReportTwice) => {
                return Response::Report(self.answer(id, &receipts));
            }
            Turn::OutOfOrder { expected } => {
                return Response::Refused(Refusal::OutOfOrder { session: id, got: sequence, expected });
            }
            Turn::Next | Turn::Repeated => {}
        }
        session.begin_report(sequence);
        let mut stale = Positions::default();
        for (at, (job, lease, finding)) in findings.into_iter().enumerate() {
            if self.holds(id, job, lease) {
                self.apply_finding(job, lease, id, finding);
            } else {
                stale.insert(at);
            }
        }
        let granted = self.grant(index, id, Demand::new(wants, others));
        if let Some(session) = self.sessions.get_mut(id) {
            session.remember_answer(granted, stale);
        }
        Response::Report(self.answer(id, &receipts))
    }

    /// The answer to the session's last report, however often that comes (TWM-S2). Only what a cancellation
    /// has taken since is missing.
    fn answer(&mut self, id: SessionId, receipts: &[Receipt]) -> ReportAnswer {
        let Some(session) = self.sessions.get(id) else {
            self.lost_session(id);
            return ReportAnswer::default();
        };
        let job = |&job: &JobId| {
            let record = self.jobs.get(job)?;
            record.granted(job, self.source_of(record.crawl()))
        };
        let granted = session.last_granted().iter().filter_map(job).collect();
        let mut stale = Vec::new();
        let mut named = Vec::new();
        for (at, receipt) in receipts.iter().enumerate() {
            let waits = receipt.publishes && self.publishes(receipt.job, receipt.lease);
            if session.was_stale(at) || (receipt.publishes && !waits) {
                stale.push(receipt.lease);
            } else if waits {
                named.push(receipt.job);
            }
        }
        let publish = self.publications(id, named.into_iter().chain(session.adopted().iter().copied()));
        ReportAnswer { granted, publish, stale }
    }

    pub(super) fn publishes(&self, job: JobId, of: LeaseId) -> bool {
        self.jobs.get(job).is_some_and(|r| r.is_publishing() && r.lease() == Some(of))
    }

    /// Those of these jobs that the session has to publish.
    fn publications(&self, id: SessionId, jobs: impl Iterator<Item = JobId>) -> Vec<Publication> {
        let publication = |job: JobId| {
            let record = self.jobs.get(job).filter(|record| record.session() == Some(id))?;
            record.publication(job, self.source_of(record.crawl()))
        };
        jobs.filter_map(publication).collect()
    }

    /// TWM-L2: only the session's own valid lease counts.
    fn holds(&self, session: SessionId, job: JobId, lease: LeaseId) -> bool {
        if planted(Bug::StaleReport) {
            return self.jobs.get(job).is_some_and(|r| r.lease().is_some());
        }
        self.jobs.get(job).is_some_and(|r| r.lease() == Some(lease) && r.session() == Some(session))
    }
}
