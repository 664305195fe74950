//! Limits on connections and on the memory of their calls, in total and for each host.
//!
//! Clients, nodes that forward calls, members that replicate, and members that vote or join have separate limits:
//! exhausting one of them does not affect the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::wire::{ByteBudget, Purpose};

use super::pending_handshakes::PendingHandshakes;

/// Most connections for one purpose, and most of one host among them. Further ones are refused.
const CONNECTIONS: usize = 1024;
const CONNECTIONS_OF_HOST: usize = 256;

/// Interval between log messages about refused connections.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// MiB of memory for the calls of each purpose, for one host and in total.
const API: (usize, usize) = (24, 128);
const FORWARD: (usize, usize) = (48, 256);
const REPLICATION: (usize, usize) = (32, 128);
const CONTROL: (usize, usize) = (8, 32);

/// A host: an IPv4 address, or an IPv6 /64, which gives one machine billions of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub(super) fn of(from: SocketAddr) -> Self {
        Self(match from.ip().to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The limits for all purposes, and the handshakes in progress.
pub(super) struct Admission {
    pub(super) pending: PendingHandshakes,
    api: PurposeLimits,
    forward: PurposeLimits,
    replication: PurposeLimits,
    control: PurposeLimits,
    /// When a refusal was last logged.
    told: Mutex<Option<Instant>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            pending: PendingHandshakes::default(),
            api: PurposeLimits::new(API),
            forward: PurposeLimits::new(FORWARD),
            replication: PurposeLimits::new(REPLICATION),
            control: PurposeLimits::new(CONTROL),
            told: Mutex::default(),
        }
    }
}

impl Admission {
    /// Admits a connection.
    ///
    /// # Errors
    /// Why it is refused, for the connecting side.
    pub(super) fn enter(&self, purpose: Purpose, host: Origin) -> Result<Admitted, String> {
        let limits = match purpose {
            Purpose::Api => &self.api,
            Purpose::Forward => &self.forward,
            Purpose::Replication | Purpose::Snapshot => &self.replication,
            Purpose::Control | Purpose::Joining => &self.control,
        };
        limits.enter(host)
    }

    /// Logs a refused connection, rate-limited because anybody can cause it.
    pub(super) fn tell_refused(&self, from: SocketAddr, reason: &dyn std::fmt::Display) {
        let mut told = lock(&self.told);
        match *told {
            Some(at) if at.elapsed() < TELL_EVERY => tracing::debug!(%from, %reason, "refused a connection"),
            _ => {
                *told = Some(Instant::now());
                tracing::warn!(%from, %reason, "refused a connection");
            }
        }
    }
}

/// An admitted connection. It is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The memory budget of its host's calls.
    pub(super) budget: ByteBudget,
    _place: OwnedSemaphorePermit,
    _place_of_host: OwnedSemaphorePermit,
}

struct PurposeLimits {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_of_host: usize,
    hosts: Mutex<HashMap<Origin, OfHost>>,
}

struct OfHost {
    places: Arc<Semaphore>,
    budget: ByteBudget,
}

impl PurposeLimits {
    fn new((of_host, of_all): (usize, usize)) -> Self {
        Self {
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            bytes: ByteBudget::of_all(of_all << 20),
            bytes_of_host: of_host << 20,
            hosts: Mutex::default(),
        }
    }

    fn enter(&self, host: Origin) -> Result<Admitted, String> {
        let mut hosts = lock(&self.hosts);
        if !hosts.contains_key(&host) && hosts.len() >= CONNECTIONS {
            // Drop hosts without connections.
            hosts.retain(|_, host| host.places.available_permits() < CONNECTIONS_OF_HOST);
        }
        let of_host = hosts.entry(host).or_insert_with(|| OfHost {
            places: Arc::new(Semaphore::new(CONNECTIONS_OF_HOST)),
            budget: ByteBudget::of_host(self.bytes_of_host, Arc::clone(&self.bytes)),
        });
        let place_of_host = Arc::clone(&of_host.places).try_acquire_owned().map_err(|_| {
            format!("all {CONNECTIONS_OF_HOST} connections of {} are taken; close some first", host.0)
        })?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| format!("all {CONNECTIONS} connections are taken; try again later"))?;
        Ok(Admitted { budget: of_host.budget.clone(), _place: place, _place_of_host: place_of_host })
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(ip: &str) -> Origin {
        Origin::of(SocketAddr::new(ip.parse().unwrap(), 1))
    }

    #[test]
    fn one_host_keeps_neither_another_nor_another_purpose_out() {
        let admission = Admission::default();
        let enter = |purpose, ip: &str| admission.enter(purpose, host(ip));
        let mut all: Vec<Admitted> =
            (0..CONNECTIONS_OF_HOST).map(|_| enter(Purpose::Api, "10.0.0.66").unwrap()).collect();
        assert!(enter(Purpose::Api, "10.0.0.66").unwrap_err().contains("of 10.0.0.66 are taken"));
        all.push(enter(Purpose::Api, "10.0.0.1").unwrap());
        all.push(enter(Purpose::Forward, "10.0.0.66").unwrap());
        all.clear();
        assert!(enter(Purpose::Api, "10.0.0.66").is_ok());
    }

    #[test]
    fn hosts_that_have_left_are_forgotten() {
        let limits = PurposeLimits::new(API);
        for n in 0..3 * CONNECTIONS as u32 {
            limits.enter(Origin::of(SocketAddr::new(IpAddr::V4(n.into()), 1))).unwrap();
        }
        assert!(lock(&limits.hosts).len() <= CONNECTIONS);
    }

    #[test]
    fn the_addresses_of_one_network_are_one_host() {
        assert_eq!(host("2001:db8:1:2::1"), host("2001:db8:1:2:ffff::9"));
        assert_ne!(host("2001:db8:1:2::1"), host("2001:db8:1:3::1"));
        assert_eq!(host("::ffff:10.0.0.1"), host("10.0.0.1"));
    }
}
