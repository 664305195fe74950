//! The node of a twm cluster: what crawls, and what it needs of the world outside.

pub mod address;
pub mod budget;
pub mod crawl;
pub mod follow;
pub mod logs;
pub mod session;
pub mod settings;
pub mod source;
