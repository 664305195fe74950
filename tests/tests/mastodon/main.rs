//! The Mastodon API as a source, against its double through real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accounts;
mod away;
mod cluster;
mod crawl;
mod hosts;
mod limits;
mod walks;
