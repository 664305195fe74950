//! Connections that have not said who they are.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Such connections at most. A greeting comes with the first packets: who is among the oldest of so many sends none.
const ROOM: usize = 256;

/// The connections that have not greeted yet, oldest first. One too many sends the oldest away, so that no number of
/// silent ones keeps a peer out or takes all file descriptors.
#[derive(Default)]
pub(super) struct Lobby {
    waiting: Mutex<VecDeque<CancellationToken>>,
}

impl Lobby {
    fn lock(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in. It has to leave when the token is cancelled, and cancels it once it has greeted.
    pub(super) fn enter(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut waiting = self.lock();
        waiting.retain(|token| !token.is_cancelled());
        if waiting.len() >= ROOM {
            if let Some(oldest) = waiting.pop_front() {
                oldest.cancel();
            }
        }
        waiting.push_back(token.clone());
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_who_has_greeted_needs_none() {
        let lobby = Lobby::default();
        let greeted = lobby.enter();
        let first: Vec<_> = (1..ROOM).map(|_| lobby.enter()).collect();
        greeted.cancel();
        let last = lobby.enter();
        assert!(first.iter().all(|token| !token.is_cancelled()));
        let one_more = lobby.enter();
        assert!(first[0].is_cancelled() && !first[1].is_cancelled());
        assert!(!last.is_cancelled() && !one_more.is_cancelled());
    }
}
