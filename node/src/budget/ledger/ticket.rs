//! Permission to send one request.

use std::fmt;

use raft::state::shares::Taken;

use super::Ledger;
use crate::rate::RateInfo;

/// Permission to send one request from one address. Dropped without [`settle`](Self::settle), its request counts as
/// sent, without an answer.
#[must_use = "a ticket that is dropped counts as a request that was sent"]
pub struct Ticket {
    ledger: Ledger,
    address: usize,
    place: Place,
    /// In the other budget that the request counts against.
    other: Option<Place>,
    settled: bool,
}

/// Where a request was taken from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// A gauge of this node.
    Own { scope: usize, gauge: usize, epoch: u32 },
    /// This node's share of a budget.
    Shared { id: u64, taken: Taken },
}

impl Ticket {
    pub(super) fn new(ledger: Ledger, address: usize, place: Place, other: Option<Place>) -> Self {
        Self { ledger, address, place, other, settled: false }
    }

    /// Index of the address to send from, in the list that the ledger was opened with.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Records the outcome of the request.
    pub fn settle(mut self, rate: &RateInfo) {
        self.settled = true;
        self.ledger.clone().settle(&self, rate);
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn other(&self) -> Option<Place> {
        self.other
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.ledger.clone().settle(self, &RateInfo::unanswered());
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("address", &self.address)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
