//! A double of the Twitter API v1 and v1.1, for tests and benchmarks.
//!
//! It serves a population of accounts (a [fixture](Builder::dataset) read from files, or a
//! [synthetic](Builder::synthetic) one of any size made on the fly), keeps rate limit windows by
//! client address, and misbehaves on request. It counts what it is asked, and it can say what a
//! full crawl of an account must contain, so that a test compares a dataset with the truth.
//!
//! The order of a request: `server` accepts, `api` reads it, `ledger` counts it and charges the window,
//! [`faults`] decides what goes wrong, [`world`] has the data, `body` carries the answer.
//!
//! It shares no code with the crawler on purpose: the same mistake in both would go unseen.

mod api;
mod body;
mod builder;
mod connection;
mod endpoint;
mod error;
mod export;
pub mod faults;
mod ledger;
mod limits;
mod running;
mod server;
mod stats;
pub mod world;

pub use builder::{Builder, HeaderSpelling};
pub use endpoint::Endpoint;
pub use error::EmulatorError;
pub use faults::{Fault, FaultRule};
pub use limits::{Budget, RateLimits};
pub use running::Emulator;
pub use stats::Stats;
pub use world::{IdScheme, SyntheticOptions};
