//! Placeholder of the crate's root, filled by its first slice.
