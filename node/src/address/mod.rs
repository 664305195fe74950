//! The local addresses that requests are sent from.
//!
//! [`AddressList`] is the setting `--ips`; [`AddressPool`] holds a client for each address and, with the
//! [`Ledger`](crate::budget::Ledger), decides which of them may send.

mod error;
mod list;
mod pool;

pub use error::AddressError;
pub use list::{AddressList, MAX_ADDRESSES};
pub use pool::{AddressPool, Permit};
