//! A test double of the X API v2: posts, followers and users, rate limits by app, and a bill.
//!
//! It serves a [synthetic](super::SyntheticOptions) population in the objects of API v2, and speaks both
//! [wordings](Wording) of the specification. What each app is charged is counted exactly ([`Bill`]), so that a test can
//! compare it with what a client believes to have spent. A request passes through these modules: `server` accepts it,
//! `apps` knows its token, limits it and keeps the bills, `call` reads it, `objects` and `expand` make its data, and
//! `problem` words its errors.
//!
//! Like the rest of the emulator it shares no code with the crawler. What it imitates, and where that comes from:
//!
//! - parameters, fields and schemas: the OpenAPI specification, versions 2.166 and 2.167;
//! - a suspended account is `resource-not-found` too, and only its title and detail say that it is suspended;
//! - the request that crosses a spending limit is served and charged whole, and only the next one is refused;
//! - a window of 15 minutes begins with an app's first request to an endpoint and does not move.

mod api;
mod apps;
mod bill;
mod builder;
mod call;
mod expand;
mod objects;
mod problem;
mod running;
mod server;
mod wording;

pub use api::XEndpoint;
pub use apps::XFault;
pub use bill::{Bill, Billing, Overdraft, Prices};
pub use builder::XBuilder;
pub use running::XEmulator;
pub use wording::Wording;
