//! Checks whether a history of calls is linearizable (Herlihy and Wing, 1990): whether each call could have happened
//! at one moment between its beginning and its end.
//!
//! The search is that of Wing and Gong (1993) with the cache of Lowe (2017), as in porcupine: calls are taken one
//! after the other, each of which must have begun before any other remaining one has ended, and no set of calls is
//! examined twice in one state.

use std::collections::HashSet;
use std::hash::Hash;

/// An object on which calls are made one at a time.
pub(super) trait Object {
    type Call;
    type State: Clone + Eq + Hash;

    fn first(&self) -> Self::State;

    /// The possible states of the object after a call with this answer; none if it cannot have been answered like
    /// this. A call without an answer can always be made.
    fn after(&self, state: &Self::State, call: &Self::Call) -> Vec<Self::State>;
}

/// A call with its beginning and its end, in the order of all beginnings and ends. Without an end it was not
/// answered: it may have happened at any time since, or never.
#[derive(Debug, Clone)]
pub(super) struct Timed<Call> {
    pub(super) call: Call,
    pub(super) begun: u64,
    pub(super) ended: Option<u64>,
}

/// Which calls have happened, one bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn with(&self, at: usize) -> Self {
        let mut more = self.clone();
        more.0[at / 64] |= 1 << (at % 64);
        more
    }
}

pub(super) fn is_linearizable<O: Object>(object: &O, history: &[Timed<O::Call>]) -> bool {
    let none = Done(vec![0; history.len().div_ceil(64)]);
    let mut known = HashSet::new();
    let mut open = vec![(none, object.first())];
    while let Some((done, state)) = open.pop() {
        let left = || history.iter().enumerate().filter(|(at, _)| !done.has(*at));
        let Some(first_end) = left().filter_map(|(_, timed)| timed.ended).min() else { return true };
        for (at, timed) in left().filter(|(_, timed)| timed.begun < first_end) {
            for next in object.after(&state, &timed.call) {
                let next = (done.with(at), next);
                if known.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use storage::env::{Entropy, SeededEntropy};

    use super::*;

    /// A number that is written and read.
    struct Register;

    #[derive(Debug, Clone, Copy)]
    enum Access {
        Write(u64),
        Read(u64),
    }

    impl Object for Register {
        type Call = Access;
        type State = u64;

        fn first(&self) -> u64 {
            0
        }

        fn after(&self, state: &u64, call: &Access) -> Vec<u64> {
            match *call {
                Access::Write(number) => vec![number],
                Access::Read(number) if number == *state => vec![number],
                Access::Read(_) => Vec::new(),
            }
        }
    }

    /// Tries every order of every choice of the unanswered calls.
    fn by_all_orders(history: &[Timed<Access>], taken: &[usize], state: u64) -> bool {
        let missing = |at: usize| history[at].ended.is_some() && !taken.contains(&at);
        if (0..history.len()).all(|at| !missing(at)) {
            return true;
        }
        for at in 0..history.len() {
            let too_early = (0..history.len())
                .any(|other| missing(other) && history[other].ended < Some(history[at].begun));
            if taken.contains(&at) || too_early {
                continue;
            }
            for next in Register.after(&state, &history[at].call) {
                let found = by_all_orders(history, &[taken, &[at]].concat(), next);
                if found {
                    return true;
                }
            }
        }
        false
    }

    #[test]
    fn finds_an_order_exactly_where_there_is_one() {
        let (mut orders, mut none) = (0, 0);
        for seed in 0..3_000 {
            let dice = SeededEntropy::new(seed);
            let mut moments: Vec<u64> = (0..12).collect();
            let mut history = Vec::new();
            for _ in 0..6 {
                let mut draw = || moments.swap_remove(dice.next_u64() as usize % moments.len());
                let (one, other) = (draw(), draw());
                let number = dice.next_u64() % 3;
                let call =
                    if dice.next_u64() % 2 == 0 { Access::Write(number) } else { Access::Read(number) };
                let answered = dice.next_u64() % 5 > 0;
                // A read without an answer means nothing.
                let call = if answered { call } else { Access::Write(number) };
                history.push(Timed {
                    call,
                    begun: one.min(other),
                    ended: answered.then_some(one.max(other)),
                });
            }
            let expected = by_all_orders(&history, &[], 0);
            assert_eq!(is_linearizable(&Register, &history), expected, "seed {seed}: {history:?}");
            *(if expected { &mut orders } else { &mut none }) += 1;
        }
        assert!(orders > 500 && none > 500, "{orders} with an order, {none} without");
    }

    #[test]
    fn a_write_that_happens_twice_has_no_order() {
        let timed = |call, begun, ended| Timed { call, begun, ended: Some(ended) };
        let history = [
            timed(Access::Write(1), 0, 9),
            timed(Access::Read(1), 1, 2),
            timed(Access::Write(2), 3, 4),
            timed(Access::Read(2), 5, 6),
        ];
        assert!(is_linearizable(&Register, &history));
        let again = timed(Access::Read(1), 7, 8);
        assert!(!is_linearizable(&Register, &[&history[..], &[again]].concat()));
    }
}
