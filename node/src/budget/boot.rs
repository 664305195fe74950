//! Time that survives restarts of the process.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::env::Clock;

/// The machine's uptime, which is independent of the wall clock: it measures how long a process was down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootTime {
    /// Identifies this boot of the machine.
    pub id: u128,
    /// Time since it.
    pub uptime: Duration,
}

impl BootTime {
    /// Reads both from `/proc`; `None` where there is none.
    pub fn read() -> Option<Self> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().replace('-', "");
        let id = u128::from_str_radix(&id, 16).ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some(Self { id, uptime: Duration::try_from_secs_f64(seconds).ok()? })
    }
}

/// When something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    wall_ms: u64,
    /// The boot, and its uptime in milliseconds.
    boot: Option<(u128, u64)>,
}

/// Creates stamps, and measures the time since stamps of earlier processes.
pub(super) struct Timekeeper {
    clock: Arc<dyn Clock>,
    boot: Option<BootTime>,
    opened: Duration,
}

impl Timekeeper {
    pub(super) fn new(clock: Arc<dyn Clock>, boot: Option<BootTime>) -> Self {
        let opened = clock.monotonic();
        Self { clock, boot, opened }
    }

    /// Monotonic time of this process.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn stamp(&self) -> Stamp {
        // While the machine is suspended, the uptime continues and this sum may not: time appears shorter,
        // which is safe.
        let uptime =
            |boot: &BootTime| (boot.id, millis(boot.uptime + self.now().saturating_sub(self.opened)));
        Stamp { wall_ms: millis(self.clock.wall()), boot: self.boot.as_ref().map(uptime) }
    }

    /// A lower bound of the time since `then`, a stamp of this process or an earlier one.
    ///
    /// Within one boot the uptime decides. Across boots only the wall clock is left: if it went back, no time
    /// counts as passed; a jump ahead while the machine was down cannot be told from a long downtime.
    pub(super) fn since(&self, then: Stamp) -> Duration {
        let now = self.stamp();
        let passed = match (now.boot, then.boot) {
            (Some((this, now)), Some((that, then))) if this == that => now.saturating_sub(then),
            _ => now.wall_ms.saturating_sub(then.wall_ms),
        };
        Duration::from_millis(passed)
    }
}

/// Whole milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use storage::env::ManualClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keeper(boot: u128, uptime: u64, wall: u64) -> (Timekeeper, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at_wall(SECOND * wall as u32));
        let boot = BootTime { id: boot, uptime: Duration::from_secs(uptime) };
        (Timekeeper::new(clock.clone(), Some(boot)), clock)
    }

    #[test]
    fn within_a_boot_no_jump_of_the_wall_clock_counts() {
        let then = keeper(1, 100, 5000).0.stamp();
        for wall in [1, 5000, 900_000] {
            let (now, clock) = keeper(1, 130, wall);
            clock.advance(SECOND * 5);
            assert_eq!(now.since(then), SECOND * 35, "wall {wall}");
        }
    }

    #[test]
    fn across_boots_a_clock_gone_back_counts_as_no_time() {
        let then = keeper(1, 100, 5000).0.stamp();
        assert_eq!(keeper(2, 10, 5060).0.since(then), SECOND * 60);
        assert_eq!(keeper(2, 10, 4000).0.since(then), Duration::ZERO);
        let unknown = Timekeeper::new(Arc::new(ManualClock::at_wall(SECOND * 5007)), None);
        assert_eq!(unknown.since(then), SECOND * 7);
    }

    #[test]
    fn this_machine_tells_its_uptime() {
        let boot = BootTime::read().expect("Linux tells it");
        assert!(boot.id != 0 && boot.uptime > Duration::ZERO);
    }
}
