//! Wall clocks that jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use storage::env::{Clock, SystemClock};

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, tweets};
use super::tracker::LocalTracker;

const YEAR: i64 = 365 * 24 * 3600;

/// The machine's clock, with a wall clock that jumps.
struct Jumping {
    clock: SystemClock,
    /// Seconds ahead.
    ahead: AtomicI64,
}

impl Clock for Jumping {
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn wall(&self) -> Duration {
        let seconds = self.ahead.load(Ordering::Relaxed);
        let jump = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { self.clock.wall().saturating_sub(jump) } else { self.clock.wall() + jump }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_by_years_changes_neither_budgets_nor_leases() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let users: Vec<u64> = (11..=14).collect();
    users.iter().for_each(|&user| api.account(user, 8, []));
    // Four walks of four requests each, and a budget of six per two seconds.
    api.budget(6, 2);
    let clock = Arc::new(Jumping { clock: SystemClock::new(), ahead: AtomicI64::new(0) });
    let rig = Rig::start_with_clock(&api, &tracker, &folder, clock.clone()).await;
    let jumper = tokio::spawn(async move {
        for ahead in [YEAR, -YEAR, 60, -60, -60 * YEAR, 0].into_iter().cycle() {
            clock.ahead.store(ahead, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let view = tracker.finished(tracker.submit("T", &users)).await;
    jumper.abort();
    assert_eq!(api.violations(), 0);
    assert_eq!(view.counters.users.completed, 4);
    users.iter().for_each(|&user| assert_eq!(folder.timeline(user), tweets(user, 8)));
    let asked: usize = users.iter().map(|&user| api.cursors("timeline", user).len()).sum();
    assert_eq!(asked, 16, "walks continued where they were");
    assert_eq!(rig.view.borrow().sessions, 1, "no session was lost");
    rig.stop().await;
}
