//! Lists of accounts, as people and the crawler's own exports write them.

mod batch;
mod line;
mod list;

pub use batch::{Batch, CHUNK, batches};
pub use line::{BadLine, MAX_LINE, parse_line};
pub use list::{Entry, ListError, TargetList};
