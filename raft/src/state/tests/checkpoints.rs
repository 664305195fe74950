//! What checkpoints leave in the store.

use std::collections::BTreeSet;

use storage::env::{Entropy, SeededEntropy};
use storage::state::StateStore;

use super::super::keys;
use super::*;

/// Adds random accounts to a crawl, as seeds: this many with each checkpoint.
fn fill(tracker: &mut Tracker, crawl: CrawlId, checkpoints: &[u64]) -> BTreeSet<u64> {
    let entropy = SeededEntropy::new(checkpoints.len() as u64);
    let mut all = BTreeSet::new();
    for (chunk, &batch) in (0..).zip(checkpoints) {
        // Some of each batch are known already.
        let known: Vec<u64> = all.iter().copied().step_by(97).take(3).collect();
        let new: Vec<u64> = (0..batch).map(|_| (entropy.next_u64() >> 3) | 1).collect();
        let users = ids(known.into_iter().chain(new.iter().copied()));
        tracker.apply(Mutation::AddTargets { crawl, chunk, users, seeds: true });
        all.extend(new);
        tracker.restart();
    }
    all
}

#[test]
fn twm_c2_runs_that_are_merged_keep_the_set_exact() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.create(spec("T"));
    let other = tracker.create(spec("T"));
    tracker.add(other, 0, 1..=50);
    let large = std::iter::repeat_n(9_000, 17);
    let checkpoints: Vec<u64> = [100_000].into_iter().chain(large).chain((0..200).map(|n| n % 23)).collect();
    let all = fill(&mut tracker, crawl, &checkpoints);
    assert_eq!(tracker.state.seen_and_frontier(crawl).0, ids(all));
    assert!(runs(&tracker, crawl) <= 3 * 7, "{} runs are left", runs(&tracker, crawl));
    assert_eq!(tracker.state.seen_and_frontier(other).0, ids(1..=50));
}

/// Runs of a crawl's seen-set in the store.
fn runs(tracker: &Tracker, crawl: CrawlId) -> usize {
    let (start, end) = keys::of_crawl(keys::SEEN_RUN, crawl);
    let blocks = tracker.store.scan(&start, Some(&end)).map(|entry| entry.unwrap().0);
    blocks.map(|key| key[..18].to_vec()).collect::<BTreeSet<_>>().len()
}

#[test]
fn an_id_takes_at_most_16_bytes_on_disk() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.create(spec("T"));
    let ids = fill(&mut tracker, crawl, &[10_000; 20]).len() as u64;
    let bytes = tracker.store.size_on_disk().unwrap();
    assert!(bytes <= 16 * ids, "{bytes} bytes for {ids} seen ids");
    let queued = SeededEntropy::new(1);
    let users: BTreeSet<u64> = (0..100_000).map(|_| (queued.next_u64() >> 3) | 1).collect();
    let crawl = tracker.create(spec("T"));
    tracker.add(crawl, 0, users.iter().copied());
    tracker.restart();
    let added = tracker.store.size_on_disk().unwrap() - bytes;
    assert!(added <= 2 * 16 * users.len() as u64, "{added} bytes for {} queued and seen ids", users.len());
}

#[test]
fn what_is_over_leaves_no_records() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("TFA"), 1..=40);
    let cancelled = tracker.submit(spec("T"), 41..=80);
    let mut node = tracker.open(1);
    tracker.take(&mut node, 20);
    tracker.apply(Mutation::CancelCrawl { crawl: cancelled });
    tracker.close(&node);
    let mut node = tracker.open(1);
    tracker.finish_all(&mut node);
    tracker.close(&node);
    let tags: Vec<u8> = tracker.records().iter().map(|(key, _)| key[0]).collect();
    assert!(tags.iter().all(|tag| b"chrs".contains(tag)), "{:?}", String::from_utf8_lossy(&tags));
}

