//! Events: in order, each once, within bounds.

use std::collections::BTreeMap;

use super::*;
use crate::state::OutboxView;

/// Room for all events of these tests.
const PLENTY: u64 = 1 << 20;

fn all(tracker: &Tracker) -> Vec<Event> {
    tracker.state.events_after(EventId::default(), usize::MAX).read()
}

/// The events in a word or two each.
fn story(events: &[Event]) -> Vec<String> {
    let word = |event: &Event| match &event.kind {
        EventKind::Crawl { change, .. } => format!("{change:?}"),
        EventKind::Job { operation, change, .. } => format!("{} {change:?}", operation.letter()),
        EventKind::Session { change, .. } => format!("session {change:?}"),
        EventKind::Leader { node, term } => format!("leader {node} {term}"),
        EventKind::Money(mark) => format!("money {mark:?}"),
    };
    events
        .iter()
        .map(|e| word(e).split([' ', '{']).take(2).collect::<Vec<_>>().join(" ").trim().to_owned())
        .collect()
}

fn watched(capacity: u64) -> Tracker {
    let mut tracker = Tracker::new();
    tracker.apply(Mutation::KeepEvents { bytes: capacity });
    tracker
}

#[test]
fn m1_the_life_of_a_crawl_is_told_in_order() {
    let mut tracker = watched(PLENTY);
    tracker.apply(Mutation::Lead { node: 2, term: 7 });
    tracker.apply(Mutation::Lead { node: 2, term: 7 });
    let crawl = tracker.submit(spec("TF"), [10]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Completed { file: true, items: 3 });
    tracker.tell(&mut node, &job, Finding::Published);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Gone(GoneReason::Protected));
    assert!(tracker.state.crawl(crawl).unwrap().phase.is_over());

    let events = all(&tracker);
    let expected = [
        "leader 2",
        "Submitted",
        "Targets",
        "Sealed",
        "session Opened",
        "T Granted",
        "T Fetched",
        "T Completed",
        "F Granted",
        "F Gone",
        "F Ended",
        "Finished",
    ];
    assert_eq!(story(&events), expected);
    assert!(events.iter().map(|e| e.number).eq(1..=events.len() as u64), "numbered without a gap");
    assert!(events.is_sorted_by(|a, b| a.id < b.id), "ids grow");
    assert!(events.iter().all(|e| e.id.place > 0), "place 0 is free for a gap");
}

#[test]
fn m1_progress_is_told_when_it_is_saved_and_not_when_nobody_could_use_it() {
    let mut tracker = watched(PLENTY);
    tracker.submit(spec("T"), [10]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let before = all(&tracker).len();
    // A draft on another storage.
    tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, 2, 50)));
    assert_eq!(all(&tracker).len(), before);
    tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, 1, 70)));
    let told: Vec<EventKind> = all(&tracker).into_iter().skip(before).map(|event| event.kind).collect();
    let [EventKind::Job { change: JobChange::Progressed { cursor, items }, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((cursor.as_str(), *items), ("after 70", Some(7)));
}

#[test]
fn m1_nothing_is_kept_while_nobody_watches() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [10]);
    assert_eq!(tracker.state.outbox(), OutboxView::default());
    tracker.apply(Mutation::KeepEvents { bytes: PLENTY });
    tracker.submit(spec("T"), [10]);
    assert_eq!(story(&all(&tracker)), ["Submitted", "Targets", "Sealed"]);
    tracker.apply(Mutation::KeepEvents { bytes: 0 });
    let view = tracker.state.outbox();
    assert_eq!((view.bytes, view.dropped), (0, 0), "what nobody watches any more is not lost");
    assert!(all(&tracker).is_empty());
}

