//! Writes pending records to disk.

use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;

use super::{Ledger, Shared};
use crate::budget::BudgetError;

impl Ledger {
    /// Starts a writer on a blocking thread, or writes at once if there is no runtime.
    pub(super) fn spawn_writer(&self) {
        let shared = Arc::clone(&self.shared);
        match Handle::try_current() {
            Ok(_runtime) => self.shared.work.start(move || shared.write_pending()),
            Err(_no_runtime) => shared.write_pending(),
        }
    }
}

impl Shared {
    /// Writes until there are no pending records. Records queued during one sync are written by the next.
    fn write_pending(&self) {
        loop {
            let pending_records = self.lock().take_pending();
            if pending_records.is_empty() {
                return;
            }
            let reserved: Vec<_> = pending_records.iter().filter_map(|record| record.reserves).collect();
            let records = pending_records.into_iter().map(|record| (record.key, record.kept)).collect();
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            let written: Result<(), BudgetError> = journal.append(records, &self.time);
            drop(journal);
            let mut core = self.lock();
            match written {
                Ok(()) => core.written(reserved.into_iter()),
                Err(error) => {
                    tracing::error!(%error, "budgets can no longer be written down: nothing is sent any more");
                    core.stop(error);
                    return;
                }
            }
        }
    }
}
