//! How many connections there may be, and how much their calls may take, in all and of one host.
//!
//! Clients, nodes that pass calls on, members of Raft that replicate, and those that vote or join have bounds of their
//! own: whoever fills one of them keeps none of the others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::wire::{ByteBudget, Purpose};

use super::pending_handshakes::PendingHandshakes;

/// Connections through one limits, and those of one host among them, at most. Further ones are refused.
const CONNECTIONS: usize = 1024;
const CONNECTIONS_OF_HOST: usize = 256;

/// Time between two lines of the log about connections that were refused.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// MiB that calls through each limits take at most, those of one host and in all.
const API: (usize, usize) = (24, 128);
const FORWARD: (usize, usize) = (48, 256);
const REPLICATION: (usize, usize) = (32, 128);
const CONTROL: (usize, usize) = (8, 32);

/// A host: an address, or a network of IPv6, whose addresses one machine has by the billion.
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

/// All admission, and the room before them.
pub(super) struct Admission {
    pub(super) pending: PendingHandshakes,
    api: PurposeLimits,
    forward: PurposeLimits,
    replication: PurposeLimits,
    control: PurposeLimits,
    /// When a refusal was logged last.
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
    /// Lets a connection through.
    ///
    /// # Errors
    /// Why there is no place for it, to be told to who connects.
    pub(super) fn enter(&self, purpose: Purpose, host: Origin) -> Result<Admitted, String> {
        let limits = match purpose {
            Purpose::Api => &self.api,
            Purpose::Forward => &self.forward,
            Purpose::Replication | Purpose::Snapshot => &self.replication,
            Purpose::Control | Purpose::Joining => &self.control,
        };
        limits.enter(host)
    }

    /// Logs that somebody was sent away; now and then, since anybody can make it happen.
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

/// A connection that was let through. Its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The room for its host's calls.
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
            // There are no more of them that are connected.
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
