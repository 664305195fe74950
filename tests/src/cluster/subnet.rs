//! Loopback addresses for one cluster.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::bail;

/// The port that marks a subnet as taken.
const CLAIM_PORT: u16 = 7999;
/// The host address on which that port is bound.
const CLAIM_HOST: u8 = 254;
/// Subnets `127.64.1.0/24` to `127.127.250.0/24`.
const SUBNETS: u32 = 64 * 250;

/// A /24 within 127.0.0.0/8 that no other test on this machine uses during the lifetime of this value.
///
/// Nodes can keep their ports over restarts: no other process listens there, and connections to other addresses
/// originate from 127.0.0.1. The source address of a request identifies the node that sent it.
#[derive(Debug)]
pub struct Subnet {
    network: [u8; 3],
    _claim: TcpListener,
}

impl Subnet {
    /// Claims a free subnet.
    ///
    /// # Errors
    /// No subnet is free.
    pub fn claim() -> anyhow::Result<Self> {
        // Processes start at different positions, and none takes a subnet twice: recently killed nodes may still hold
        // their ports.
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let start = std::process::id().wrapping_mul(37);
        for _ in 0..SUBNETS {
            let n = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % SUBNETS;
            let network = [127, 64 + (n / 250) as u8, 1 + (n % 250) as u8];
            let [a, b, c] = network;
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(a, b, c, CLAIM_HOST), CLAIM_PORT)) {
                return Ok(Self { network, _claim: claim });
            }
        }
        bail!("no loopback network is free: port {CLAIM_PORT} cannot be bound in any of {SUBNETS}");
    }

    /// An address in the subnet.
    pub fn host(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, host)
    }
}
