//! Clusters of real processes against the emulator.

mod operations;
mod world;
