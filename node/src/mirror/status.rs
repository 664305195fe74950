//! How the mirror is, for metrics.

use std::sync::Mutex;

/// A mirror at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MirrorView {
    /// Whether this node writes to Redis now: it leads and is connected.
    pub writes: bool,
    /// Entries that this node has appended to the stream of events.
    pub appended: u64,
    /// Gaps that it had to leave.
    pub gaps: u64,
    /// What is wrong; absent when nothing is.
    pub trouble: Option<String>,
}

/// Shared by those who write and those who look.
#[derive(Debug, Default)]
pub(super) struct MirrorStatus(Mutex<MirrorView>);

impl MirrorStatus {
    pub(super) fn view(&self) -> MirrorView {
        self.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut MirrorView)) {
        change(&mut self.lock());
    }

    /// Notes trouble; whether it is another one than before, and worth a line in the log.
    pub(super) fn trouble(&self, what: &str) -> bool {
        let mut view = self.lock();
        view.writes = false;
        let new = view.trouble.as_deref() != Some(what);
        view.trouble = Some(what.to_owned());
        new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, MirrorView> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}
