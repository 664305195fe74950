//! openraft, its log, its snapshots and its network.
