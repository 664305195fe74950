//! Consumers of the Redis mirror, against real servers that are killed and restarted.

mod callers;
mod dataset;
mod lookup;
mod lookup_service;
mod redis_url;
mod statistics;
mod tls;
