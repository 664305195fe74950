//! The Bluesky network in a box, and its source against it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's way to fail")]

mod cluster;
mod gone;
mod people;
mod server;
mod timelines;
mod trouble;
mod world;
