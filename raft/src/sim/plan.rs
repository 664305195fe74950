//! Plans and outcomes of simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::state::JobPlace;

use super::faults::Fault;
use super::trace::TraceDigest;
use super::workforce::Workforce;

/// The plan of a simulation.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Determines everything.
    pub seed: u64,
    /// Initial nodes, of which three vote: 3, 5 or 7.
    pub nodes: u64,
    /// Steps of [`STEP`](super::STEP) with faults.
    pub steps: u64,
    /// An empty folder for the small files of the nodes.
    pub folder: PathBuf,
    /// Faults that are skipped, counted from 0.
    pub without: BTreeSet<u64>,
    /// A file for all messages and actions.
    pub trace: Option<PathBuf>,
    /// The workers of the nodes; by default, model workers.
    pub workforce: Option<Arc<dyn Workforce>>,
}

/// The outcome of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What broke.
    pub failure: Option<String>,
    /// A digest of everything that happened.
    pub digest: TraceDigest,
    /// Simulated time.
    pub simulated: Duration,
    /// How often each fault was injected.
    pub faults: BTreeMap<Fault, u64>,
    /// Number of faults drawn, including skipped ones.
    pub drawn: u64,
    /// How often a fault coincided with a job in a place: a job of the affected node, or one without a node.
    pub met: BTreeMap<(Fault, JobPlace), u64>,
    /// Number of answered calls of operators.
    pub calls: u64,
    /// Number of crawls at the end.
    pub crawls: u64,
    /// Accounts that reached a final state.
    pub accounts: u64,
    /// The actions of operators and faults.
    pub deeds: Vec<String>,
    /// The newest messages.
    pub messages: Vec<String>,
}

impl Outcome {
    /// The outcome of a simulation that panicked.
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
