//! Follow rules, compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::model::{CrawlId, CrawlSpec};

use crate::follow::FollowRule;

/// A crawl's rule; `None` admits every account. The error is the rule's own message.
pub(super) type CompiledRule = Result<Option<Arc<FollowRule>>, String>;

/// Crawls whose rules are kept. More than run at once; a rule that was dropped is compiled again.
const KEPT: usize = 64;

/// Follow rules by crawl. A crawl's rule never changes.
#[derive(Default)]
pub(super) struct Rules {
    by_crawl: Mutex<HashMap<CrawlId, CompiledRule>>,
}

impl Rules {
    pub(super) fn of(&self, crawl: CrawlId, spec: &CrawlSpec) -> CompiledRule {
        let mut by_crawl = self.by_crawl.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule) = by_crawl.get(&crawl) {
            return rule.clone();
        }
        if by_crawl.len() >= KEPT {
            by_crawl.clear();
        }
        let rule = match &spec.follow {
            None => Ok(None),
            Some(text) => FollowRule::compile(text)
                .map(|rule| Some(Arc::new(rule)))
                .map_err(|error| format!("the follow rule of crawl {crawl} cannot be used: {error}")),
        };
        by_crawl.insert(crawl, rule.clone());
        rule
    }
}
