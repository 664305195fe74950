//! A test double of the Mastodon API: many hosts in one process.
//!
//! The `Host` header says which host is asked: `h1.test`, `h2.test`, and so on. All hosts share one synthetic
//! [world](super::world), whose accounts are dealt out among them, so that accounts of different hosts follow each other.
//! Each host has a [kind](HostKind): most are ordinary, others want a token, hang, or run another software. What a host
//! knows of an account of another host has an id of its own, as in the real network.
//!
//! The answers of an ordinary host are those of Mastodon 4.7; `tests/tests/emulator/mastodon_recordings.rs` compares them
//! field by field with recordings of real servers. The rules of the rate limits are those of Mastodon's
//! `config/initializers/rack_attack.rb`.
//!
//! A request passes through these modules: `server` accepts it, `api` finds the host and parses it, `limits` charges it,
//! `population` provides the data, `account` and `status` write it as JSON.

mod account;
mod api;
mod ids;
mod instance;
mod kind;
mod limits;
mod links;
mod options;
mod pages;
mod population;
mod reply;
mod running;
mod server;
mod status;

pub use kind::HostKind;
pub use limits::{Limits, Window};
pub use options::FediverseOptions;
pub use population::Standing;
pub use running::{Fediverse, Stats};
