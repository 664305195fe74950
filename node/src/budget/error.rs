//! Errors of the budget journal.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why budgets cannot be stored. Nothing is sent then, because a request that was not recorded could exceed a
/// limit later.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The file exists but cannot be read.
    #[error("cannot read the budgets' file {path}: {source}; check its owner and the disk", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the budgets' file {path}: {source}; make room or check the disk, and start again",
        path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file was written by a newer version of this program.
    #[error("the budgets' file {path} has format {found:?}, newer than format '1' of this program; use the newer \
        program, or move the file away after all windows have ended", path = path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: char,
    },
    /// An earlier write failed.
    #[error("budgets are no longer kept, so nothing is sent: {0}")]
    Stopped(Arc<BudgetError>),
}
