//! What operators do in a random run.

use storage::ids::UserId;

use super::model::ModelCrawl;
use super::world::World;
use crate::model::*;

impl World {
    pub(super) fn submit(&mut self) {
        if self.model.crawls.len() >= 8 {
            return;
        }
        let operations: Operations =
            ["T", "TFA", "FA", "A", "U", "TF", "UFA"][self.below(7) as usize].parse().unwrap();
        let traversal = [Traversal::Default, Traversal::Bfs, Traversal::Dfs][self.below(3) as usize];
        let depth = self.one_in(2).then(|| self.below(3) as u32);
        let priority = 1 + self.below(100) as u8;
        let spec = CrawlSpec {
            name: String::new(),
            operations,
            traversal,
            depth,
            follow: None,
            priority,
            fingerprint: None,
        };
        self.requests += 1;
        let request = RequestId { client: 1, sequence: self.requests };
        let create = Mutation::CreateCrawl { request, spec };
        let first = self.apply(create.clone());
        let Response::CrawlCreated(id) = first else { panic!() };
        assert_eq!(self.apply(create), first);
        let traversal = Some(traversal);
        self.model.crawls.insert(id, ModelCrawl { operations, traversal, depth, ..Default::default() });
    }

    /// An operator does something to a crawl.
    pub(super) fn operate(&mut self) {
        let crawls: Vec<CrawlId> = self.model.crawls.keys().copied().collect();
        if crawls.is_empty() {
            return;
        }
        let crawl = crawls[self.below(crawls.len() as u64) as usize];
        let phase = self.model.phase(crawl);
        match self.below(12) {
            0..5 if !self.model.crawls[&crawl].sealed && !phase.is_over() => self.add_targets(crawl),
            5..7 => self.change(crawl, Mutation::SealCrawl { crawl }, |c| c.sealed = true),
            7..9 => self.change(crawl, Mutation::PauseCrawl { crawl }, |c| c.paused = true),
            9..11 => self.change(crawl, Mutation::ResumeCrawl { crawl }, |c| c.paused = false),
            11 if self.one_in(3) => {
                let response = self.apply(Mutation::CancelCrawl { crawl });
                assert_eq!(response == Response::Done, phase != CrawlPhase::Finished);
                if phase != CrawlPhase::Finished {
                    self.model.cancel(crawl);
                    self.forget_answers();
                }
            }
            _ => {}
        }
    }

    pub(super) fn change(&mut self, crawl: CrawlId, mutation: Mutation, change: fn(&mut ModelCrawl)) {
        let phase = self.model.phase(crawl);
        let response = self.apply(mutation);
        assert_eq!(response == Response::Done, phase != CrawlPhase::Cancelled, "{phase:?}: {response:?}");
        if !phase.is_over() {
            change(self.model.crawls.get_mut(&crawl).unwrap());
        }
    }

    fn add_targets(&mut self, crawl: CrawlId) {
        let users = self.users(20);
        let chunk = self.model.crawls[&crawl].chunks;
        let add = Mutation::AddTargets { crawl, chunk, users: users.clone(), seeds: false };
        let response = self.apply(add.clone());
        let accepted = users.iter().filter(|user| self.model.accept(crawl, user, 0)).count() as u64;
        let summary = SubmitSummary { accepted, duplicates: users.len() as u64 - accepted };
        assert_eq!(response, Response::Added(summary));
        let model = self.model.crawls.get_mut(&crawl).unwrap();
        model.chunks += 1;
        model.counters.users.duplicates += summary.duplicates;
        if self.one_in(3) {
            assert_eq!(self.apply(add), response);
        }
    }

    pub(super) fn retry(&mut self) {
        let crawls: Vec<CrawlId> = self.model.crawls.keys().copied().collect();
        let crawls = crawls.into_iter().filter(|&c| self.model.phase(c) != CrawlPhase::Cancelled);
        let Some((crawl, failed)) = crawls.map(|c| (c, self.model.failed(c))).find(|(_, f)| !f.is_empty())
        else {
            return;
        };
        let limit = 1 + self.below(4) as u32;
        let user = self.one_in(2).then(|| failed[failed.len() - 1].clone());
        let retried: Vec<UserId> = match &user {
            Some(user) => vec![user.clone()],
            None => failed.into_iter().take(limit as usize).collect(),
        };
        self.requests += 1;
        let request = RequestId { client: 1, sequence: self.requests };
        let response = self.apply(Mutation::RetryErrors { request, crawl, user, limit });
        assert_eq!(response, Response::Retried(retried.len() as u32));
        assert!(retried.iter().all(|user| self.model.retry(crawl, user)));
    }

    pub(super) fn drain(&mut self) {
        let (node, drained) = (1 + self.below(4), self.one_in(3));
        self.set_drained(node, drained);
    }

    pub(super) fn set_drained(&mut self, node: NodeId, drained: bool) {
        assert_eq!(self.apply(Mutation::Drain { node, drained }), Response::Done);
        if drained {
            self.model.drained.insert(node);
        } else {
            self.model.drained.remove(&node);
        }
    }
}
