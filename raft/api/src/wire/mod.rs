//! The protocol of nodes and clients: frames over TCP, a greeting, then tarpc with postcard.
//!
//! A connection serves one [`Purpose`], so that a vote never waits behind a snapshot: on a shared connection
//! a small message waited 52 ms behind 16 MB ones.

mod accept;
pub mod bounds;
mod budget;
mod codec;
mod connect;
#[cfg(test)]
mod golden;
mod greeting;
mod joining;
mod members;
mod request;
mod service;

pub use accept::{Charging, calls_on};
pub use budget::{ByteBudget, Held};
#[cfg(fuzzing)]
pub use codec::framed;
#[cfg(fuzzing)]
pub use connect::connect_over;
pub use connect::{Called, Calls, ConnectError, Connection, Dial, Tcp, Tls};
pub use greeting::{
    Addressee, Greeting, Listener, Purpose, Refused, Welcome, greet, receive_greeting, send_welcome,
};
pub use joining::{Candidate, Formation, JoinAnswer, JoinRequest, JoinStage, Probed};
pub use members::MemberRequest;
pub use request::{ApiRequest, Forwarded, Needs, NodeRequest};
pub use service::{ApiError, ApiReply, CallError, Peer};
