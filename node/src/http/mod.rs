//! The HTTP port: health for supervisors, metrics for Prometheus, and a page for people.
//!
//! - `GET /livez`: 200 while the process runs.
//! - `GET /readyz`: 200 when the node takes part in the cluster, its workers run, and their files can be written;
//!   otherwise 503 and the reasons. An unreachable network is reported with 200, because no other node could do
//!   better.
//! - `GET /metrics`: for Prometheus, in the OpenMetrics text format.
//! - `GET /`: the monitor for a browser; for others, what this node is and where to look.
//! - The routes of the [monitor](crate::monitor).

mod crawls;
mod exposition;
mod metrics;
mod money;
mod observation;
mod server;
#[cfg(test)]
mod tests;

pub use observation::Observation;
pub use server::{HttpPort, HttpPortError, Observe};
