//! What the purse holds of one app for one crawl.

use std::collections::BTreeMap;
use std::time::Duration;

use raft::state::spend::{Share, Taken};

/// A share, and who waits for more of it.
#[derive(Default)]
pub(super) struct Held {
    pub(super) share: Share,
    /// Workers that wait, by their number.
    pub(super) waiters: BTreeMap<u64, Waiter>,
    /// When something was last taken, monotonic.
    pub(super) used: Duration,
    /// The ledger gave less than was wanted: requests have to be smaller.
    pub(super) tight: bool,
}

/// A worker that waits; amounts in millionths of the currency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) least: u64,
    pub(super) usual: u64,
}

impl Held {
    /// Takes the worst case of the usual request, or of a smaller one near a limit. Returns its worst case and size too.
    pub(super) fn take<Size>(
        &mut self,
        usual: u64,
        size: Size,
        fit: impl Fn(u64) -> Option<(Size, u64)>,
    ) -> Option<(Taken, u64, Size)> {
        if let Some(taken) = self.share.take(usual) {
            return Some((taken, usual, size));
        }
        if !self.tight {
            return None;
        }
        let (size, worst) = fit(self.share.free())?;
        let taken = self.share.take(worst)?;
        Some((taken, worst, size))
    }

    /// What to ask the ledger for: the least that is of use, and what all waiting workers would like.
    pub(super) fn wanted(&self) -> Option<(u64, u64)> {
        let least = self.waiters.values().map(|waiter| waiter.least).min()?;
        let usual = self.waiters.values().fold(0, |sum: u64, waiter| sum.saturating_add(waiter.usual));
        let lacking = usual.saturating_sub(self.share.free());
        (lacking > 0).then(|| (least.saturating_sub(self.share.free()).max(1).min(lacking), lacking))
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.share.free() == 0 && self.share.under_way() == 0 && self.waiters.is_empty()
    }
}
