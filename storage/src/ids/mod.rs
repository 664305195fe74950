//! Account ids, and sets and sequences of them.

mod user_id;

pub use user_id::{InvalidUserId, MAX_TEXT_ID, UserId};
