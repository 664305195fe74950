//! Whole clusters of real processes, to be shaken.
//!
//! A [`Cluster`] is some `twm-node`s on loopback addresses of its own ([`Subnet`]), with a folder for their data,
//! datasets and logs. A test kills, freezes and restarts nodes, operates them with `twm-ctl`, and compares what they
//! wrote with the [`Truth`]. A test that ends well calls [`Cluster::finish`]; after any other end the folder stays,
//! and its path is printed.

mod builder;
mod datasets;
mod folder;
mod loop_disk;
mod mount;
mod node;
mod operate;
mod page;
mod program;
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
