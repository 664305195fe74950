//! The history of the operators' calls, and whether it is linearizable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use storage::ids::UserId;

use crate::model::{CrawlId, CrawlPhase, CrawlView, NodeId};

use super::linear::{Object, Timed, is_linearizable};

/// Most calls printed with a contradiction.
const TOLD: usize = 8;

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was done, for this number of accounts if it counts them.
    Done(u64),
    Refused,
    /// Nobody knows.
    Nothing,
}

/// A call about one crawl.
#[derive(Debug, Clone)]
pub(super) enum CrawlCall {
    Add { chunk: u64, told: Told },
    Seal(Told),
    Pause(Told),
    Resume(Told),
    Cancel(Told),
    Retry(Told),
    Read { phase: CrawlPhase, chunks: u64, accepted: u64 },
}

/// One crawl, as operators see it.
#[derive(Default, Debug, Clone)]
struct Crawl {
    /// The chunks of its targets.
    chunks: Vec<BTreeSet<UserId>>,
    /// Whether they are all of its accounts.
    targets_alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct CrawlState {
    chunks: u64,
    sealed: bool,
    paused: bool,
    cancelled: bool,
    /// It finishes by itself at any time after it was sealed.
    finished: bool,
}

impl CrawlState {
    fn phase(self) -> CrawlPhase {
        match self {
            Self { cancelled: true, .. } => CrawlPhase::Cancelled,
            Self { finished: true, .. } => CrawlPhase::Finished,
            Self { paused: true, .. } => CrawlPhase::Paused,
            Self { sealed: true, .. } => CrawlPhase::Running,
            _ => CrawlPhase::Loading,
        }
    }

    /// As it is, or finished meanwhile.
    fn meanwhile(self) -> impl Iterator<Item = Self> {
        let finishes = self.sealed && !self.cancelled && !self.finished;
        [Some(self), finishes.then_some(Self { finished: true, ..self })].into_iter().flatten()
    }
}

impl Crawl {
    /// Number of accounts in the first chunks.
    fn accounts(&self, chunks: u64) -> u64 {
        let first = self.chunks.iter().take(chunks as usize).flatten();
        first.collect::<BTreeSet<_>>().len() as u64
    }

    /// The effect of a change on a crawl in this state: its answer, and the next state.
    fn change(&self, state: CrawlState, call: &CrawlCall) -> (Told, CrawlState) {
        let over = state.cancelled || state.finished;
        // A finished crawl accepts changes without effect.
        let changed = |change: CrawlState| match state {
            CrawlState { cancelled: true, .. } => (Told::Refused, state),
            CrawlState { finished: true, .. } => (Told::Done(0), state),
            _ => (Told::Done(0), change),
        };
        match *call {
            CrawlCall::Add { chunk, .. } if chunk < state.chunks => {
                let is_last = chunk + 1 == state.chunks;
                let accepted = self.accounts(chunk + 1) - self.accounts(chunk);
                (Told::Done(if is_last { accepted } else { 0 }), state)
            }
            CrawlCall::Add { chunk, .. } if state.sealed || over || chunk > state.chunks => {
                (Told::Refused, state)
            }
            CrawlCall::Add { chunk, .. } => {
                let accepted = self.accounts(chunk + 1) - self.accounts(chunk);
                (Told::Done(accepted), CrawlState { chunks: state.chunks + 1, ..state })
            }
            CrawlCall::Seal(_) => changed(CrawlState { sealed: true, ..state }),
            CrawlCall::Pause(_) => changed(CrawlState { paused: true, ..state }),
            CrawlCall::Resume(_) => changed(CrawlState { paused: false, ..state }),
            CrawlCall::Cancel(_) if state.cancelled => (Told::Done(0), state),
            CrawlCall::Cancel(_) if state.finished => (Told::Refused, state),
            CrawlCall::Cancel(_) => (Told::Done(0), CrawlState { cancelled: true, ..state }),
            CrawlCall::Retry(_) | CrawlCall::Read { .. } => (Told::Nothing, state),
        }
    }
}

impl Object for Crawl {
    type Call = CrawlCall;
    type State = CrawlState;

    fn first(&self) -> CrawlState {
        CrawlState::default()
    }

