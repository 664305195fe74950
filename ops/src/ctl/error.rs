//! Errors of commands and their exit codes.

use std::io;

use api::client::ClientError;

use super::targets::ListError;

/// Why a command failed. [`CtlError::exit_code`] is the process's exit code.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// The cluster refused or cannot be reached.
    #[error(transparent)]
    Cluster(#[from] ClientError),
    /// A list of accounts cannot be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// A file or stream failed.
    #[error("{what}: {source}")]
    Io {
        /// The action and the file.
        what: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The flags contradict each other or name something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// The command was carried out but failed.
    #[error("{0}")]
    Failed(String),
    /// The cluster answers but is unhealthy.
    #[error("{0}")]
    Unhealthy(String),
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The reader of our output closed it, as `head` does: the rest is not needed.
    #[error("the reader of the output went away")]
    ReaderGone,
}

impl CtlError {
    /// Wraps a failed file operation; `what` names the operation and the file.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The process's exit code: 0 success, 1 failed, 2 usage, 4 unreachable, 5 unhealthy, and 130 for an
    /// interrupt, as in shells.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Usage(_) => 2,
            Self::Cluster(ClientError::Unreachable { .. }) => 4,
            Self::Unhealthy(_) => 5,
            Self::Interrupted => 130,
            Self::Cluster(_) | Self::List(_) | Self::Io { .. } | Self::Failed(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let unreachable = ClientError::Unreachable {
            timeout: Duration::from_secs(1),
            endpoints: "a:1".into(),
            trouble: "refused".into(),
        };
        assert_eq!(CtlError::from(unreachable).exit_code(), 4);
        assert_eq!(CtlError::Usage("x".into()).exit_code(), 2);
        assert_eq!(CtlError::Unhealthy("x".into()).exit_code(), 5);
        assert_eq!(CtlError::Failed("x".into()).exit_code(), 1);
        assert_eq!(CtlError::ReaderGone.exit_code(), 0);
    }
}
