//! A blocking client of one folder of an HDFS.
//!
//! The protocols are those of the crate `hdfs-native`, without a Java machine. What it lacks is here:
//! - Each call ends by a deadline. The crate waits for ever for a name node that hangs. A call that does not end is given up with
//!   its whole connection, and the next call makes a new one.
//! - Before a connection is handed to the crate, a name node is asked for what it is: the crate reserves as much memory as
//!   the first four bytes of any other service would mean as a length.
//! - A file is closed without the crate's pause of half a second, see [`HdfsWriter::close`].
//! - A name node's answer with a Java stack trace becomes one line with a remedy.
//!
//! A change whose answer was lost is not repeated here: the caller looks at what is there.

mod connection;
mod error;
mod folder;
mod listing;
mod probe;
mod reader;
#[cfg(test)]
mod tests;
mod url;
mod writer;

pub use error::{HdfsError, HdfsProblem};
pub use folder::{Hdfs, HdfsOptions, HdfsStatus, RenameOutcome};
pub use listing::HdfsListing;
pub use reader::HdfsFile;
pub use url::{HdfsUrl, HdfsUrlError};
pub use writer::HdfsWriter;
