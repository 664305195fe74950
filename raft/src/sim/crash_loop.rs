//! A node that crashes and restarts again and again, and reaches other nodes each time.
//!
//! What a process forgets by a crash does harm only if others have heard of it, and only if the process then meets
//! those who have not: a lost vote, if another candidate or an older leader asks next.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::NodeId;

use super::world::World;

/// A crash loop.
pub(super) struct CrashLoop {
    node: NodeId,
    /// Its runs that are left.
    runs: VecDeque<Run>,
    /// The half of the other nodes that it reaches.
    half: bool,
    /// When it crashes next, at the latest.
    until: Duration,
    /// Whether it crashes as soon as it has voted.
    until_vote: bool,
    /// Whether a vote was being synced at the last step.
    voted: bool,
}

/// A run between two crashes.
struct Run {
    longest: Duration,
    until_vote: bool,
}

impl World {
    /// A node crashes again and again, on a slow disk.
    pub(super) fn begin_crash_loop(&mut self, node: NodeId) {
        let slower = Duration::from_millis(50 + self.below(100));
        self.node(node).disks.slow_down(slower);
        let run = |_| {
            let longest = Duration::from_millis(100 + self.below(700));
            Run { longest, until_vote: self.below(2) == 0 }
        };
        let runs = (0..3 + self.below(4)).map(run).collect();
        let half = self.below(2) == 0;
        // Another loop would undo the links of this one.
        let until = self.now;
        self.crash_loop = Some(CrashLoop { node, runs, half, until, until_vote: false, voted: false });
    }

    pub(super) fn continue_crash_loop(&mut self) {
        // The node may have been removed.
        let is_there = |id: NodeId| self.nodes.iter().any(|node| node.id == id);
        let Some(mut looping) = self.crash_loop.take().filter(|looping| is_there(looping.node)) else {
            return;
        };
        let id = looping.node;
        let votes = self.node(id).disks.syncs_a_vote();
        // For a step, so that an answer that does not wait for the sync has arrived.
        let has_voted = looping.until_vote && looping.voted && votes;
        looping.voted = votes;
        if has_voted || self.now >= looping.until {
            let Some(run) = looping.runs.pop_front() else { return };
            looping.half = !looping.half;
            (looping.until, looping.until_vote) = (self.now + run.longest, run.until_vote);
            let cause = if has_voted { "crashes after a vote" } else { "crashes" };
            self.trace.deed(format_args!("node {id} {cause}, restarts, and reaches half {}", looping.half));
            self.bridge(id, Some(looping.half));
            self.node(id).kill();
            self.node(id).start();
        }
        self.crash_loop = Some(looping);
    }

    /// Separates two halves of the nodes: `middle` reaches both, or only the first (`true`) or the second.
    pub(super) fn bridge(&self, middle: NodeId, reached: Option<bool>) {
        let others: Vec<NodeId> = self.nodes.iter().map(|node| node.id).filter(|id| *id != middle).collect();
        // By position: the middle may have the lowest or the highest number.
        let (first, second) = others.split_at(others.len() / 2);
        self.net.change_weather(|weather| {
            for (a, b) in first.iter().flat_map(|a| second.iter().map(move |b| (*a, *b))) {
                weather.cut.extend([(a, b), (b, a)]);
            }
            for (half, is_reached) in [(first, reached != Some(false)), (second, reached != Some(true))] {
                for end in half {
                    for link in [(middle, *end), (*end, middle)] {
                        match is_reached {
                            true => weather.cut.remove(&link),
                            false => weather.cut.insert(link),
                        };
                    }
                }
            }
        });
    }
}
