//! What happens, mirrored to Redis for streaming consumers.
//!
//! The leader writes, from the replicated outbox of events, so that what it writes is the same whoever leads:
//!
//! - `twm:events`: a stream with every event of the log, each once and in order. Entry ids are the events' own; a script
//!   appends events only right behind their predecessor, and answers otherwise where the stream stands
//!   (`append`, TWM-M2). So a repeated attempt, two leaders at once, a new leader or a failover of Redis neither
//!   double nor skip one; what has left the outbox by then is a `gap` entry.
//! - The original's 15 counters, `stream`, `error_stream` and `logger` (`legacy`).
//!
//! Beside it every node sends what it finds (`feed`): `twm:tweets` and `twm:profiles`, at least once, from a spool on its
//! disk; the original's channels of the same, where somebody listens; and the pulse `stats.ops.*`.
//!
//! Redis slow, full or gone never slows the crawl: nothing here is waited for, and the outbox is bounded.

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
