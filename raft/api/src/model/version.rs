//! The cluster's version.
//!
//! The version is part of the replicated state. What a command does is decided by it, never by the program that applies
//! it: replicas that run two releases during an upgrade do the same. It rises when all members can.

/// The version of a new cluster. Every program knows it.
pub const FIRST_CLUSTER_VERSION: u32 = 1;

/// The newest version that this program knows.
///
/// - 1: the first release.
/// - 2: crawls can be deleted.
/// - 3: an attempt of a call that is carried out late undoes nothing: [`Write`](super::Write)s that could have a request
///   id, and [openings of sessions](super::OpenSession::incarnation) an order.
pub const CLUSTER_VERSION: u32 = 3;
