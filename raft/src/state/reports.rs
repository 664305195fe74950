//! Applies reports and builds their answers.

use storage::planted::{Bug, planted};

use crate::model::{
    Finding, JobId, LeaseId, Publication, Refusal, Report, ReportAnswer, Response, SessionId,
};

use super::State;
use super::jobs::Phase;
use super::sessions::Positions;

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
    pub(super) fn report(&mut self, index: u64, report: Report) -> Response {
        let Report { session: id, sequence, findings, wants } = report;
        let Some(session) = self.sessions.get_mut(id) else {
            return Response::Refused(Refusal::SessionOver(id));
        };
        let receipts: Vec<Receipt> = findings.iter().map(Receipt::of).collect();
        let expected = session.record.last_sequence.saturating_add(1);
        let repeated = sequence == session.record.last_sequence && sequence > 0;
        if repeated && !planted(Bug::ReportTwice) {
            return Response::Report(self.answer(id, &receipts));
        }
        if sequence != expected && !repeated {
            return Response::Refused(Refusal::OutOfOrder { session: id, got: sequence, expected });
        }
        session.record.change().last_sequence = sequence;
        let mut stale = Positions::default();
        for (at, (job, lease, finding)) in findings.into_iter().enumerate() {
            if self.holds(id, job, lease) {
                self.apply_finding(job, lease, id, finding);
            } else {
                stale.insert(at);
            }
        }
        let granted = self.grant(index, id, wants);
        if let Some(session) = self.sessions.get_mut(id) {
            let record = session.record.change();
            record.last_granted = granted;
            record.last_stale = stale;
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
        let granted = session.record.last_granted.iter().filter_map(|&job| self.granted_job(job)).collect();
        let mut stale = Vec::new();
        let mut named = Vec::new();
        for (at, receipt) in receipts.iter().enumerate() {
            let waits = receipt.publishes && self.publishes(receipt.job, receipt.lease);
            if session.record.last_stale.contains(at) || (receipt.publishes && !waits) {
                stale.push(receipt.lease);
            } else if waits {
                named.push(receipt.job);
            }
        }
        let publish = self.publications(id, named.into_iter().chain(session.adopted.iter().copied()));
        ReportAnswer { granted, publish, stale }
    }

    fn granted_job(&self, job: JobId) -> Option<crate::model::Job> {
        let record = self.jobs.get(job)?;
        match record.phase {
            Phase::Leased { lease, .. } => Some(record.granted(job, lease)),
            _ => None,
        }
    }

    pub(super) fn publishes(&self, job: JobId, of: LeaseId) -> bool {
        let phase = self.jobs.get(job).map(|r| &r.phase);
        matches!(phase, Some(Phase::Publishing { lease, .. }) if *lease == of)
    }

    /// Those of these jobs that the session has to publish.
    fn publications(&self, id: SessionId, jobs: impl Iterator<Item = JobId>) -> Vec<Publication> {
        let publication = |job: JobId| {
            let record = self.jobs.get(job).filter(|r| r.session() == Some(id))?;
            let Phase::Publishing { lease, .. } = record.phase else { return None };
            let user = record.user.clone();
            Some(Publication { job, lease, draft: lease, user, operation: record.current })
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
