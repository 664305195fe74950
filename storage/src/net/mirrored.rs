//! Names in the Redis to which nodes mirror, shared by writers and readers.

/// The stream of every event of the log.
pub const EVENTS: &str = "twm:events";
/// The stream of tweets as they are fetched, at least once.
pub const TWEETS: &str = "twm:tweets";
/// The stream of profiles as they are fetched, at least once.
pub const PROFILES: &str = "twm:profiles";

/// A field in an entry of [`TWEETS`] or [`PROFILES`]: the id.
pub const ID: &str = "id";
/// A field in the same entries: the object as JSON.
pub const JSON: &str = "json";

/// The original's channel of tweets.
pub const TWEET_CHANNEL: &str = "events.timeline.new_tweet";
/// The original's channel of profiles.
pub const PROFILE_CHANNEL: &str = "extra.lookupinfos";

/// Prefix of the channels of the nodes' operations: `stats.ops.OPERATION.node-ID`.
pub const OPERATIONS: &str = "stats.ops.";
