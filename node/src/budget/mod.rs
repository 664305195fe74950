//! Request budgets: never one request more than a network allows.
//!
//! A [`Ledger`] holds one gauge for each budget: an endpoint as seen from one local address, or from all of them. It
//! hands out tickets, one a request; what an answer's headers say comes back with `Ledger::settle`. The promise
//! holds with any number of workers, with answers out of order, and across `kill -9`:
//!
//! - A request under way counts as sent. One without an answer counts as received.
//! - Of an unknown budget one request at a time is sent, until an answer tells what is left.
//! - A window ends when the server's clock says so, on the monotonic clock, plus the second that whole seconds may hide,
//!   plus a margin.
//! - Before a request is sent, the disk already says that it may have been: requests are written down in blocks,
//!   before they are used. A process that starts again believes the disk.
//!
//! What is not covered: another program behind the same address (its use shows in the headers and is respected,
//! requests under way excepted), and the very first contact with an endpoint, where a request that got lost is not
//! held against it because no limit has been seen yet.

mod boot;
mod error;
mod gauge;
mod journal;
mod ledger;
mod record;
mod scope_gauges;
mod settings;
mod status;

pub use boot::BootTime;
pub use error::BudgetError;
pub use journal::OpenReport;
pub use ledger::{Acquired, Ledger, LedgerEnv, Ticket};
pub use settings::BudgetSettings;
pub use status::BudgetStatus;
