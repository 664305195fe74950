//! What is simulated, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::state::JobPlace;

use super::faults::Fault;
use super::trace::TraceDigest;
use super::workforce::Workforce;

/// What a simulation is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// Nodes at the beginning, of which three vote: 3, 5 or 7 make sense.
    pub nodes: u64,
    /// Steps of [`STEP`](super::STEP) with faults.
    pub steps: u64,
    /// A folder for the small files of the nodes; it must be empty.
    pub folder: PathBuf,
    /// Faults, counted from 0, that do not happen.
    pub without: BTreeSet<u64>,
    /// A file for all messages and deeds.
    pub trace: Option<PathBuf>,
    /// Who works for the nodes; without it, workers that draw what they find.
    pub workforce: Option<Arc<dyn Workforce>>,
}

/// What came of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What broke.
    pub failure: Option<String>,
    /// Everything that happened, in short.
    pub digest: TraceDigest,
    /// How long was simulated.
    pub simulated: Duration,
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, u64>,
    /// Numbers of the faults that were drawn, those that were left out among them.
    pub drawn: u64,
    /// How often a fault met a job there: a job of the node that it befell, or one that no node has.
    pub met: BTreeMap<(Fault, JobPlace), u64>,
    /// Calls of operators that were answered.
    pub calls: u64,
    /// Crawls at the end, and accounts in final states.
    pub crawls: u64,
    /// Accounts that reached a final state.
    pub accounts: u64,
    /// What operators and faults did.
    pub deeds: Vec<String>,
    /// The newest messages.
    pub messages: Vec<String>,
}

impl Outcome {
    /// Of a simulation that panicked.
    pub fn panicked(why: String) -> Self {
        Self {
            failure: Some(format!("it panicked: {why}")),
            digest: TraceDigest { lines: 0, digest: 0 },
            simulated: Duration::ZERO,
            faults: BTreeMap::new(),
            drawn: 0,
            met: BTreeMap::new(),
            calls: 0,
            crawls: 0,
            accounts: 0,
            deeds: Vec::new(),
            messages: Vec::new(),
        }
    }
}