    fn after(&self, state: &CrawlState, call: &CrawlCall) -> Vec<CrawlState> {
        let mut states = Vec::new();
        for state in state.meanwhile() {
            match *call {
                CrawlCall::Read { phase, chunks, accepted } => {
                    let counted = !self.targets_alone || accepted == self.accounts(chunks);
                    if state.phase() == phase && state.chunks == chunks && counted {
                        states.push(state);
                    }
                }
                // Who failed is up to the workers.
                CrawlCall::Retry(Told::Done(0)) if !state.cancelled => states.push(state),
                CrawlCall::Retry(Told::Done(_)) if !state.cancelled => {
                    states.push(CrawlState { finished: false, ..state });
                }
                CrawlCall::Retry(Told::Done(_)) => {}
                CrawlCall::Retry(Told::Refused) => states.extend(state.cancelled.then_some(state)),
                CrawlCall::Retry(Told::Nothing) => {
                    states.extend([state, CrawlState { finished: false, ..state }]);
                }
                CrawlCall::Add { told, .. }
                | CrawlCall::Seal(told)
                | CrawlCall::Pause(told)
                | CrawlCall::Resume(told)
                | CrawlCall::Cancel(told) => {
                    let (answer, after) = self.change(state, call);
                    if told == Told::Nothing || told == answer {
                        states.push(after);
                    }
                }
            }
        }
        states
    }
}

/// Whether a node is drained.
struct Drained;

#[derive(Debug, Clone, Copy)]
enum DrainCall {
    Set(bool),
    Read(bool),
}

impl Object for Drained {
    type Call = DrainCall;
    type State = bool;

    fn first(&self) -> bool {
        false
    }

    fn after(&self, state: &bool, call: &DrainCall) -> Vec<bool> {
        match *call {
            DrainCall::Set(drained) => vec![drained],
            DrainCall::Read(drained) if drained == *state => vec![drained],
            DrainCall::Read(_) => Vec::new(),
        }
    }
}

/// Numbers of crawls, in order of creation.
struct Numbers;

impl Object for Numbers {
    /// The number returned; absent without an answer.
    type Call = Option<CrawlId>;
    type State = u64;

    fn first(&self) -> u64 {
        0
    }

    fn after(&self, last: &u64, call: &Option<CrawlId>) -> Vec<u64> {
        let next = last + 1;
        if call.is_none_or(|told| told.0 == next) { vec![next] } else { Vec::new() }
    }
}

/// All calls of operators.
#[derive(Default)]
pub(super) struct History {
    moments: u64,
    created: Vec<Timed<Option<CrawlId>>>,
    crawls: BTreeMap<CrawlId, (Crawl, Vec<Timed<CrawlCall>>)>,
    drained: BTreeMap<NodeId, Vec<Timed<DrainCall>>>,
}

impl History {
    /// The next moment, for a beginning or an end.
    pub(super) fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// Records that a crawl is about to be created; returns the index of the call. A call that is in flight at the
    /// end may have happened, too.
    pub(super) fn creates(&mut self) -> usize {
        let begun = self.moment();
        self.created.push(Timed { call: None, begun, ended: None });
        self.created.len() - 1
    }

    /// A crawl was created.
    pub(super) fn created(&mut self, at: usize, crawl: CrawlId, targets_alone: bool) {
        let ended = Some(self.moment());
        if let Some(timed) = self.created.get_mut(at) {
            *timed = Timed { call: Some(crawl), begun: timed.begun, ended };
        }
        let object = Crawl { targets_alone, ..Crawl::default() };
        self.crawls.insert(crawl, (object, Vec::new()));
    }

    /// Records that a chunk of targets is about to be sent.
    pub(super) fn adds(&mut self, crawl: CrawlId, users: &[UserId]) {
        if let Some((object, _)) = self.crawls.get_mut(&crawl) {
            object.chunks.push(users.iter().cloned().collect());
        }
    }

    /// Records that a crawl is about to be changed; returns the index of the call.
    pub(super) fn calls(&mut self, crawl: CrawlId, call: CrawlCall) -> usize {
        let begun = self.moment();
        let Some((_, calls)) = self.crawls.get_mut(&crawl) else { return 0 };
        calls.push(Timed { call, begun, ended: None });
        calls.len() - 1
    }

    /// Records the answer to a change of a crawl, or that it was given up.
    pub(super) fn called(&mut self, at: usize, crawl: CrawlId, told: Told, call: CrawlCall) {
        let ended = (told != Told::Nothing).then(|| self.moment());
        let calls = self.crawls.get_mut(&crawl).map(|(_, calls)| calls);
        if let Some(timed) = calls.and_then(|calls| calls.get_mut(at)) {
            *timed = Timed { call, begun: timed.begun, ended };
        }
    }

    pub(super) fn read(&mut self, begun: u64, view: &CrawlView) {
        let ended = Some(self.moment());
        let (phase, chunks, accepted) = (view.phase, view.chunks[0], view.counters.users.accepted);
        if let Some((_, calls)) = self.crawls.get_mut(&view.id) {
            calls.push(Timed { call: CrawlCall::Read { phase, chunks, accepted }, begun, ended });
        }
    }

    /// Records that a node is about to be drained or undrained; returns the index of the call.
    pub(super) fn drains(&mut self, node: NodeId, drained: bool) -> usize {
        let begun = self.moment();
        let calls = self.drained.entry(node).or_default();
        calls.push(Timed { call: DrainCall::Set(drained), begun, ended: None });
        calls.len() - 1
    }

