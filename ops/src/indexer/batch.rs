//! Batches of tweets from entries of the stream.

use std::collections::HashMap;
use std::sync::Arc;

use super::dead::DeadItem;
use super::index::Refused;
use super::tweet::Tweet;
use crate::stream::{Found, Stamp};

/// Tweets that are indexed together, each id once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) tweets: Arc<Vec<Tweet>>,
    /// The sources of the tweets, in the same order.
    sources: Vec<(Stamp, Vec<u8>)>,
    /// Entries that are not tweets.
    pub(super) dead: Vec<DeadItem>,
}

impl Batch {
    /// The tweets among these entries; of several with one id, the last.
    pub(super) fn of(found: Vec<Found>) -> Self {
        let (mut tweets, mut sources, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = HashMap::new();
        for Found { stamp, id, user, json } in found {
            match Tweet::parse(json.as_deref(), user.as_deref()) {
                Ok(tweet) => {
                    let source = (stamp, json.unwrap_or_default());
                    match places.get(&tweet.id).copied() {
                        Some(place) => (tweets[place], sources[place]) = (tweet, source),
                        None => {
                            places.insert(tweet.id.clone(), tweets.len());
                            tweets.push(tweet);
                            sources.push(source);
                        }
                    }
                }
                Err(error) => {
                    let json = json.unwrap_or_default();
                    dead.push(DeadItem { entry: stamp, id, reason: error.to_string(), json });
                }
            }
        }
        Self { tweets: Arc::new(tweets), sources, dead }
    }

    /// Entries that are not tweets, and those that the index refused.
    pub(super) fn dead(mut self, refused: Vec<Refused>) -> Vec<DeadItem> {
        for Refused { place, reason } in refused {
            let source = self.sources.get_mut(place).map(|(stamp, json)| (*stamp, std::mem::take(json)));
            if let (Some((entry, json)), Some(tweet)) = (source, self.tweets.get(place)) {
                self.dead.push(DeadItem { entry, id: Some(tweet.id.clone()), reason, json });
            }
        }
        self.dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_tweets_with_one_id_the_last_counts_and_what_is_none_is_told() {
        let entry = |millis, json: &str| Found {
            stamp: Stamp { millis, sequence: 0 },
            id: Some("said".to_owned()),
            user: None,
            json: Some(json.as_bytes().to_vec()),
        };
        let batch = Batch::of(vec![
            entry(1, r#"{"id":1,"text":"old"}"#),
            entry(2, "{"),
            entry(3, r#"{"id":2,"text":"two"}"#),
            entry(4, r#"{"id":1,"text":"new"}"#),
        ]);
        let texts: Vec<_> = batch.tweets.iter().map(|tweet| tweet.text.as_str()).collect();
        assert_eq!(texts, ["new", "two"]);
        let dead = batch.dead(vec![Refused { place: 0, reason: "bad".to_owned() }]);
        let dead: Vec<_> = dead.iter().map(|item| (item.entry.millis, item.id.as_deref())).collect();
        assert_eq!(dead, [(2, Some("said")), (4, Some("1"))]);
    }
}
