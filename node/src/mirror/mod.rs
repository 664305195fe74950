//! Mirrors events and fetched data to Redis for streaming consumers.
//!
//! The leader writes from the replicated outbox of events, so that the result does not depend on who leads:
//!
//! - `twm:events`: a stream with every event of the log, each once and in order. Entry ids are the events' own; a
//!   script appends events only directly behind their predecessor, and otherwise returns where the stream ends
//!   (`append`, TWM-M2). Therefore a repeated attempt, two leaders at once, a new leader or a failover of Redis
//!   neither doubles nor skips an event; events that have left the outbox by then are replaced by a `gap` entry.
//! - The original's 15 counters, `stream`, `error_stream` and `logger` (`legacy`).
//!
//! In addition, every node sends what it fetches (`feed`): `twm:tweets` and `twm:profiles`, at least once, from a
//! spool on its disk; the original's channels for the same, if they have subscribers; and the rates `stats.ops.*`.
//!
//! A slow, full or missing Redis never slows the crawl: nothing waits for the mirror, and the outbox is bounded.

mod append;
mod entry;
mod feed;
mod legacy;
mod relay;
mod spool;
mod status;
mod tap;

pub use append::{Appended, End, EventServer, EventStream};
pub(crate) use entry::fields as event_fields;
pub use feed::{Feed, FeedError, FeedOptions};
pub use relay::{Mirror, MirrorOptions};
pub use status::MirrorView;
