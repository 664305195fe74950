//! Whole jobs: a real HTTP API, a real dataset, and the state machine as the tracker.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's way to fail")]

mod api;
mod clocks;
mod faults;
mod job_error;
mod leases;
mod operations;
mod profiles;
mod provenance;
mod rig;
mod sources;
mod stopping;
mod tracker;
mod whole;
