//! The mirror's durable streams, read on from a position by whoever keeps what they bring.
//!
//! - [`StreamReader`]: reads entries, and tells which were trimmed away unread.
//! - [`Position`]: how far; kept together with what was made of the entries, so that nothing is missed.
//! - [`follow_for_ever`]: connects anew whenever Redis went away.

mod follow;
mod position;
mod reader;
mod stamp;

pub use follow::{Disconnect, Follower, follow_for_ever};
pub use position::Position;
pub use reader::{Found, StreamError, StreamName, StreamReader};
pub use stamp::Stamp;
