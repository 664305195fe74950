//! Why the emulator does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the emulator does not start, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The address is in use or not local.
    #[error(
        "cannot listen on {address}: {source}; choose another address with --listen, port 0 picks a free one"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
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
        /// What the system said.
        source: io::Error,
    },
    /// A file of the dataset holds something else than it should.
    #[error("{path}, line {line}: {reason}; repair or remove the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the dataset is wrong as a whole.
    #[error("{path}: {reason}")]
    Dataset {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
}

impl EmulatorError {
    pub(super) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}
