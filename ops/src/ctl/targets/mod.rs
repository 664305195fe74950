//! Lists of accounts, as written by people and by the crawler's own exports.

mod batch;
mod line;
mod list;

pub use batch::{Batch, CHUNK, NAMED, batches};
pub use line::{BadLine, MAX_LINE, Target, parse_line, parse_line_of_source};
pub use list::{Entry, ListError, TargetList};
