//! Whole clusters in one thread on simulated time: what happens follows from a seed alone.
//!
//! Trackers get their network, their disks, their time, their randomness and their blocking work by trait
//! ([`TrackerOptions`](crate::server::TrackerOptions)). Each simulated process has a runtime of its own, whose clock is
//! advanced two milliseconds at a time: so a process can be killed with all of its tasks, frozen, or run faster than others.
//! Messages and syncs take their time, and can be lost; a seed says when what goes wrong.
//!
//! After every few steps the replicas are compared and everything that operators were told is checked; in the end all
//! faults are healed, every crawl has to come to its end, and the calls of operators must be linearizable.
//!
//! Only builds with debug assertions have it.

mod checks;
mod clock;
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
pub use workforce::{EndedCrawl, Post, Workforce, WorldClock};
pub use world::{STEP, simulate};
