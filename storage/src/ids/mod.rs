//! Ids of accounts and posts, and sets and sequences of them.
//!
//! - [`IdSet`]: the seen-set in memory, a sorted set of numbers at about six bytes each;
//! - [`run`]: the same numbers on disk, as sorted delta-coded runs that fit the state store's values;
//! - [`IdSegment`]: a piece of a queue, in order of arrival.

mod id_hash;
mod id_segment;
mod id_set;
mod leaf;
mod post_id;
pub mod run;
mod user_id;
pub(crate) mod varint;

pub use id_hash::{IdHash, IdHasher};
pub use id_segment::{CorruptSegment, IdSegment, MAX_SEGMENT_BYTES};
pub use id_set::IdSet;
pub use post_id::{MAX_TEXT_POST_ID, PostId};
pub use user_id::{InvalidUserId, MAX_TEXT_ID, UserId};
