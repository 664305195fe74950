//! The environment by trait: time, randomness and blocking work; and backoff, which needs them.
//!
//! No other module of the project reads a clock or draws a random number (`.clippy.toml` forbids it), so that
//! a whole cluster also runs in simulation.

mod backoff;
mod clock;
mod entropy;
mod work;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use work::{Blocking, Inline, Threads, Work, WorkLost};
