//! The node's side of a session: it takes jobs, reports what its workers find, and publishes drafts.
//!
//! - [`JobTracker`]: what the session needs from the replicated tracker.
//! - [`JobRunner`]: runs the jobs. A job arrives as an [`Assignment`] and ends with an [`Ending`].
//! - [`SessionLoop`]: opens a session, keeps it alive, opens a new one when it is over, and closes it when the node
//!   stops.
//! - [`JobBoard`]: the running jobs, for display.
//! - [`LeaseClock`]: how long the session's leases are certain to be valid.
//!
//! The loop runs beside Raft and does nothing that takes long; jobs and disk work run on a runtime of their own
//! (`job_runtime`), so that a busy runner never delays a heartbeat.

mod active_session;
mod assignment;
mod board;
mod job_runner;
mod jobs;
mod lease_clock;
mod leftovers;
mod publisher;
mod session_loop;
mod sharer;
mod tracker;

pub use assignment::{Assignment, Ending, Stop};
pub use board::{JobBoard, JobGauge, ShownJob};
pub use job_runner::{JobRunner, SessionView};
pub use lease_clock::LeaseClock;
pub use publisher::PublicationHook;
pub use session_loop::{SessionLoop, SessionOptions};
pub use sharer::Sharer;
pub use storage::env::Backoff;
pub use tracker::JobTracker;
