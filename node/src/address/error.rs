//! Why addresses cannot be used.

use std::io;
use std::net::IpAddr;

use super::list::MAX_ADDRESSES;
use crate::budget::BudgetError;
use crate::http_client::HttpError;

/// Why addresses cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A part of the list is invalid.
    #[error(
        "--ips: {part:?} is {what}; give `auto`, `none`, or addresses, ranges such as 10.0.0.5-10.0.0.9 and \
        networks such as 10.0.0.0/28, with commas between them"
    )]
    Syntax {
        /// The part.
        part: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The list has more addresses than a node can use.
    #[error(
        "--ips: {part:?} brings the addresses over the limit of {MAX_ADDRESSES}; give a smaller range or network"
    )]
    TooMany {
        /// The part that exceeded the limit.
        part: String,
    },
    /// The machine's addresses cannot be listed.
    #[error("--ips auto: the addresses of this machine cannot be listed: {0}; name them instead")]
    Interfaces(io::Error),
    /// An address does not belong to this machine.
    #[error("--ips: requests cannot be sent from {address}: {source}; add it to this machine (`ip addr add {address}/{} \
        dev INTERFACE`, see also ops/pool), or take it off the list", if address.is_ipv4() { 32 } else { 128 })]
    Bind {
        /// The address.
        address: IpAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// An HTTP client for an address could not be created.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Budgets cannot be stored.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}
