//! Names in the Redis to which nodes mirror, shared by writers and readers.

use std::borrow::Cow;

use crate::dataset::SourceName;

/// The stream of every event of the log.
pub const EVENTS: &str = "twm:events";
/// The stream of tweets as they are fetched, at least once.
pub const TWEETS: &str = "twm:tweets";
/// The stream of profiles as they are fetched, at least once.
pub const PROFILES: &str = "twm:profiles";

/// The stream of a source that corresponds to [`TWEETS`] or [`PROFILES`], which are those of the default source:
/// `STREAM:SOURCE`.
pub fn stream_of(stream: &'static str, source: &SourceName) -> Cow<'static, str> {
    match source.is_default() {
        true => stream.into(),
        false => format!("{stream}:{source}").into(),
    }
}

/// A field in an entry of [`TWEETS`] or [`PROFILES`]: the id.
pub const ID: &str = "id";
/// A field in an entry of [`TWEETS`]: the account.
pub const USER: &str = "user";
/// A field in the entries of other sources than the default one: its name.
pub const SOURCE: &str = "source";
/// A field in the same entries: the object as JSON.
pub const JSON: &str = "json";

/// The original's channel of tweets.
pub const TWEET_CHANNEL: &str = "events.timeline.new_tweet";
/// The original's channel of profiles.
pub const PROFILE_CHANNEL: &str = "extra.lookupinfos";

/// Prefix of the channels of the nodes' operations: `stats.ops.OPERATION.node-ID`.
pub const OPERATIONS: &str = "stats.ops.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_streams_of_its_own_and_those_of_the_default_one_keep_their_names() {
        assert_eq!(stream_of(TWEETS, &SourceName::default()), TWEETS);
        assert_eq!(stream_of(TWEETS, &"bluesky".parse().unwrap()), "twm:tweets:bluesky");
        assert_eq!(stream_of(PROFILES, &"fedi".parse().unwrap()), "twm:profiles:fedi");
    }
}
