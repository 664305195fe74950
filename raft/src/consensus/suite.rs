//! openraft's own test suite for storage, on ours.