#[test]
fn m1_a_full_outbox_drops_the_oldest_and_counts_what_was_not_passed_on() {
    let mut tracker = Tracker::without_restarts();
    tracker.apply(Mutation::KeepEvents { bytes: 100_000 });
    let crawl = tracker.create(spec("T"));
    for chunk in 0..20_000 {
        tracker.add(crawl, chunk, [chunk]);
    }
    tracker.restart();
    let view = tracker.state.outbox();
    assert!(view.bytes <= 100_000 + 32 * 1024, "{view:?}");
    assert!(view.dropped > 0);
    let kept = all(&tracker);
    assert_eq!(kept.first().unwrap().number, view.dropped + 1, "what is left follows what was dropped");
    assert_eq!(kept.last().unwrap().number, view.newest);
    assert!(kept.first().unwrap().id > view.left);

    let passed = kept[kept.len() / 2].id;
    tracker.apply(Mutation::EventsPassed { through: passed });
    for chunk in 20_000..40_000 {
        tracker.add(crawl, chunk, [chunk]);
    }
    let after = tracker.state.outbox();
    let first = all(&tracker)[0].number;
    let unsent = first - 1 - kept[kept.len() / 2].number;
    assert_eq!(after.dropped, view.dropped + unsent, "only what was not passed on counts");
}

#[test]
fn m1_what_was_passed_on_is_kept_for_a_while() {
    let mut tracker = Tracker::without_restarts();
    tracker.apply(Mutation::KeepEvents { bytes: 400_000 });
    let crawl = tracker.create(spec("T"));
    for chunk in 0..15_000 {
        tracker.add(crawl, chunk, [chunk]);
    }
    let newest = all(&tracker).last().unwrap().id;
    tracker.apply(Mutation::EventsPassed { through: newest });
    let view = tracker.state.outbox();
    assert_eq!((view.passed, view.dropped), (newest, 0));
    assert!((60_000..=100_000 + 32 * 1024).contains(&view.bytes), "{view:?}");
    assert_eq!(all(&tracker).last().unwrap().id, newest);
}

#[test]
fn events_are_read_from_any_place_in_pieces() {
    let mut tracker = Tracker::without_restarts();
    tracker.apply(Mutation::KeepEvents { bytes: PLENTY });
    let crawl = tracker.create(spec("T"));
    for chunk in 0..9_000 {
        tracker.add(crawl, chunk, [chunk]);
    }
    tracker.restart();
    let (mut read, mut at, mut pieces) = (Vec::new(), EventId::default(), 0);
    loop {
        let piece = tracker.state.events_after(at, 1).read();
        let Some(last) = piece.last() else { break };
        at = last.id;
        read.extend(piece);
        pieces += 1;
    }
    let blocks = tracker.records().iter().filter(|(key, _)| key[0] == super::super::keys::OUTBOX).count();
    assert!(pieces == blocks && blocks > 2, "{pieces} pieces of {blocks} blocks");
    assert!(read.len() / blocks > 500, "a block has many events");
    assert_eq!(read, all(&tracker));
    let middle = read[4_321].id;
    assert_eq!(tracker.state.events_after(middle, 1).read()[0], read[4_322]);
}

