//! The tracker as a running part of a node.
//!
//! [`Tracker`] is the handle that the rest of a node holds. Behind it run Raft, the listener for peers and
//! clients, the supervision of sessions, and the checkpoints.

mod admission;
mod caller;
mod calls;
mod check;
mod checkpoints;
mod cluster_clock;
mod disks;
mod events;
mod force;
mod forward;
#[cfg(debug_assertions)]
mod inspect;
mod limits;
mod listener;
mod listening;
mod member_calls;
mod members;
mod opening;
mod options;
mod pending_handshakes;
mod raft_contact;
mod read;
mod sessions;
mod source_services;
mod status;
mod term;
mod told_peers;
mod tracker;
mod wait;
mod wakeups;

pub use disks::Disks;
pub use force::{NewCluster, force_new_cluster};
#[cfg(fuzzing)]
pub(crate) use limits::check as check_limits;
pub use listening::{Bound, Host, Listen, TcpPorts};
pub use options::TrackerOptions;
pub use source_services::{CheckFollowRule, ResolveError, SourceServices};
pub use tracker::{Ended, StartError, Tracker};
