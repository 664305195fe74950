//! Observations of a run, and its report.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use tokio::time::Instant;

use crate::emulator::Stats;

use super::Arguments;
use super::fault::Fault;
use super::hub::Host;
use super::ledger::Ledger;

/// Number of last events that are shown of a failed run.
const SHOWN: usize = 30;

/// What was seen.
pub(super) struct Seen {
    begun: Instant,
    faults: BTreeMap<Fault, u64>,
    /// Events of the run, with their times.
    deeds: Vec<String>,
    /// Exits of processes, by reason.
    exits: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
    rolls: [u64; 2],
    /// Violations.
    pub(super) wrong: Vec<String>,
    /// Results of the final comparison.
    pub(super) compared: Vec<String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            faults: BTreeMap::new(),
            deeds: Vec::new(),
            exits: BTreeMap::new(),
            refusals: BTreeMap::new(),
            rolls: [0; 2],
            wrong: Vec::new(),
            compared: Vec::new(),
        }
    }
}

impl Seen {
    pub(super) fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    pub(super) fn deed(&mut self, what: &str) {
        self.deeds.push(format!("{:8.2} s {what}", self.begun.elapsed().as_secs_f64()));
    }

    pub(super) fn fault(&mut self, fault: Fault, victim: Host) {
        *self.faults.entry(fault).or_default() += 1;
        self.deed(&format!("{fault:?}, node {victim}"));
    }

    pub(super) fn refused(&mut self, what: &str) {
        self.deed(&format!("refused: {what}"));
        *self.refusals.entry(without_numbers(what)).or_default() += 1;
    }

    pub(super) fn rolled(&mut self, well: bool) {
        self.deed(&format!("the rolling restart ended {}", if well { "well" } else { "before its end" }));
        self.rolls[usize::from(well)] += 1;
    }

    /// Records the exit of a process that was not killed.
    pub(super) fn exit(&mut self, host: Host, exit: ExitStatus, words: &str, tolerated: bool) {
        let why = match words.lines().rev().find(|line| line.contains("ERROR")).or(words.lines().last()) {
            _ if exit.success() => "it was asked to",
            Some(line) => line.split_once("ERROR").map_or(line, |(_, why)| why).trim(),
            None => "it said nothing",
        };
        self.deed(&format!("node {host} ended with {exit}: {why}"));
        *self.exits.entry(without_numbers(why)).or_default() += 1;
        if !tolerated || words.contains("panicked at") || why.contains("broken invariant") {
            self.wrong.push(format!("node {host} ended with {exit}: {why}"));
        }
    }

    pub(super) fn panics(&mut self, host: Host, log: &str) {
        let panic = log.lines().find(|line| line.contains("panicked at"));
        self.wrong.extend(panic.map(|panic| format!("node {host} panicked: {panic}")));
    }

    pub(super) fn print(&self, arguments: &Arguments, ledger: &Ledger, stats: &Stats) {
        println!("| what happened | times |\n|---|---|");
        for (fault, _, what) in Fault::ALL {
            println!("| {what} | {} |", self.faults.get(fault).copied().unwrap_or_default());
        }
        let entries = ledger.entries();
        println!(
            "\n{} faults in {:.0} s, {} nodes, seed {}:",
            self.faults(),
            self.begun.elapsed().as_secs_f64(),
            arguments.nodes,
            arguments.seed
        );
        println!(
            "  {} calls of operators acknowledged or answered, {} refused, {} without an answer; the longest time in which none was answered {:.1} s",
            entries.acknowledged,
            entries.refused,
            entries.unanswered,
            entries.longest_silence.as_secs_f64()
        );
        println!(
            "  {} requests to the API, {} of them beyond a budget; answers {:?}, faults {:?}",
            stats.total_requests(),
            stats.total_violations(),
            stats.statuses,
            stats.faults
        );
        println!("  {} rolling restarts went through, {} were given up", self.rolls[1], self.rolls[0]);
        self.compared.iter().for_each(|what| println!("  {what}"));
        for (name, what) in
            [("ends of processes that nobody killed", &self.exits), ("refusals", &self.refusals)]
        {
            println!("  {name}: {}", if what.is_empty() { "none" } else { "" });
            what.iter().for_each(|(why, times)| println!("    {times:4} {why}"));
        }
        if self.wrong.is_empty() {
            println!("nothing was lost, doubled or stuck");
            return;
        }
        println!("\nwhat happened last:");
        self.deeds[self.deeds.len().saturating_sub(SHOWN)..].iter().for_each(|deed| println!("{deed}"));
        println!("\nWRONG:");
        self.wrong.iter().for_each(|wrong| println!("  {wrong}"));
    }
}

/// Makes equal reasons with different numbers equal.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(200) {
        match (c.is_ascii_digit(), out.ends_with('#')) {
            (true, true) => {}
            (true, false) => out.push('#'),
            (false, _) => out.push(c),
        }
    }
    out
}
