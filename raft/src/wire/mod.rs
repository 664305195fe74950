//! How nodes and clients talk: frames over TCP, a greeting, then tarpc with postcard.
//!
//! A connection serves one [`Purpose`], so that a vote never waits behind a snapshot: on a shared
//! connection a small message waited 52 ms behind 16 MB ones.

mod accept;
mod codec;
mod connect;
mod greeting;
mod service;

pub(crate) use accept::calls_on;
#[cfg(fuzzing)]
pub(crate) use codec::framed;
#[cfg(fuzzing)]
pub(crate) use connect::connect_over;
pub(crate) use connect::{ConnectError, Connection, connect};
pub(crate) use greeting::{Greeting, Purpose, Welcome, receive_greeting, send_welcome};
pub use service::{ApiError, ApiReply, ApiRequest};
pub(crate) use service::{CallError, Peer};
