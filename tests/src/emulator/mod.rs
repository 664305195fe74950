//! A test double of the Twitter API v1 and v1.1, for tests and benchmarks; that of the X API v2 is [`x`].
//!
//! It serves a population of accounts (a [fixture](Builder::dataset) read from files, or a
//! [synthetic](Builder::synthetic) one of any size computed on demand), keeps rate limit windows by client
//! address, and injects faults on request. It counts requests, and returns the expected result of a full
//! crawl of an account, so that a test can compare a dataset with it.
//!
//! A request passes through these modules: `server` accepts it, `api` parses it, `ledger` counts it and
//! charges the window, [`faults`] decides which faults apply, [`world`] provides the data, `body` carries the
//! response.
//!
//! It deliberately shares no code with the crawler: a mistake in both would go unnoticed.

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
pub mod mastodon;
mod running;
mod server;
mod stats;
pub mod world;
pub mod x;

pub use builder::{Builder, HeaderSpelling};
pub use endpoint::Endpoint;
pub use error::EmulatorError;
pub use faults::{Fault, FaultRule};
pub use limits::{Budget, RateLimits};
pub use running::Emulator;
pub use stats::Stats;
pub use world::{IdScheme, SyntheticOptions};
