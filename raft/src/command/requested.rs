//! Converts requests into mutations.

use api::model::Write;

use super::Mutation;

impl From<Write> for Mutation {
    fn from(write: Write) -> Self {
        match write {
            Write::CreateCrawl { request, spec } => Self::CreateCrawl { request, spec },
            Write::AddTargets { crawl, chunk, users, seeds } => {
                Self::AddTargets { crawl, chunk, users, seeds }
            }
            Write::SealCrawl { crawl } => Self::SealCrawl { crawl },
            Write::PauseCrawl { crawl } => Self::PauseCrawl { crawl },
            Write::ResumeCrawl { crawl } => Self::ResumeCrawl { crawl },
            Write::CancelCrawl { crawl } => Self::CancelCrawl { crawl },
            Write::RetryErrors { request, crawl, user, limit } => {
                Self::RetryErrors { request, crawl, user, limit }
            }
            Write::DeleteCrawl { crawl } => Self::DeleteCrawl { crawl },
            Write::Drain { node, drained } => Self::Drain { node, drained },
        }
    }
}
