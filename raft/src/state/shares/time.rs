//! Time that never runs faster than the real one.

use serde::{Deserialize, Serialize};

/// A moment by a leader's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// The leader's term, read before the clock.
    pub term: u64,
    /// A number that identifies the leader's process.
    pub process: u64,
    /// The clock, ms.
    pub at: u64,
}

/// The time by which windows end.
///
/// Cluster time (TWM-T1) does not go back, but it can jump ahead: a leader that follows another one goes on from what
/// it has applied, which is behind by the time that nothing was written, and a leader of earlier returns with its own
/// reckoning. A window that ends by such a jump would be believed to be over while it is not. Therefore this time
/// advances only between two moments of one leader, by what its monotonic clock shows. What passes between two leaders
/// is not counted: windows end late, never early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ShareTime {
    now: u64,
    last: Moment,
}

impl ShareTime {
    /// Milliseconds since the first moment.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// A command was stamped with this moment.
    pub(super) fn advance(&mut self, moment: Moment) {
        let Moment { term, process, at } = self.last;
        if (moment.term, moment.process) == (term, process) {
            self.now = self.now.saturating_add(moment.at.saturating_sub(at));
            self.last.at = at.max(moment.at);
        } else if moment.term >= term {
            self.last = moment;
        }
        // A leader that was deposed stamped this before others led: what it measures is counted already.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(term: u64, process: u64, at: u64) -> Moment {
        Moment { term, process, at }
    }

    #[test]
    fn time_advances_by_the_clock_of_one_leader_and_stands_between_two() {
        let mut time = ShareTime::default();
        for (moment, now) in [
            (moment(1, 10, 5_000), 0),
            (moment(1, 10, 5_300), 300),
            (moment(1, 10, 5_200), 300),
            (moment(1, 10, 5_400), 400),
            // Another leader, whose clock shows anything.
            (moment(2, 20, 90), 400),
            (moment(2, 20, 190), 500),
            // The first one leads again, an hour later by its clock.
            (moment(3, 10, 3_605_400), 500),
            (moment(3, 10, 3_605_500), 600),
            // It was started again and still leads.
            (moment(3, 11, 0), 600),
            (moment(3, 11, 1_000), 1_600),
        ] {
            time.advance(moment);
            assert_eq!(time.now(), now, "{moment:?}");
        }
    }

    #[test]
    fn a_command_that_a_deposed_leader_stamped_earlier_moves_nothing() {
        let mut time = ShareTime::default();
        time.advance(moment(1, 10, 1_000));
        time.advance(moment(2, 20, 500));
        time.advance(moment(1, 10, 1_100));
        time.advance(moment(2, 20, 600));
        assert_eq!(time.now(), 100);
    }
}
