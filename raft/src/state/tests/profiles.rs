//! Analyses write files from cluster version 4 on.

use super::*;

fn raise(tracker: &mut Tracker, to: u32) {
    assert_eq!(tracker.apply(Mutation::RaiseVersion { to }), Response::Done);
}

pub(super) fn at_version(version: u32) -> Tracker {
    let mut tracker = Tracker::new();
    (2..=version).for_each(|to| raise(&mut tracker, to));
    tracker
}

/// The analyses of one account for two crawls, as far as they are granted at once.
fn analyses(tracker: &mut Tracker, node: &mut Node) -> Vec<Job> {
    for _ in 0..2 {
        tracker.submit(spec("A"), [7]);
    }
    let mut granted = Vec::new();
    // The second one is put aside at first if its file is being written.
    for _ in 0..4 {
        granted.extend(tracker.take(node, 2));
        tracker.wait(2_000);
    }
    granted
}

#[test]
fn twm_l3_one_analysis_writes_the_profiles_of_an_account_at_a_time() {
    let mut tracker = at_version(4);
    let mut node = tracker.open(1);
    let first = analyses(&mut tracker, &mut node);
    assert_eq!(first.len(), 1);
    let answer = tracker.tell(&mut node, &first[0], Finding::Completed { file: true, items: 3 });
    assert_eq!(answer.publish.len(), 1);
    assert_eq!(tracker.take(&mut node, 2), [], "it is not published yet");
    tracker.tell(&mut node, &first[0], Finding::Published);
    tracker.wait(2_000);
    let second = tracker.take_one(&mut node);
    tracker.tell(&mut node, &second, Finding::Completed { file: false, items: 0 });
    assert_eq!(tracker.phase(second.crawl), CrawlPhase::Finished);
    assert_eq!(tracker.view(first[0].crawl).counters.operations[Operation::Analysis.index()].items, 3);
}

#[test]
fn crawls_of_before_the_version_rose_write_no_profiles() {
    let mut tracker = at_version(3);
    let mut node = tracker.open(1);
    let before = analyses(&mut tracker, &mut node);
    assert_eq!(before.len(), 2, "they write nothing");
    raise(&mut tracker, 4);
    let new = analyses(&mut tracker, &mut node);
    assert_eq!(new.len(), 1, "one of two at a time");
    let kept = |tracker: &Tracker, job: &Job| tracker.state.keeps_profiles(job.crawl);
    assert!(kept(&tracker, &new[0]) && !before.iter().any(|job| kept(&tracker, job)));
    for job in before.iter().chain(&new) {
        tracker.tell(&mut node, job, Finding::Completed { file: false, items: 1 });
        assert_eq!(tracker.phase(job.crawl), CrawlPhase::Finished);
    }
}
