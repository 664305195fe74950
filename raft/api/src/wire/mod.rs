//! How nodes and clients talk: frames over TCP, a greeting, then tarpc with postcard.
//!
//! A connection serves one [`Purpose`], so that a vote never waits behind a snapshot: on a shared
//! connection a small message waited 52 ms behind 16 MB ones.

mod accept;
pub mod bounds;
mod codec;
mod connect;
mod greeting;
mod request;
mod service;

pub use accept::calls_on;
#[cfg(fuzzing)]
pub use codec::framed;
#[cfg(fuzzing)]
pub use connect::connect_over;
pub use connect::{ConnectError, Connection, connect};
pub use greeting::{Greeting, Purpose, Welcome, receive_greeting, send_welcome};
pub use request::{ApiRequest, Forwarded, Needs, NodeRequest};
pub use service::{ApiError, ApiReply, CallError, Peer};
