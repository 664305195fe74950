//! Time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Time since an arbitrary fixed moment of this process. Never goes back; while the machine is suspended
    /// it stops or continues, as the system's monotonic clock does.
    fn monotonic(&self) -> Duration;

    /// Wall-clock time since the Unix epoch. May jump: nothing that decides safety uses it.
    fn wall(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    fn wall(&self) -> Duration {
        // A wall clock before 1970 is broken; zero keeps callers total.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that moves only when told to, for tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<(Duration, Duration)>,
}

impl ManualClock {
    /// A clock at monotonic zero and the given wall time.
    pub fn at_wall(wall: Duration) -> Self {
        Self { now: Mutex::new((Duration::ZERO, wall)) }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(|e| e.into_inner());
        now.0 += by;
        now.1 += by;
    }

    /// Sets the wall clock, as an administrator or a time server may.
    pub fn set_wall(&self, wall: Duration) {
        self.now.lock().unwrap_or_else(|e| e.into_inner()).1 = wall;
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap_or_else(|e| e.into_inner()).0
    }

    fn wall(&self) -> Duration {
        self.now.lock().unwrap_or_else(|e| e.into_inner()).1
    }
}
