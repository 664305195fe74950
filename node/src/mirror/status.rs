//! The status of the mirror, for metrics.

use std::sync::Mutex;

/// A snapshot of the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MirrorView {
    /// Whether this node writes to Redis now: it leads and is connected.
    pub writes: bool,
    /// Number of entries that this node has appended to the stream of events.
    pub appended: u64,
    /// Number of gap entries among them.
    pub gaps: u64,
    /// The current problem, if any.
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

    /// Records a problem; returns whether it is a new one and worth logging.
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
