//! What the emulator promises to the tests that rely on it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod faults;
mod fixture;
mod limits;
mod paging;
mod program;
