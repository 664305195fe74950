//! Errors that keep the emulator from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error that keeps the emulator from starting, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The address is in use or not local.
    #[error(
        "cannot listen on {address}: {source}; choose another address with --listen, port 0 picks a free one"
    )]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Neither a dataset nor a synthetic population was chosen.
    #[error("nothing to serve: give --dataset DIR or --synthetic USERS")]
    NoWorld,
    /// A file of the dataset cannot be read or written.
    #[error("{path}: {source}; check that the path exists and its permissions")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A line of a dataset file is invalid.
    #[error("{path}, line {line}: {reason}; repair or remove the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The problem.
        reason: String,
    },
    /// A file of the dataset is invalid as a whole.
    #[error("{path}: {reason}")]
    Dataset {
        /// The file or folder.
        path: PathBuf,
        /// The problem and its remedy.
        reason: String,
    },
    /// A setting is invalid.
    #[error("{0}")]
    Setting(String),
}

impl EmulatorError {
    pub(super) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