    /// That was answered.
    pub(super) fn drained(&mut self, at: usize, node: NodeId) {
        let ended = Some(self.moment());
        if let Some(timed) = self.drained.get_mut(&node).and_then(|calls| calls.get_mut(at)) {
            timed.ended = ended;
        }
    }

    pub(super) fn read_drained(&mut self, begun: u64, node: NodeId, drained: bool) {
        let ended = Some(self.moment());
        self.drained.entry(node).or_default().push(Timed { call: DrainCall::Read(drained), begun, ended });
    }

    /// A contradiction, if the history is not linearizable.
    pub(super) fn contradiction(&self) -> Option<String> {
        let created = contradiction(&Numbers, &self.created);
        let created = created.map(|calls| ("the creation of crawls".to_owned(), calls));
        let of_crawl = || {
            self.crawls.iter().find_map(|(id, (crawl, calls))| {
                Some((format!("crawl {id}, {crawl:?}"), contradiction(crawl, calls)?))
            })
        };
        let of_node = || {
            self.drained.iter().find_map(|(node, calls)| {
                Some((format!("whether node {node} is drained"), contradiction(&Drained, calls)?))
            })
        };
        let (what, calls) = created.or_else(of_crawl).or_else(of_node)?;
        Some(format!("calls fit in no order, about {what}; the last of them: {calls}"))
    }
}

/// The last calls before the first end that fits no order, if there is one.
fn contradiction<O: Object<Call: Clone + fmt::Debug>>(
    object: &O,
    history: &[Timed<O::Call>],
) -> Option<String> {
    if is_linearizable(object, history) {
        return None;
    }
    let until = |end: u64| {
        let begun = history.iter().filter(move |timed| timed.begun < end);
        // Those that ended later had not been answered then.
        let by_then =
            begun.map(move |timed| Timed { ended: timed.ended.filter(|at| *at <= end), ..timed.clone() });
        by_then.collect::<Vec<_>>()
    };
    let mut ends: Vec<u64> = history.iter().filter_map(|timed| timed.ended).collect();
    ends.sort_unstable();
    let first = ends.into_iter().map(until).find(|history| !is_linearizable(object, history))?;
    let told: Vec<String> = first.iter().rev().take(TOLD).rev().map(|timed| format!("{timed:?}")).collect();
    Some(told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_carried_out_twice_is_a_contradiction_and_its_last_calls_are_told() {
        let mut history = History::default();
        let crawl = CrawlId(1);
        let at = history.creates();
        history.created(at, crawl, true);
        let users = [UserId::Number(7), UserId::Number(9)];
        let change = |history: &mut History, call: fn(Told) -> CrawlCall| {
            let at = history.calls(crawl, call(Told::Nothing));
            history.called(at, crawl, Told::Done(0), call(Told::Done(0)));
        };
        history.adds(crawl, &users);
        let told = Told::Done(2);
        let at = history.calls(crawl, CrawlCall::Add { chunk: 0, told: Told::Nothing });
        history.called(at, crawl, told, CrawlCall::Add { chunk: 0, told });
        change(&mut history, CrawlCall::Pause);
        change(&mut history, CrawlCall::Resume);
        assert_eq!(history.contradiction(), None);
        let calls = &mut history.crawls.get_mut(&crawl).unwrap().1;
        let read = |phase| CrawlCall::Read { phase, chunks: 1, accepted: 2 };
        let later = |call, at| Timed { call, begun: at, ended: Some(at + 1) };
        calls.push(later(read(CrawlPhase::Loading), 100));
        assert_eq!(history.contradiction(), None);
        let calls = &mut history.crawls.get_mut(&crawl).unwrap().1;
        calls.push(later(read(CrawlPhase::Paused), 110));
        calls.push(later(CrawlCall::Seal(Told::Done(0)), 120));
        let told = history.contradiction().unwrap();
        assert!(told.contains("crawl 1") && told.contains("Paused") && !told.contains("Seal"), "{told}");
    }

    #[test]
    fn a_call_that_nobody_answered_may_have_happened_at_any_time_since() {
        let mut history = History::default();
        // It is in flight until the end.
        history.drains(3, true);
        for drained in [false, true, true] {
            let begun = history.moment();
            history.read_drained(begun, 3, drained);
        }
        assert_eq!(history.contradiction(), None);
        let begun = history.moment();
        history.read_drained(begun, 3, false);
        assert!(history.contradiction().unwrap().contains("node 3"));
    }

    #[test]
    fn two_crawls_have_two_numbers_in_the_order_of_their_coming() {
        for (numbers, fits) in [([1, 2], true), ([2, 1], false), ([1, 1], false)] {
            let mut history = History::default();
            for number in numbers {
                let at = history.creates();
                history.created(at, CrawlId(number), true);
            }
            assert_eq!(history.contradiction().is_none(), fits, "{numbers:?}");
        }
    }
}
