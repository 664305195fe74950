//! The trace of a simulated world.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most recent lines kept.
const KEPT: usize = 2_000;

/// The trace. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    now: Duration,
    digest: crc32fast::Hasher,
    count: u64,
    newest: std::collections::VecDeque<String>,
    /// Actions of operators and faults, which are few.
    deeds: Vec<String>,
    /// A file for all lines.
    file: Option<BufWriter<File>>,
}

/// A digest of the trace: equal for two runs that did the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceDigest {
    /// Number of lines.
    pub lines: u64,
    /// Their checksum.
    pub digest: u32,
}

impl Trace {
    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all lines to a file, too.
    pub(super) fn write_to(&self, path: &Path) -> std::io::Result<()> {
        self.lines().file = Some(BufWriter::new(File::create(path)?));
        Ok(())
    }

    pub(super) fn advance_to(&self, now: Duration) {
        self.lines().now = now;
    }

    /// Notes a message.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let mut lines = self.lines();
        let line = format!("{} {what}", lines.now.as_micros());
        lines.digest.update(line.as_bytes());
        lines.count += 1;
        if let Some(Err(error)) = lines.file.as_mut().map(|file| writeln!(file, "{line}")) {
            eprintln!("the trace is not written any more: {error}");
            lines.file = None;
        }
        if lines.newest.len() == KEPT {
            lines.newest.pop_front();
        }
        lines.newest.push_back(line);
    }

    /// Records an action or a failure.
    pub(super) fn deed(&self, what: fmt::Arguments<'_>) {
        self.note(what);
        let mut lines = self.lines();
        let deed = format!("{:9.3} s  {what}", lines.now.as_secs_f64());
        lines.deeds.push(deed);
    }

    pub(super) fn digest(&self) -> TraceDigest {
        let lines = self.lines();
        TraceDigest { lines: lines.count, digest: lines.digest.clone().finalize() }
    }

    /// The actions, and the newest messages.
    pub(super) fn told(&self) -> (Vec<String>, Vec<String>) {
        let lines = self.lines();
        (lines.deeds.clone(), lines.newest.iter().cloned().collect())
    }
}
