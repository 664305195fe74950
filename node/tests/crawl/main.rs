//! Whole jobs: a real HTTP API, a real dataset, and the state machine itself as the tracker.

mod api;
mod leases;
mod operations;
mod rig;
mod stopping;
mod tracker;
mod trouble;
