//! Operators in a random run.

use storage::dataset::SourceName;
use storage::ids::UserId;

use super::model::{Fate, ModelCrawl};
use super::world::World;
use crate::model::*;

/// The source of some crawls.
pub(super) fn other_source() -> SourceName {
    "other".parse().unwrap()
}

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
            source: if self.one_in(3) { other_source() } else { SourceName::default() },
            spend_limit: None,
        };
        let source = spec.source.clone();
        self.requests += 1;
        let request = RequestId { client: 1, sequence: self.requests };
        let create = Mutation::CreateCrawl { request, spec };
        let first = self.apply(create.clone());
        let Response::CrawlCreated(id) = first else { panic!() };
        assert_eq!(self.apply(create), first);
        let traversal = Some(traversal);
        let crawl = ModelCrawl { operations, traversal, depth, source, ..Default::default() };
        self.model.crawls.insert(id, crawl);
    }

    /// An operator makes a random change to a crawl.
    pub(super) fn operate(&mut self) {
        let crawls: Vec<CrawlId> = self.model.crawls.keys().copied().collect();
        if crawls.is_empty() {
            return;
        }
        let crawl = crawls[self.below(crawls.len() as u64) as usize];
        let phase = self.model.phase(crawl);
        match self.below(12) {
            0..5 if !self.model.crawls[&crawl].sealed && !phase.is_over() => match self.one_in(4) {
                true => self.add_seeds(crawl),
                false => self.add_targets(crawl),
            },
            5..7 => self.change(crawl, Mutation::SealCrawl { crawl }, |c| c.sealed = true),
            7..9 => {
                let pause = self.once_or_plain(Write::PauseCrawl { crawl });
                self.change(crawl, pause, |c| c.paused = true);
            }
            9..11 => {
                let resume = self.once_or_plain(Write::ResumeCrawl { crawl });
                self.change(crawl, resume, |c| c.paused = false);
            }
            11 if self.one_in(3) => {
                if phase.is_over() && self.one_in(2) {
                    let publishes =
                        self.model.of(crawl).any(|account| matches!(account.fate, Fate::Publishing(_)));
                    let response = self.apply(Mutation::DeleteCrawl { crawl });
                    assert_eq!(response == Response::Done, !publishes, "{response:?}");
                    if !publishes {
                        self.model.delete(crawl);
                    }
                    return;
                }
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

    /// A change as clients of either protocol version request it.
    fn once_or_plain(&mut self, write: Write) -> Mutation {
        if self.one_in(3) {
            return Mutation::from(write);
        }
        self.requests += 1;
        Mutation::Once { request: RequestId { client: 1, sequence: self.requests }, write }
    }

    pub(super) fn change(&mut self, crawl: CrawlId, mutation: Mutation, change: fn(&mut ModelCrawl)) {
        let phase = self.model.phase(crawl);
        let response = self.apply(mutation.clone());
        if matches!(mutation, Mutation::Once { .. }) {
            // A late attempt gets the first one's answer and changes nothing.
            if let Some((late, answer)) = self.answered.replace((mutation, response.clone())) {
                assert_eq!(self.apply(late), answer);
            }
        }
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

    /// Accounts that count as seen and are not crawled.
    fn add_seeds(&mut self, crawl: CrawlId) {
        let users = self.users(4);
        let chunk = self.model.crawls[&crawl].seed_chunks;
        let add = Mutation::AddTargets { crawl, chunk, users: users.clone(), seeds: true };
        let response = self.apply(add.clone());
        let model = self.model.crawls.get_mut(&crawl).unwrap();
        let accepted = users.iter().filter(|user| model.seen.insert((*user).clone())).count() as u64;
        let summary = SubmitSummary { accepted, duplicates: users.len() as u64 - accepted };
        assert_eq!(response, Response::Added(summary));
        model.seed_chunks += 1;
        if self.one_in(3) {
            assert_eq!(self.apply(add), response);
        }
    }

    /// A refused change has no effect.
    pub(super) fn refused_change(&mut self) {
        let (crawl, unknown) = match self.model.crawls.keys().last() {
            Some(&last) if self.one_in(2) => (last, false),
            _ => (CrawlId(1_000), true),
        };
        let request = RequestId { client: 2, sequence: self.below(100) };
        let chunk = self.model.crawls.get(&crawl).map_or(0, |c| c.chunks + 1);
        let mutation = match self.below(9) {
            0..3 => Mutation::AddTargets { crawl, chunk, users: self.users(3), seeds: false },
            3 => {
                let user = Some("never@seen".parse().unwrap());
                Mutation::RetryErrors { request, crawl, user, limit: 1 }
            }
            4 => Mutation::CreateCrawl { request, spec: self.bad_spec() },
            5 if unknown => Mutation::SealCrawl { crawl },
            6 if unknown => Mutation::PauseCrawl { crawl },
            7 if unknown => Mutation::CancelCrawl { crawl },
            _ if unknown || !self.model.phase(crawl).is_over() => Mutation::DeleteCrawl { crawl },
            _ => return,
        };
        let counters = |views: Vec<CrawlView>| views.into_iter().map(|v| v.counters).collect::<Vec<_>>();
        let before = counters(self.replicas[0].state.crawls());
        let response = self.apply(mutation);
        assert!(matches!(response, Response::Refused(_)), "{response:?}");
        assert_eq!(counters(self.replicas[0].state.crawls()), before);
    }

    fn bad_spec(&self) -> CrawlSpec {
        let mut spec = CrawlSpec {
            name: String::new(),
            operations: "T".parse().unwrap(),
            traversal: Traversal::Bfs,
            depth: None,
            follow: None,
            priority: 1,
            fingerprint: None,
            source: SourceName::default(),
            spend_limit: None,
        };
        match self.below(4) {
            0 => spec.operations = Operations::NONE,
            1 => spec.operations = "TU".parse().unwrap(),
            2 => spec.priority = [0, 101][self.below(2) as usize],
            _ => spec.name = "n".repeat(257),
        }
        spec
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
        let retry = Mutation::RetryErrors { request, crawl, user, limit };
        let response = self.apply(retry.clone());
        assert_eq!(response, Response::Retried(retried.len() as u32));
        assert!(retried.iter().all(|user| self.model.retry(crawl, user)));
        if self.one_in(3) {
            assert_eq!(self.apply(retry), response);
        }
    }

    pub(super) fn drain(&mut self) {
        let (node, drained) = (1 + self.below(4), self.one_in(3));
        self.set_drained(node, drained);
    }

    pub(super) fn set_drained(&mut self, node: NodeId, drained: bool) {
        let drain = self.once_or_plain(Write::Drain { node, drained });
        assert_eq!(self.apply(drain), Response::Done);
        if drained {
            self.model.drained.insert(node);
        } else {
            self.model.drained.remove(&node);
        }
    }
}
