//! The journal, intact, torn and damaged.

use std::sync::Arc;

use storage::env::ManualClock;

use super::super::boot::BootTime;
use super::super::record::Knowledge;
use super::*;

const WINDOW: Duration = Duration::from_secs(900);

fn keeper(wall: u64) -> Timekeeper {
    let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(wall)));
    Timekeeper::new(clock, Some(BootTime { id: 7, uptime: Duration::from_secs(wall) }))
}

fn entry(n: u64, time: &Timekeeper) -> (Key, Kept) {
    let key = Key { scope: format!("endpoint {n}"), address: Some("127.0.0.1".parse().unwrap()) };
    let knowledge = Knowledge::Window { left: n, under_way: 1, ends_in_ms: 60_000, id: Some(n) };
    (key, Kept { at: time.stamp(), knowledge, limit: Some(15), window_ms: 800_000, blocked_ms: 0 })
}

fn open(path: &Path, time: &Timekeeper) -> (Journal, Remembered, OpenReport) {
    Journal::open(path, time, WINDOW).unwrap()
}

/// A file with the entries 0 to 9, each written twice.
fn filled(path: &Path) -> Vec<u8> {
    let time = keeper(1000);
    let (mut journal, ..) = open(path, &time);
    for round in 0..2 {
        for n in 0..10 {
            let (key, kept) = entry(n, &time);
            let stale = Kept { knowledge: Knowledge::Unlimited, ..kept.clone() };
            journal.append(vec![(key, if round == 0 { stale } else { kept })], &time).unwrap();
        }
    }
    fs::read(path).unwrap()
}

#[test]
fn the_last_record_of_each_budget_is_remembered_with_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    filled(&path);
    let (_, remembered, report) = open(&path, &keeper(1030));
    assert_eq!(report, OpenReport { budgets: 10, ..OpenReport::default() });
    for n in 0..10 {
        let (key, kept) = entry(n, &keeper(1000));
        assert_eq!(remembered[&key], (kept, Duration::from_secs(30)));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    let whole = filled(&path);
    for cut in 1..20 {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let (_, remembered, report) = open(&path, &keeper(1001));
        assert_eq!((remembered.len(), report.damaged, report.hold), (10, None, Duration::ZERO), "cut {cut}");
        assert!(report.torn_bytes > 0, "cut {cut}");
    }
}

#[test]
fn any_flipped_bit_stops_everything_for_a_window_or_is_cut_off_as_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    let whole = filled(&path);
    let mut held = 0;
    for bit in (64..whole.len() * 8).step_by(37) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let (_, remembered, report) = open(&path, &keeper(1001));
        let (some_key, _) = entry(3, &keeper(1000));
        match &report.damaged {
            Some(aside) => {
                assert_eq!(fs::read(aside).unwrap(), bytes, "kept for a look");
                assert_eq!(report.hold, WINDOW);
                held += 1;
                // The pause is stored like everything else.
                let (_, _, again) = open(&path, &keeper(1011));
                assert_eq!((again.damaged, again.hold), (None, report.hold - Duration::from_secs(10)));
            }
            None => {
                // A length beyond the end of the file looks torn, which only the last records can be.
                assert!(report.torn_bytes > 0 && remembered.contains_key(&some_key), "bit {bit}: {report:?}");
            }
        }
    }
    assert!(held > 100, "{held}");
}

#[test]
fn other_files_are_not_taken_for_budgets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    fs::write(&path, b"something else").unwrap();
    let (_, _, report) = open(&path, &keeper(1));
    assert!(report.damaged.is_some() && report.hold == WINDOW);
    fs::write(&path, b"TWMBUDG2 and more").unwrap();
    let newer = Journal::open(&path, &keeper(1), WINDOW).err().unwrap();
    assert!(matches!(newer, BudgetError::NewerFormat { found: '2', .. }), "{newer}");
    assert_eq!(fs::read(&path).unwrap(), b"TWMBUDG2 and more", "untouched");
    let missing = folder.path().join("no/such/folder/budgets");
    assert!(matches!(Journal::open(&missing, &keeper(1), WINDOW), Err(BudgetError::Write { .. })));
}

#[test]
fn the_file_does_not_grow_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    let time = keeper(1000);
    let (mut journal, ..) = open(&path, &time);
    for round in 0..300u64 {
        let batch = (0..200).map(|n| entry(n + round % 2, &time)).collect();
        journal.append(batch, &time).unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() < 2 << 20);
    drop(journal);
    assert_eq!(open(&path, &time).1.len(), 201);
}

#[test]
fn budgets_long_unheard_of_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets");
    filled(&path);
    assert_eq!(open(&path, &keeper(1000 + 33 * 24 * 3600)).2.budgets, 0);
}
