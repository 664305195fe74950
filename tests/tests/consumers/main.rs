//! What reads the mirror in Redis: against real servers that die and come back.

mod callers;
mod dataset;
mod lookup;
mod lookup_service;
mod redis_url;
mod statistics;
mod tls;
