//! Whole trackers in one process, over real sockets and disks.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene cannot be set")]

mod forming;
mod going_on;
mod members;
mod strangers;
mod world;
