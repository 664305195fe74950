//! What nodes mirror to a Redis, by name: those that write it and those that read it agree here.

/// The stream of every event of the log.
pub const EVENTS: &str = "twm:events";
/// The stream of tweets as they are found, at least once.
pub const TWEETS: &str = "twm:tweets";
/// The stream of profiles as they are found, at least once.
pub const PROFILES: &str = "twm:profiles";

/// In an entry of [`TWEETS`] or [`PROFILES`]: whose or which it is.
pub const ID: &str = "id";
/// The same: what came, as JSON.
pub const JSON: &str = "json";

/// The original's channel of tweets.
pub const TWEET_CHANNEL: &str = "events.timeline.new_tweet";
/// The original's channel of profiles.
pub const PROFILE_CHANNEL: &str = "extra.lookupinfos";

/// What the channels of the nodes' operations begin with: `stats.ops.OPERATION.node-ID`.
pub const OPERATIONS: &str = "stats.ops.";
