//! Money in the state: reports of sessions, and what becomes of the ledger when sessions and crawls end.

use crate::model::{
    Change, CrawlId, CrawlPhase, EventKind, NO_CRAWL, Refusal, Response, SessionId, SpendReport, SpendStatus,
};

use super::State;
use super::spend::SpendRefusal;

impl State {
    /// Applies a session's report of money.
    pub(super) fn report_money(&mut self, session: SessionId, report: &SpendReport) -> Response {
        if self.sessions.get(session).is_none() {
            return Response::Refused(Refusal::SessionOver(session));
        }
        match self.try_report_money(session, report) {
            Ok(response) => response,
            Err(SpendRefusal::NoSession(session)) => Response::Refused(Refusal::SessionOver(session)),
            Err(SpendRefusal::OutOfTurn { session, got, last }) => {
                Response::Refused(Refusal::OutOfOrder { session, got, expected: last.saturating_add(1) })
            }
            Err(refusal) => Response::Refused(Refusal::Spend(refusal.to_string())),
        }
    }

    fn try_report_money(
        &mut self,
        session: SessionId,
        report: &SpendReport,
    ) -> Result<Response, SpendRefusal> {
        if !self.spend.has_session(session) {
            self.spend.open_session(session)?;
        }
        for change in &report.changes {
            if let Change::Reserve { crawl, .. } = change {
                self.open_book(*crawl)?;
            }
        }
        let answer = self.spend.report(session, report)?;
        for mark in &answer.marks {
            self.outbox.push(self.head.clock, EventKind::Money(mark.clone()));
        }
        Ok(Response::Spent(answer))
    }

    /// The book of a crawl that wants money, if it may spend any.
    fn open_book(&mut self, crawl: CrawlId) -> Result<(), SpendRefusal> {
        if self.spend.has_crawl(crawl) {
            return Ok(());
        }
        if crawl == NO_CRAWL {
            return self.spend.set_crawl(crawl, None);
        }
        match self.crawls.get(crawl) {
            Some(found) if found.phase() != CrawlPhase::Cancelled => {
                self.spend.set_crawl(crawl, found.spec().spend_limit)
            }
            _ => Ok(()),
        }
    }

    /// All money.
    pub fn money(&self) -> SpendStatus {
        self.spend.status()
    }
}
