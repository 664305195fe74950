//! Merges sequences of tweets: newest first, each once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::lenient::LenientTimeline;
use crate::dataset::{Result, TimelineReader};
use crate::ids::PostId;

/// The version of a tweet: the highest is kept.
pub(super) type Rank = u32;

/// A sequence of tweets.
pub(super) trait Tweets {
    /// Reads the next tweet into `line` and returns its id and rank; `None` at the end.
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>>;
}

/// A sound timeline.
pub(super) struct Strict {
    pub(super) reader: TimelineReader,
    pub(super) rank: Rank,
}

impl Tweets for Strict {
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>> {
        let Some((id, text)) = self.reader.next_tweet()? else { return Ok(None) };
        line.clear();
        line.extend_from_slice(text.as_bytes());
        Ok(Some((id, self.rank)))
    }
}

impl Tweets for LenientTimeline {
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>> {
        Ok(self.next_tweet(line)?.map(|id| (id, 0)))
    }
}

/// Merges sequences that are newest first. Holds one line of each.
pub(super) struct Merged<'a> {
    sources: Vec<Box<dyn Tweets + 'a>>,
    heads: BinaryHeap<Head>,
    last: Option<PostId>,
}

/// The next tweet of a source.
struct Head {
    id: PostId,
    rank: Rank,
    source: usize,
    line: Vec<u8>,
}

impl Head {
    /// Larger comes first. Of equal versions, that of the first source does.
    fn key(&self) -> (&PostId, Rank, Reverse<usize>) {
        (&self.id, self.rank, Reverse(self.source))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<'a> Merged<'a> {
    pub(super) fn new(mut sources: Vec<Box<dyn Tweets + 'a>>) -> Result<Self> {
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for (source, tweets) in sources.iter_mut().enumerate() {
            let mut line = Vec::new();
            if let Some((id, rank)) = tweets.next_into(&mut line)? {
                heads.push(Head { id, rank, source, line });
            }
        }
        Ok(Self { sources, heads, last: None })
    }
}

impl Tweets for Merged<'_> {
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>> {
        loop {
            let Some(mut head) = self.heads.pop() else { return Ok(None) };
            let found = (head.id.clone(), head.rank);
            let new = self.last.as_ref().is_none_or(|last| head.id < *last);
            if new {
                std::mem::swap(line, &mut head.line);
                self.last = Some(head.id.clone());
            }
            if let Some((id, rank)) = self.sources[head.source].next_into(&mut head.line)? {
                self.heads.push(Head { id, rank, ..head });
            }
            if new {
                return Ok(Some(found));
            }
        }
    }
}
