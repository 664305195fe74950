//! The world outside, by trait: time and randomness; and waits that need both.
//!
//! No other module of the project reads a clock or draws a random number (`.clippy.toml` refuses
//! it), so that a whole cluster also runs in simulation.

mod backoff;
mod clock;
mod entropy;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
