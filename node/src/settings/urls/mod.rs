//! URLs of the services that a node calls for its monitor.

mod graphite;
mod indexer;

pub use graphite::GraphiteUrl;
pub use indexer::IndexerUrl;
