//! Bounds the memory of calls.
//!
//! A frame is read only once there is memory for it and for its decoded value, so that peers cannot make a node's
//! memory grow without bound. Each host has a share: one that uses up its own does not affect other hosts.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in units of this many bytes.
const UNIT: usize = 1024;

/// The memory for one host's calls, within that for all hosts. Clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    host: Arc<Semaphore>,
    all: Arc<Semaphore>,
    /// Most units in one reservation: half of the host's.
    most: u32,
}

/// A reservation, released on drop.
#[derive(Debug)]
pub struct Held {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl ByteBudget {
    /// A budget of `bytes` for one more host, within `all` (see [`ByteBudget::of_all`]).
    pub fn of_host(bytes: usize, all: Arc<Semaphore>) -> Self {
        let units = (bytes / UNIT).min(u32::MAX as usize);
        Self { host: Arc::new(Semaphore::new(units)), all, most: units as u32 / 2 }
    }

    /// A budget of `bytes` for all hosts.
    pub fn of_all(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(bytes / UNIT))
    }

    /// Waits for memory, first from the host's own share, so that a host without any left does not queue ahead of
    /// others. A reservation is capped at half of the host's share, so that another call can proceed beside the
    /// largest.
    ///
    /// Returns `None` when the node stops.
    pub(super) async fn take(self, bytes: usize) -> Option<Held> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.most);
        let host = self.host.acquire_many_owned(units).await.ok()?;
        let all = self.all.acquire_many_owned(units).await.ok()?;
        Some(Held { _host: host, _all: all })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_host_that_holds_all_of_its_room_waits_and_another_does_not() {
        let all = ByteBudget::of_all(64 << 10);
        let (one, other) =
            (ByteBudget::of_host(16 << 10, all.clone()), ByteBudget::of_host(16 << 10, all.clone()));
        let take = |budget: &ByteBudget, bytes| budget.clone().take(bytes).now_or_never().flatten();
        let first = take(&one, 8 << 10).unwrap();
        // A larger reservation is cut to half.
        let second = take(&one, 1 << 30).unwrap();
        assert!(take(&one, 1).is_none());
        assert!(take(&other, 8 << 10).is_some());
        drop(first);
        assert!(take(&one, 8 << 10).is_some());
        drop(second);
        assert_eq!(all.available_permits(), 64);
    }

    #[test]
    fn hosts_share_what_there_is_for_all() {
        let all = ByteBudget::of_all(4 << 10);
        let one = ByteBudget::of_host(8 << 10, all.clone());
        let held = one.clone().take(4 << 10).now_or_never().flatten().unwrap();
        let other = ByteBudget::of_host(8 << 10, all);
        assert!(other.clone().take(1).now_or_never().is_none());
        drop(held);
        assert!(other.take(1).now_or_never().is_some());
    }
}
