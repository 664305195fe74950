//! Bulk requests: tweets in parts that the server can handle, until each is indexed or refused.

use std::collections::VecDeque;

use serde_json::{Value, json};
use storage::env::Backoff;

use super::call::{Answer, CallError, reason};
use super::{Failure, WAITS};
use crate::indexer::index::Refused;
use crate::indexer::tweet::Tweet;

/// The requested part of the answer.
pub(super) const ASKED: &str =
    "filter_path=items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason";
/// Most tweets in a bulk request, and its approximate size in bytes.
const MOST_TWEETS: usize = 1_000;
const MOST_BYTES: usize = 4 << 20;

/// A server's response to a bulk request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BulkResponse {
    /// One result per tweet.
    Items(Vec<ItemResult>),
    /// It is busy: nothing was accepted, and a smaller request may be.
    Busy(String),
    /// The request as a whole is too large.
    TooMuch(String),
}

/// A server's response to a tweet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ItemResult {
    Indexed,
    /// It may be accepted later.
    Later(String),
    /// It never will.
    Refused(String),
}

/// A part of the pending tweets.
pub(super) struct Part {
    /// Positions of its tweets.
    pub(super) places: Vec<usize>,
    /// The body of the request.
    pub(super) body: String,
}

/// Tweets that wait to be indexed.
pub(super) struct Pending<'a> {
    tweets: &'a [Tweet],
    waiting: VecDeque<usize>,
    /// Most tweets of the next part.
    limit: usize,
    pub(super) backoff: Backoff,
    pub(super) refused: Vec<Refused>,
}

impl<'a> Pending<'a> {
    pub(super) fn of(tweets: &'a [Tweet]) -> Self {
        Self {
            tweets,
            waiting: (0..tweets.len()).collect(),
            limit: MOST_TWEETS,
            backoff: Backoff::new(WAITS.0, WAITS.1),
            refused: Vec::new(),
        }
    }

    /// The next part; `None` if nothing is pending.
    pub(super) fn next(&mut self) -> Option<Part> {
        let mut part = Part { places: Vec::new(), body: String::new() };
        while let Some(place) = self.waiting.front().copied() {
            let full = part.places.len() >= self.limit || part.body.len() >= MOST_BYTES;
            if full && !part.places.is_empty() {
                break;
            }
            self.waiting.pop_front();
            let tweet = &self.tweets[place];
            let action = json!({ "index": { "_id": tweet.id } });
            part.body.push_str(&format!("{action}\n{}\n", tweet.document()));
            part.places.push(place);
        }
        (!part.places.is_empty()).then_some(part)
    }

    /// Processes the response to a part; returns what to wait for before the next.
    pub(super) fn settle(&mut self, part: Part, said: BulkResponse) -> Option<String> {
        match said {
            BulkResponse::Items(verdicts) => self.settle_each(part, verdicts),
            BulkResponse::Busy(why) => {
                self.shrink(&part);
                self.again(&part.places);
                Some(why)
            }
            BulkResponse::TooMuch(reason) => {
                match part.places[..] {
                    [place] => self.refused.push(Refused { place, reason }),
                    _ => {
                        self.shrink(&part);
                        self.again(&part.places);
                    }
                }
                None
            }
        }
    }

    /// Puts tweets without a response back to the front.
    pub(super) fn again(&mut self, places: &[usize]) {
        places.iter().rev().for_each(|place| self.waiting.push_front(*place));
    }

    fn settle_each(&mut self, part: Part, verdicts: Vec<ItemResult>) -> Option<String> {
        let (mut later, mut why) = (Vec::new(), None);
        // Some progress: the next wait is short.
        if verdicts.contains(&ItemResult::Indexed) {
            self.backoff.reset();
        }
        match verdicts.iter().any(|verdict| matches!(verdict, ItemResult::Later(_))) {
            true => self.shrink(&part),
            false => self.limit = (self.limit * 2).min(MOST_TWEETS),
        }
        for (place, verdict) in part.places.into_iter().zip(verdicts) {
            match verdict {
                ItemResult::Indexed => {}
                ItemResult::Later(reason) => {
                    later.push(place);
                    why = Some(reason);
                }
                ItemResult::Refused(reason) => self.refused.push(Refused { place, reason }),
            }
        }
        self.again(&later);
        why.map(|why| format!("{} tweets have to wait: {why}", later.len()))
    }

    fn shrink(&mut self, part: &Part) {
        self.limit = (part.places.len() / 2).max(1);
    }
}

