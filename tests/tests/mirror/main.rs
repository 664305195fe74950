//! Clusters that mirror their events to a real Redis.

mod events;
mod feed;
mod legacy;
mod sources;
mod stream;
