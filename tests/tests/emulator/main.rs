//! Guarantees of the emulator on which the tests rely.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod faults;
mod fixture;
mod limits;
mod mastodon;
mod mastodon_recordings;
mod paging;
mod program;
mod x;
