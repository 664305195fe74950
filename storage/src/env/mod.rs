//! The world outside, by trait: time and randomness.
//!
//! No other module of the project reads a clock or draws a random number (`.clippy.toml` refuses
//! it), so that a whole cluster also runs in simulation.

mod clock;
mod entropy;

pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
