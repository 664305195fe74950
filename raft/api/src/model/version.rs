//! The cluster's version.
//!
//! The version is part of the replicated state. It alone decides what a command does, never the program that applies
//! it, so that replicas that run two releases during an upgrade agree. It rises when all members support the next
//! one.

/// The version of a new cluster. Every program supports it.
pub const FIRST_CLUSTER_VERSION: u32 = 1;

/// The newest version that this program supports.
///
/// - 1: the first release.
/// - 2: crawls can be deleted.
/// - 3: late attempts of a call undo nothing: [`Write`](super::Write)s have request ids where they need one, and
///   [requests to open a session](super::OpenSession::incarnation) are ordered.
/// - 4: analyses of crawls that are created from then on write files, the profiles that they look up.
/// - 5: crawls of other sources than the default one.
/// - 6: money is counted, and crawls can have a limit of it; budgets belong to the cluster; jobs wait for hosts.
pub const CLUSTER_VERSION: u32 = 6;