#[test]
fn damaged_records_are_named_and_never_panic() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), 1..=5);
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 4) {
        tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, 1, 5)));
    }
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, failed("fault", false));
    for (key, value) in tracker.records() {
        for cut in 0..value.len() {
            let mut batch = storage::state::WriteBatch::new();
            batch.put(key.clone(), &value[..cut]);
            tracker.store.write(batch).unwrap();
            if let Ok(state) = State::load(tracker.store.clone()) {
                // The error list is read on demand.
                assert!(key[0] == b'e' || key[0] == b't', "{key:?} cut at {cut}");
                assert!(state.errors(crawl, None, 10).is_err());
            }
        }
        let mut batch = storage::state::WriteBatch::new();
        batch.put(key, value);
        tracker.store.write(batch).unwrap();
    }
    tracker.restart();
}

#[test]
fn a_record_that_is_lost_changes_the_digest() {
    let mut tracker = Tracker::new();
    tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
    tracker.submit(spec("TFA"), 1..=9);
    let texts = vec!["a@b".parse().unwrap(), "c@d".parse().unwrap()];
    let crawl = tracker.create(spec("T"));
    tracker.apply(Mutation::AddTargets { crawl, chunk: 0, users: texts, seeds: false });
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 4) {
        tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, 1, 5)));
    }
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, failed("fault", true));
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, failed("fault", false));
    let digest = tracker.state.digest();
    let mut looked_at = BTreeSet::new();
    for (key, value) in tracker.records() {
        let mut batch = storage::state::WriteBatch::new();
        batch.delete(key.clone());
        tracker.store.write(batch).unwrap();
        if let Ok(state) = State::load(tracker.store.clone()) {
            // Failed and gone accounts are on disk only and not covered.
            let changes = state.digest() != digest;
            assert_eq!(changes, key[0] != b'e', "{}", key.escape_ascii());
            looked_at.insert(key[0]);
        }
        let mut batch = storage::state::WriteBatch::new();
        batch.put(key, value);
        tracker.store.write(batch).unwrap();
    }
    assert_eq!(State::load(tracker.store.clone()).unwrap().digest(), digest);
    for tag in [keys::SEEN_RUN, keys::SEEN_TEXT, keys::QUEUE, keys::JOB] {
        assert!(looked_at.contains(&tag), "no record {}", tag.escape_ascii());
    }
}

#[test]
fn a_page_of_the_error_list_is_read_while_commands_and_checkpoints_go_on() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("T"), 1..=40);
    let mut node = tracker.open(1);
    let mut fail = |tracker: &mut Tracker, jobs: u16| {
        for job in tracker.take(&mut node, jobs) {
            tracker.tell(&mut node, &job, failed("fault", false));
        }
    };
    let numbers = |page: Vec<FailedUser<Failure>>| -> Vec<String> {
        page.iter().map(|failed| failed.user.to_string()).collect()
    };
    // Those on disk, those of a checkpoint in progress, and those since; some of each are retried.
    fail(&mut tracker, 10);
    tracker.restart();
    fail(&mut tracker, 10);
    let frozen = tracker.state.freeze().unwrap();
    fail(&mut tracker, 10);
    for user in [3, 4, 5, 6, 14, 24, 25] {
        let (request, user) = (RequestId { client: 5, sequence: user }, Some(UserId::Number(user)));
        let retry = Mutation::RetryErrors { request, crawl, user, limit: 1 };
        assert_eq!(tracker.apply(retry), Response::Retried(1));
    }
    let all = numbers(tracker.errors(crawl));
    assert_eq!(all.len(), 23);

    let mut after: Option<UserId> = None;
    let mut paged = Vec::new();
    loop {
        let page = tracker.state.errors_reader(crawl, after.as_ref(), 2)().unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.user.clone());
        paged.extend(numbers(page));
    }
    assert_eq!(paged, all);

    let read = tracker.state.errors_reader(crawl, None, 1000);
    write_checkpoint(&*tracker.store, frozen, Vec::new()).unwrap();
    drop(tracker.state.checkpoint_written());
    tracker.restart();
    fail(&mut tracker, 1);
    assert_eq!(numbers(read().unwrap()), all, "as it was when the state was let go");
    assert_eq!(tracker.errors(crawl).len(), 24);
}