/// The events of a crawl's operations must agree with its counters.
pub(super) fn m1_check_against_counters(state: &State) {
    let events = state.events_after(EventId::default(), usize::MAX).read();
    assert!(events.iter().map(|e| e.number).eq(1..=state.outbox().newest), "TWM-M1: an event is missing");
    assert!(events.is_sorted_by(|a, b| a.id < b.id), "TWM-M1: two events have one id");
    let mut told: BTreeMap<CrawlId, CrawlCounters> = BTreeMap::new();
    for event in &events {
        match &event.kind {
            EventKind::Job { crawl, operation, change, .. } => {
                let counters = told.entry(*crawl).or_default();
                let of = counters.of(*operation);
                match change {
                    JobChange::Completed { items } => {
                        of.completed += 1;
                        of.items += items;
                    }
                    JobChange::Gone { .. } => of.gone += 1,
                    JobChange::Failed { .. } => of.failed += 1,
                    JobChange::Limited { .. } => of.limited += 1,
                    JobChange::Retried { .. } => of.retried += 1,
                    JobChange::Discovered { admitted, discarded } => {
                        counters.discovered += admitted + discarded;
                        counters.admitted += admitted;
                    }
                    JobChange::Ended { state: FinalState::Completed } => counters.users.completed += 1,
                    JobChange::Ended { state: FinalState::Gone } => counters.users.gone += 1,
                    JobChange::Ended { state: FinalState::Failed } => counters.users.failed += 1,
                    JobChange::Granted { .. }
                    | JobChange::Progressed { .. }
                    | JobChange::Fetched { .. }
                    | JobChange::Returned => {}
                }
            }
            EventKind::Crawl { crawl, change: CrawlChange::Targets { duplicates, .. } } => {
                told.entry(*crawl).or_default().users.duplicates += duplicates;
            }
            EventKind::Crawl { crawl, change: CrawlChange::Retried { accounts } } => {
                told.entry(*crawl).or_default().users.failed -= accounts;
            }
            EventKind::Crawl { .. }
            | EventKind::Session { .. }
            | EventKind::Leader { .. }
            | EventKind::Money(_) => {}
        }
    }
    for view in state.crawls() {
        let told = told.get(&view.id).copied().unwrap_or_default();
        let said = (told.operations, told.discovered, told.admitted, told.users.duplicates);
        let real = view.counters;
        assert_eq!(
            said,
            (real.operations, real.discovered, real.admitted, real.users.duplicates),
            "TWM-M1: the events tell crawl {} otherwise than its counters",
            view.id
        );
        let ended = |users: UserCounters| (users.completed, users.gone, users.failed);
        assert_eq!(ended(told.users), ended(real.users), "TWM-M1: crawl {}", view.id);
    }
}

#[test]
fn who_looks_at_a_replica_is_told_without_an_outbox_and_within_bounds() {
    let mut tracker = Tracker::without_restarts();
    let live = Arc::clone(tracker.state.live_events());
    tracker.submit(spec("T"), [10]);
    assert_eq!(live.after(0, 10), [], "nobody looks");
    live.look(true);
    let crawl = tracker.submit(spec("T"), 20..30);
    let told = live.after(0, 10);
    let events: Vec<_> = told.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(story(&events), ["Submitted", "Targets", "Sealed"]);
    assert!(told.iter().map(|(number, _)| *number).eq(1..=3));
    assert!(events.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!((tracker.state.outbox(), all(&tracker)), (OutboxView::default(), Vec::new()));

    for _ in 0..600 {
        tracker.apply(Mutation::PauseCrawl { crawl });
        tracker.apply(Mutation::ResumeCrawl { crawl });
    }
    let newest = live.after(3, usize::MAX);
    assert_eq!((newest.len(), newest[0].0, newest[499].0), (500, 704, 1203));
    assert_eq!(live.after(1200, 2).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1202, 1203]);
    assert_eq!(live.after(1202, 9).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1203]);
    assert_eq!(live.after(1203, 9), [], "nothing is new");
    assert_eq!(live.after(9_999, 1)[0].0, 1203, "a number of another process counts as none");
    live.look(false);
    tracker.apply(Mutation::PauseCrawl { crawl });
    assert_eq!(live.after(0, 10), []);
}

#[test]
fn m1_the_newest_events_stay_however_little_is_to_be_kept() {
    let mut tracker = watched(1);
    tracker.submit(spec("T"), [10]);
    let kept = all(&tracker);
    assert_eq!(story(&kept), ["Submitted", "Targets", "Sealed"]);
    tracker.apply(Mutation::EventsPassed { through: kept[2].id });
    assert_eq!(all(&tracker), kept);
}

#[test]
fn who_looks_sees_the_events_that_the_outbox_keeps_by_the_same_ids() {
    let mut tracker = watched(PLENTY);
    tracker.restarts = false;
    tracker.state.live_events().look(true);
    tracker.submit(spec("TF"), [10]);
    let told: Vec<_> =
        tracker.state.live_events().after(0, 100).into_iter().map(|(_, event)| event).collect();
    assert_eq!(told, all(&tracker));
}
