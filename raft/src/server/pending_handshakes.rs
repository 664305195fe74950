//! Connections that have not sent a greeting yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::admission::Origin;

/// Most such connections. A greeting comes with the first packets, so the oldest of so many will send none.
const ROOM: usize = 256;

/// Connections without a greeting, oldest first. When there are too many, the oldest one of the host with the most is
/// closed, so that idle connections can neither lock out peers nor exhaust the file descriptors.
#[derive(Default)]
pub(super) struct PendingHandshakes {
    waiting: Mutex<VecDeque<(Origin, CancellationToken)>>,
}

impl PendingHandshakes {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Origin, CancellationToken)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection. It must be closed when the token is cancelled; cancel the token after the
    /// greeting.
    pub(super) fn enter(&self, host: Origin) -> CancellationToken {
        let token = CancellationToken::new();
        let mut waiting = self.lock();
        waiting.retain(|(_, token)| !token.is_cancelled());
        if waiting.len() >= ROOM {
            if let Some((_, oldest)) = of_the_most(&waiting).and_then(|at| waiting.remove(at)) {
                oldest.cancel();
            }
        }
        waiting.push_back((host, token.clone()));
        token
    }
}

/// Index of the oldest connection of the host with the most.
fn of_the_most(waiting: &VecDeque<(Origin, CancellationToken)>) -> Option<usize> {
    let mut counts = HashMap::new();
    for (host, _) in waiting {
        *counts.entry(*host).or_insert(0usize) += 1;
    }
    let most = *counts.values().max()?;
    waiting.iter().position(|(host, _)| counts[host] == most)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn host(n: u8) -> Origin {
        Origin::of(SocketAddr::from(([10, 0, 0, n], 1)))
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_who_has_greeted_needs_none() {
        let pending = PendingHandshakes::default();
        let greeted = pending.enter(host(1));
        let first: Vec<_> = (1..ROOM).map(|_| pending.enter(host(1))).collect();
        greeted.cancel();
        let last = pending.enter(host(1));
        assert!(first.iter().all(|token| !token.is_cancelled()));
        let one_more = pending.enter(host(1));
        assert!(first[0].is_cancelled() && !first[1].is_cancelled());
        assert!(!last.is_cancelled() && !one_more.is_cancelled());
    }

    #[test]
    fn a_host_with_many_sends_away_its_own() {
        let pending = PendingHandshakes::default();
        let slow = pending.enter(host(2));
        let many: Vec<_> = (0..2 * ROOM).map(|_| pending.enter(host(66))).collect();
        assert!(!slow.is_cancelled());
        assert!(many[0].is_cancelled() && !many[2 * ROOM - 1].is_cancelled());
    }
}
