//! A disk whose power can be cut at any moment.
//!
//! A FUSE file system (requires root) keeps written data apart from synced data. A cut loses any part of the unsynced
//! data: each page of a file has its state at some moment since the last sync, or is torn, with sectors of different
//! moments; each change of a name survives or is lost. Only the guarantees of POSIX hold: a file is durable once it
//! was synced, and its name once the folder was synced.

mod content;
pub mod cuts;
mod mount;
pub mod rot;
mod rot_dataset;
mod tree;

pub use mount::PowerDisk;
