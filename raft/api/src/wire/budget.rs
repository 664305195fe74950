//! How many bytes calls may take in memory.
//!
//! A frame is read only once there is room for it and for what it is decoded to, so that what others send never makes
//! a node's memory grow without bound. Each host has a part of the whole: one that takes all of its own keeps no other
//! host out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is counted in units of so many bytes.
const UNIT: usize = 1024;

/// The room for what one host's calls take, within the room for those of all hosts. Clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    host: Arc<Semaphore>,
    all: Arc<Semaphore>,
    /// Most units that are taken at once: half of the host's.
    most: u32,
}

/// Room that was taken. It is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl ByteBudget {
    /// Room for `bytes` of one more host, within `all` (see [`ByteBudget::of_all`]).
    pub fn of_host(bytes: usize, all: Arc<Semaphore>) -> Self {
        let units = (bytes / UNIT).min(u32::MAX as usize);
        Self { host: Arc::new(Semaphore::new(units)), all, most: units as u32 / 2 }
    }

    /// Room for `bytes` of all hosts.
    pub fn of_all(bytes: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(bytes / UNIT))
    }

    /// Waits for room, first for the host's own: who has none waits without standing before others. More than half of
    /// the host's is never taken, so that one call goes on beside the largest.
    ///
    /// Returns nothing when the node stops.
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
        // More than half is cut to half.
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
