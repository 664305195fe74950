//! Clusters of real processes for fault injection.
//!
//! A [`Cluster`] is a set of `twm-node`s on their own loopback addresses ([`Subnet`]), with a folder for data,
//! datasets and logs. A test kills, freezes and restarts nodes, operates them with `twm-ctl`, and compares their
//! output with the [`Truth`]. A successful test calls [`Cluster::finish`]; otherwise the folder is kept and its path
//! is printed.

mod builder;
mod datasets;
mod folder;
mod loop_disk;
mod mount;
mod node;
mod operate;
mod page;
mod program;
mod provenance;
mod roll;
mod running;
mod subnet;
mod truth;
mod wait;

pub use builder::{Builder, Output};
pub(crate) use builder::{certificates, make_certificates, tls_flags};
pub use folder::Folder;
pub use loop_disk::LoopDisk;
pub use mount::Tmpfs;
pub use node::Node;
pub use page::Page;
pub use program::Program;
pub use running::Cluster;
pub use subnet::Subnet;
pub use truth::{FileName, Truth};
pub use wait::{DEADLINE, ended, eventually};
