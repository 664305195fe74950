//! The node of a twm cluster: what crawls, and what it needs of the world outside.

pub mod address;
pub mod budget;
pub mod follow;
pub mod source;
