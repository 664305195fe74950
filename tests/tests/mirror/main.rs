//! Clusters that mirror what happens to a real Redis.

mod events;
mod legacy;
mod stream;
