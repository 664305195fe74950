//! The node of a twm cluster.

pub mod budget;
pub mod source;
