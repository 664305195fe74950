//! Clusters that mirror what happens to a real Redis.

mod events;
mod feed;
mod legacy;
mod stream;
