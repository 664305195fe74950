//! Crawls of several sources.

use crate::model::SourceWants;
use crate::state::Demand;

use super::profiles::at_version;
use super::*;

fn from(source: &str, operations: &str) -> CrawlSpec {
    CrawlSpec { source: source.parse().unwrap(), ..spec(operations) }
}

impl Tracker {
    /// Asks for jobs of sources by name, and for none of the default one.
    fn take_of(&mut self, node: &mut Node, total: u16, sources: &[(&str, u16)]) -> Vec<Job> {
        let report = self.empty_report(node, Wants { total, each: [0; 4] });
        let wants =
            |&(source, jobs): &(&str, u16)| SourceWants { source: source.parse().unwrap(), each: [jobs; 4] };
        let others = sources.iter().map(wants).collect();
        match self.apply(Mutation::ReportOf { report, others }) {
            Response::Report(answer) => answer.granted,
            other => panic!("{other:?}"),
        }
    }

    fn empty_report(&self, node: &mut Node, wants: Wants) -> Report {
        node.sequence += 1;
        Report { session: node.session, sequence: node.sequence, findings: Vec::new(), wants }
    }
}

#[test]
fn a_node_is_granted_jobs_of_the_sources_that_it_asks_for_and_of_no_other() {
    let mut tracker = at_version(5);
    let bluesky = tracker.submit(from("bluesky", "T"), 1..=10);
    let mastodon = tracker.submit(from("mastodon", "T"), 1..=10);
    let twitter = tracker.submit(spec("T"), 1..=10);
    let mut node = tracker.open(1);
    let crawls =
        |jobs: Vec<Job>| jobs.into_iter().map(|job| (job.crawl, job.source.to_string())).collect::<Vec<_>>();
    assert_eq!(crawls(tracker.take(&mut node, 1)), [(twitter, "twitter".to_owned())]);
    let jobs = tracker.take_of(&mut node, 5, &[("bluesky", 2), ("another", 5)]);
    assert_eq!(crawls(jobs), vec![(bluesky, "bluesky".to_owned()); 2]);
    let mut both = crawls(tracker.take_of(&mut node, 3, &[("bluesky", 5), ("mastodon", 5)]));
    both.sort();
    assert_eq!(both.len(), 3, "the total counts over all sources");
    assert!(both.iter().any(|(crawl, _)| *crawl == mastodon), "{both:?}");
    let demand = |sources: &[&str]| {
        let wants = |source: &&str| SourceWants { source: source.parse().unwrap(), each: [1; 4] };
        Demand::new(Wants { total: 1, each: [0; 4] }, sources.iter().map(wants).collect())
    };
    assert!(tracker.state.has_work(node.session, &demand(&["mastodon"])));
    assert!(!tracker.state.has_work(node.session, &demand(&["another"])));
}

#[test]
fn accounts_of_two_sources_with_one_id_have_files_of_their_own() {
    let mut tracker = at_version(5);
    tracker.submit(spec("T"), [7]);
    tracker.submit(from("bluesky", "T"), [7]);
    tracker.submit(from("bluesky", "T"), [7]);
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    let others = tracker.take_of(&mut node, 5, &[("bluesky", 5)]);
    assert_eq!(others.len(), 1, "the third one waits for the second one's file (TWM-L3)");
    let second = &others[0];
    for (job, source) in [(&first, "twitter"), (second, "bluesky")] {
        let answer = tracker.tell(&mut node, job, Finding::Completed { file: true, items: 1 });
        assert_eq!(answer.publish.len(), 1);
        assert_eq!(answer.publish[0].source.to_string(), source);
        assert_eq!(answer.publish[0].file().account, job.account());
        tracker.restart();
        tracker.tell(&mut node, job, Finding::Published);
    }
}

#[test]
fn an_older_cluster_knows_no_sources() {
    let mut tracker = at_version(4);
    let request = RequestId { client: 1, sequence: 1 };
    let refused = tracker.apply(Mutation::CreateCrawl { request, spec: from("bluesky", "T") });
    assert!(
        matches!(refused, Response::Refused(Refusal::NeedsVersion { needs: 5, cluster: 4, .. })),
        "{refused:?}"
    );
    let mut node = tracker.open(1);
    let report = tracker.empty_report(&mut node, Wants::any(1));
    let refused = tracker.apply(Mutation::ReportOf { report, others: Vec::new() });
    assert!(
        matches!(refused, Response::Refused(Refusal::NeedsVersion { needs: 5, cluster: 4, .. })),
        "{refused:?}"
    );
}
