//! `twm-indexer`: against real search servers, and with its embedded index.

mod embedded;
mod indexer;
mod same;
mod servers;
