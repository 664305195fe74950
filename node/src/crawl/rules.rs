//! Caches compiled follow rules.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::model::{CrawlId, CrawlSpec};

use storage::env::Work;

use crate::follow::FollowRule;

/// A crawl's rule; `None` admits every account. The error is the rule's own message.
pub(super) type CompiledRule = Result<Option<Arc<FollowRule>>, String>;

/// Most cached rules, more than the crawls that run at once; a dropped rule is compiled again.
const KEPT: usize = 64;

/// Follow rules by crawl. A crawl's rule never changes.
#[derive(Default)]
pub(super) struct Rules {
    by_crawl: Mutex<HashMap<CrawlId, CompiledRule>>,
}

impl Rules {
    /// The rule of a crawl, compiled on a blocking thread. If two jobs compile it at once, one result is kept.
    pub(super) async fn of(&self, work: &Work, crawl: CrawlId, spec: &CrawlSpec) -> CompiledRule {
        let Some(text) = spec.follow.clone() else { return Ok(None) };
        if let Some(rule) = self.kept().get(&crawl) {
            return rule.clone();
        }
        let compiled = work.run(move || FollowRule::compile(&text)).await;
        let rule = match compiled {
            Ok(Ok(rule)) => Ok(Some(Arc::new(rule))),
            Ok(Err(error)) => Err(format!("the follow rule of crawl {crawl} cannot be used: {error}")),
            // The runtime stops, which says nothing about the rule.
            Err(stopped) => {
                return Err(format!("the follow rule of crawl {crawl} was not compiled: {stopped}"));
            }
        };
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(crawl, rule.clone());
        rule
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<CrawlId, CompiledRule>> {
        self.by_crawl.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
