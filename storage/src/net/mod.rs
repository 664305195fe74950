//! What several crates need of the network.

pub mod trust;
