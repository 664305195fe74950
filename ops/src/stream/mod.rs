//! Reads the mirror's durable streams from a stored position.
//!
//! - [`StreamReader`]: reads entries, and reports which were trimmed unread.
//! - [`Position`]: a position, stored together with the results of the entries, so that nothing is missed.
//! - [`follow_for_ever`]: reconnects whenever Redis was unreachable.

mod follow;
mod position;
mod reader;
mod stamp;

pub use follow::{Disconnect, Follower, follow_for_ever};
pub use position::Position;
pub use reader::{Found, StreamError, StreamName, StreamReader};
pub use stamp::Stamp;
