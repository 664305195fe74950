//! Whole clusters in one thread on simulated time, determined by a seed alone.
//!
//! Trackers get their network, disks, time, randomness and blocking work by trait
//! ([`TrackerOptions`](crate::server::TrackerOptions)). Each simulated process has a runtime of its own, whose clock
//! is advanced two milliseconds at a time, so that a process can be killed with all of its tasks, frozen, or run
//! faster than others. Messages and syncs take time and can be lost; the seed decides which faults happen when.
//!
//! After every few steps the replicas are compared and everything that operators were told is checked; at the end all
//! faults are healed, every crawl has to end, and the calls of operators must be linearizable.
//!
//! Only builds with debug assertions contain it.

mod bank;
mod checks;
mod clock;
mod crash_loop;
mod disks;
mod faults;
mod files;
mod history;
mod linear;
mod membership;
mod net;
mod operators;
mod plan;
mod process;
mod shared_budget;
#[cfg(test)]
mod tests;
mod trace;
mod worker;
mod workforce;
mod world;

pub use crate::state::JobPlace;
pub use faults::Fault;
pub use plan::{Outcome, Plan};
pub use trace::TraceDigest;
pub use worker::other_source;
pub use workforce::{EndedCrawl, Post, Workforce, WorldClock};
pub use world::{STEP, simulate};
