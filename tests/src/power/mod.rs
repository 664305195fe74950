//! A disk whose power can be cut at any moment.
//!
//! A file system of its own (FUSE, as root) keeps what was written apart from what was synced. A cut loses any part of what
//! was not: each page of a file is as it was at some moment since it was synced, or torn between two moments at a sector; each
//! change of a name survives or not. Nothing is promised that POSIX does not: a file is durable once it was synced, and its name once the folder was.

mod content;
pub mod cuts;
mod mount;
pub mod rot;
mod rot_dataset;
mod tree;

pub use mount::PowerDisk;