/// Parses the response to a bulk request with this many tweets.
pub(super) fn read(answer: &Answer, tweets: usize) -> Result<BulkResponse, Failure> {
    match answer.status {
        200..=299 => {}
        429 => return Ok(BulkResponse::Busy(format!("it is busy: {}", answer.text()))),
        400 | 413 => {
            return Ok(BulkResponse::TooMuch(format!("it answers {}: {}", answer.status, answer.text())));
        }
        status => return Err(CallError::Bad { status, text: answer.text() }.into()),
    }
    let json = answer.json()?;
    let items = json["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.len() != tweets {
        let what = format!("{} answers to {tweets} tweets", items.len());
        return Err(CallError::Strange(what).into());
    }
    Ok(BulkResponse::Items(items.iter().map(verdict).collect()))
}

fn verdict(item: &Value) -> ItemResult {
    let item = &item["index"];
    let status = item["status"].as_u64().unwrap_or(0);
    let kind = item["error"]["type"].as_str().unwrap_or_default();
    let why = || reason(&item["error"]).unwrap_or_else(|| format!("status {status}"));
    match status {
        200..=299 => ItemResult::Indexed,
        429 | 500.. => ItemResult::Later(why()),
        // A full disk, or a deleted index, says nothing about the tweet.
        _ if matches!(
            kind,
            "cluster_block_exception" | "index_not_found_exception" | "security_exception"
        ) =>
        {
            ItemResult::Later(why())
        }
        0 => ItemResult::Later("an answer without a status".to_owned()),
        _ => ItemResult::Refused(why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tweets(count: usize) -> Vec<Tweet> {
        let parse = |n| Tweet::parse(Some(format!(r#"{{"id":{n},"text":"x"}}"#).as_bytes()), None).unwrap();
        (0..count).map(parse).collect()
    }

    #[test]
    fn every_tweet_is_sent_until_it_is_indexed_or_refused() {
        let tweets = tweets(5);
        let mut pending = Pending::of(&tweets);
        let part = pending.next().unwrap();
        assert_eq!(part.places, [0, 1, 2, 3, 4]);
        assert_eq!(part.body.lines().count(), 10);
        assert!(part.body.starts_with("{\"index\":{\"_id\":\"0\"}}\n{"), "{}", part.body);
        let later = || ItemResult::Later("full".to_owned());
        let refused = || ItemResult::Refused("bad".to_owned());
        let said = vec![ItemResult::Indexed, later(), refused(), later(), ItemResult::Indexed];
        assert_eq!(
            pending.settle(part, BulkResponse::Items(said)).as_deref(),
            Some("2 tweets have to wait: full")
        );
        let part = pending.next().unwrap();
        assert_eq!(part.places, [1, 3]);
        assert_eq!(
            pending.settle(part, BulkResponse::Items(vec![ItemResult::Indexed, ItemResult::Indexed])),
            None
        );
        assert!(pending.next().is_none());
        assert_eq!(pending.refused, [Refused { place: 2, reason: "bad".to_owned() }]);
    }

    #[test]
    fn a_busy_server_is_given_less_and_then_more_again() {
        let tweets = tweets(100);
        let mut pending = Pending::of(&tweets);
        for expected in [100, 50, 25, 12, 6, 3, 1, 1] {
            let part = pending.next().unwrap();
            assert_eq!((part.places.len(), part.places[0]), (expected, 0));
            assert!(pending.settle(part, BulkResponse::Busy("full".to_owned())).is_some());
        }
        for expected in [1, 2, 4, 8, 16, 32, 37] {
            let part = pending.next().unwrap();
            assert_eq!(part.places.len(), expected);
            let said = part.places.iter().map(|_| ItemResult::Indexed).collect();
            assert_eq!(pending.settle(part, BulkResponse::Items(said)), None);
        }
        assert!(pending.next().is_none() && pending.refused.is_empty());
    }

    #[test]
    fn what_cannot_be_taken_is_found_and_alone_refused() {
        let tweets = tweets(9);
        let mut pending = Pending::of(&tweets);
        while let Some(part) = pending.next() {
            let said = match part.places.contains(&4) {
                true => BulkResponse::TooMuch("too much".to_owned()),
                false => BulkResponse::Items(part.places.iter().map(|_| ItemResult::Indexed).collect()),
            };
            assert_eq!(pending.settle(part, said), None);
        }
        assert_eq!(pending.refused, [Refused { place: 4, reason: "too much".to_owned() }]);
    }

    #[test]
    fn what_a_server_says_to_a_tweet_is_understood() {
        let item = |status: u64, kind: &str| json!({ "index": { "status": status, "error": { "type": kind, "reason": "r" } } });
        assert_eq!(verdict(&json!({ "index": { "status": 201 } })), ItemResult::Indexed);
        assert_eq!(
            verdict(&item(400, "mapper_parsing_exception")),
            ItemResult::Refused("mapper_parsing_exception: r".to_owned())
        );
        for later in [item(429, "x"), item(503, "x"), item(403, "cluster_block_exception"), json!({})] {
            assert!(matches!(verdict(&later), ItemResult::Later(_)), "{later}");
        }
    }
}
