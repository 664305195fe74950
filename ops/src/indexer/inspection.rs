//! Results of an inspection and their document, which is the same for both kinds of index.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::instant::{self, DAY};
use super::place::Cell;
use super::question::Question;

/// Most hashtags in the document: the most frequent ones.
pub(super) const MOST_TAGS: usize = 25;
/// Most cells of the map: those with the most tweets.
pub(super) const MOST_CELLS: usize = 1_000;
/// Most sample tweets: the newest ones.
pub(super) const MOST_SAMPLES: usize = 20;
/// Most buckets over time, or one more if the range starts within one.
const MOST_BUCKETS: i64 = 60;
/// Longest text of a sample tweet, characters.
const LONGEST_TEXT: usize = 1_000;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Lengths of buckets; longer ones are multiples of the last.
const LENGTHS: [i64; 17] = [
    1_000,
    5_000,
    15_000,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    360 * DAY,
];

/// Buckets of time. Each starts at a multiple of their length since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buckets {
    /// In milliseconds.
    pub(super) length: i64,
    /// The start of the first.
    start: i64,
    /// The end of the range, exclusive.
    end: i64,
}

impl Buckets {
    /// Buckets from a moment to the one before `end`, as short as their number allows.
    pub(super) fn over(start: i64, end: i64) -> Self {
        let end = end.max(start + 1);
        let shortest = div_up(end - start, MOST_BUCKETS);
        let longest = LENGTHS[LENGTHS.len() - 1];
        let length = LENGTHS.into_iter().find(|length| *length >= shortest);
        let length = length.unwrap_or_else(|| div_up(shortest, longest) * longest);
        Self { length, start: start.div_euclid(length) * length, end }
    }

    /// The start of the bucket that contains a moment.
    pub(super) fn of(&self, moment: i64) -> i64 {
        moment.div_euclid(self.length) * self.length
    }

    fn all(&self) -> impl Iterator<Item = i64> {
        let (length, end) = (self.length, self.end);
        std::iter::successors(Some(self.start), move |at| Some(at + length)).take_while(move |at| *at < end)
    }
}

/// Of positive numbers.
fn div_up(number: i64, by: i64) -> i64 {
    (number + by - 1) / by
}

/// The findings of an index. Lists are in the order of the document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// Tweets in all.
    pub(super) total: u64,
    /// Number of tweets by the start of their bucket.
    pub(super) over_time: BTreeMap<i64, u64>,
    /// Hashtags with their number of tweets: most first, then by name.
    pub(super) hashtags: Vec<(String, u64)>,
    /// Number of tweets with a place.
    pub(super) placed: u64,
    /// Cells with their number of tweets: most first, then by name.
    pub(super) cells: Vec<(String, u64)>,
    /// Documents, newest first.
    pub(super) samples: Vec<Value>,
}

/// The document for a query; `buckets` are absent if no tweet has a date.
pub(super) fn document(question: &Question, buckets: Option<Buckets>, found: &Findings) -> Value {
    let over_time = buckets.map(|buckets| {
        let told = buckets.all().map(|at| {
            let tweets = found.over_time.get(&at).copied().unwrap_or(0);
            json!({ "at_ms": at, "tweets": tweets })
        });
        json!({ "interval_ms": buckets.length, "buckets": told.collect::<Vec<_>>() })
    });
    let hashtags = found.hashtags.iter().map(|(hashtag, tweets)| {
        json!({ "hashtag": hashtag, "tweets": tweets, "share": share(*tweets, found.total) })
    });
    let cells = found.cells.iter().filter_map(|(cell, tweets)| {
        let (lat, lon) = Cell::parse(cell)?.centre();
        Some(json!({ "lat": lat, "lon": lon, "tweets": tweets }))
    });
    json!({
        "query": question.query,
        "from_ms": question.from,
        "to_ms": question.to,
        "total": found.total,
        "over_time": over_time.unwrap_or_else(|| json!({ "interval_ms": null, "buckets": [] })),
        "hashtags": hashtags.collect::<Vec<_>>(),
        "places": { "tweets": found.placed, "cell_degrees": 0.1, "cells": cells.collect::<Vec<_>>() },
        "samples": found.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

/// A percentage, rounded to hundredths.
fn share(part: u64, all: u64) -> f64 {
    (part as f64 / (all.max(1)) as f64 * 10_000.0).round() / 10_000.0
}

fn sample(document: &Value) -> Value {
    let text = document["text"].as_str().unwrap_or_default();
    let text: String = text.chars().take(LONGEST_TEXT).collect();
    json!({
        "id": document["id"],
        "screen_name": document["screen_name"],
        "created_at_ms": document["created_at"].as_str().and_then(instant::parse),
        "text": text,
        "hashtags": document["hashtags"].as_array().cloned().unwrap_or_default(),
        "geo": document["geo"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_their_range_and_are_few() {
        for (start, end) in
            [(0, 1), (5, 6), (DAY, 2 * DAY), (7, 400 * DAY + 3), (0, 253_402_300_800_000), (9, 9)]
        {
            let buckets = Buckets::over(start, end);
            let all: Vec<_> = buckets.all().collect();
            assert!((1..=MOST_BUCKETS as usize + 1).contains(&all.len()), "{start} {end}: {}", all.len());
            assert_eq!(all[0], buckets.of(start), "{start} {end}");
            assert_eq!(all[all.len() - 1], buckets.of(end.max(start + 1) - 1), "{start} {end}");
        }
        assert_eq!(Buckets::over(0, DAY).length, HOUR);
        assert_eq!(Buckets::over(0, 60 * DAY).length, DAY);
    }

    #[test]
    fn what_was_found_is_told_with_empty_buckets_and_shares() {
        let found = Findings {
            total: 3,
            over_time: BTreeMap::from([(0, 2), (2 * DAY, 1)]),
            hashtags: vec![("a".to_owned(), 2)],
            placed: 1,
            cells: vec![("419,124".to_owned(), 1)],
            samples: vec![
                json!({ "id": "1", "text": "é".repeat(1_001), "created_at": "1970-01-03T00:00:00Z" }),
            ],
        };
        let told =
            document(&Question::default(), Some(Buckets { length: DAY, start: 0, end: 2 * DAY + 1 }), &found);
        let buckets = json!([
            { "at_ms": 0, "tweets": 2 }, { "at_ms": DAY, "tweets": 0 }, { "at_ms": 2 * DAY, "tweets": 1 }
        ]);
        assert_eq!(told["over_time"], json!({ "interval_ms": DAY, "buckets": buckets }));
        assert_eq!(told["hashtags"], json!([{ "hashtag": "a", "tweets": 2, "share": 0.6667 }]));
        assert_eq!(told["places"]["cells"], json!([{ "lat": 41.95, "lon": 12.45, "tweets": 1 }]));
        assert_eq!(told["samples"][0]["text"].as_str().unwrap().chars().count(), LONGEST_TEXT);
        assert_eq!(told["samples"][0]["created_at_ms"], 2 * DAY);
        assert_eq!(told["samples"][0]["geo"], Value::Null);
        let none = document(&Question::default(), None, &Findings::default());
        assert_eq!(none["over_time"], json!({ "interval_ms": null, "buckets": [] }));
    }
}
