//! Request budgets: never one request more than a network allows.
//!
//! A [`Ledger`] holds one gauge for each budget: an endpoint as seen from one local address, or from all of them. It
//! issues one ticket per request; the headers of the answer come back with `Ledger::settle`. The promise holds for
//! any number of workers, with answers out of order, and across `kill -9`:
//!
//! - A request in flight counts as sent. One without an answer counts as received.
//! - Of an unknown budget, one request at a time is sent, until an answer reports what is left.
//! - A window ends by the server's clock, converted to the monotonic clock, plus the second that whole seconds may
//!   hide, plus a margin.
//! - Before a request is sent, the disk already records that it may have been: requests are recorded in blocks before
//!   they are used. A new process trusts the disk.
//!
//! Budgets that belong to the whole cluster, those of tokens and of outside addresses behind a NAT, are shared through
//! the replicated state instead ([`raft::state::shares`]): the ledger takes requests from this node's share, and nothing of
//! it is on disk, because what a process held counts as sent when its session ends.
//!
//! Not covered: another program behind the same address (its use shows in the headers and is respected, except for
//! requests in flight), and the very first contact with an endpoint, where a lost request is not counted because no
//! limit is known yet.

mod boot;
mod error;
mod gauge;
mod journal;
mod ledger;
mod networks;
mod record;
mod scope_gauges;
mod settings;
mod shared;
mod status;

pub use boot::BootTime;
pub use error::BudgetError;
pub use journal::OpenReport;
pub use ledger::{Acquired, Ledger, LedgerEnv, Ticket};
pub use settings::BudgetSettings;
pub(crate) use shared::{Pending, SharedBudgets};
pub use status::{BudgetStatus, ShareStatus};
