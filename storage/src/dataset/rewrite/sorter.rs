//! External sort of tweets.
//!
//! A full buffer is sorted and written as a run, to an unnamed file; [`FAN_IN`] runs of a size are merged
//! into one of the next size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::tweets::{Merged, Rank, Tweets};
use crate::dataset::{Result, layout};
use crate::durable::{self, Naming};
use crate::ids::PostId;

/// Memory for tweets before a run is written, bytes.
pub(super) const SORT_BYTES: usize = 32 << 20;
/// Runs merged at a time; each has one line in memory.
const FAN_IN: usize = 16;
const BUFFER_BYTES: usize = 64 * 1024;

/// Accepts tweets in any order and yields them newest first, each once.
pub(super) struct Sorter {
    /// Runs are stored next to this file.
    path: PathBuf,
    limit: usize,
    held: Held,
    /// Runs by size: a run of a level is the merge of [`FAN_IN`] runs of the one before.
    levels: Vec<Vec<File>>,
}

impl Sorter {
    /// A sorter that holds up to `limit` bytes of tweets in memory, and more in files next to `path`.
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        Self { path: path.to_owned(), limit, held: Held::default(), levels: Vec::new() }
    }

    /// Adds a tweet. Of versions with the same rank, the first one is kept.
    pub(super) fn push(&mut self, id: PostId, rank: Rank, line: &[u8]) -> Result<()> {
        self.held.push(id, rank, line);
        if self.held.bytes() >= self.limit {
            self.held.sort();
            let run = write_run(&self.path, &mut self.held)?;
            self.held = Held::default();
            self.add(run, 0)?;
        }
        Ok(())
    }

    fn add(&mut self, run: File, level: usize) -> Result<()> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        if self.levels[level].len() < FAN_IN {
            return Ok(());
        }
        let full = std::mem::take(&mut self.levels[level]);
        let merged = write_run(&self.path, &mut merged(&self.path, full)?)?;
        self.add(merged, level + 1)
    }

    /// The tweets in order.
    pub(super) fn into_sorted(mut self) -> Result<Box<dyn Tweets>> {
        self.held.sort();
        // Larger runs contain earlier tweets, and of equal versions the earliest is kept.
        let runs = self.levels.into_iter().rev().flatten();
        let mut sources = readers(&self.path, runs)?;
        sources.push(Box::new(self.held));
        Ok(Box::new(Merged::new(sources)?))
    }
}

fn readers(path: &Path, runs: impl IntoIterator<Item = File>) -> Result<Vec<Box<dyn Tweets>>> {
    let mut readers: Vec<Box<dyn Tweets>> = Vec::new();
    for mut file in runs {
        file.rewind().naming("read", path)?;
        let input = BufReader::with_capacity(BUFFER_BYTES, file);
        readers.push(Box::new(Run { path: path.to_owned(), input }));
    }
    Ok(readers)
}

fn merged(path: &Path, runs: Vec<File>) -> Result<Merged<'static>> {
    Merged::new(readers(path, runs)?)
}

/// Writes sorted tweets to an unnamed file next to `path`. A record is the length of a text id or 0 (1 byte),
/// the text or the number (8 bytes), the rank (4 bytes), the line's length (4 bytes) and the line.
fn write_run(path: &Path, tweets: &mut dyn Tweets) -> Result<File> {
    let name = layout::spill(path);
    durable::remove_file(&name)?;
    let options = OpenOptions::new().read(true).write(true).create_new(true).open(&name);
    let file = options.naming("create", &name)?;
    durable::remove_file(&name)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut line = Vec::new();
    while let Some((id, rank)) = tweets.next_into(&mut line)? {
        let mut write = || {
            match &id {
                PostId::Number(number) => {
                    out.write_all(&[0])?;
                    out.write_all(&number.to_le_bytes())?;
                }
                PostId::Text(text) => {
                    out.write_all(&[text.len() as u8])?;
                    out.write_all(text.as_bytes())?;
                }
            }
            out.write_all(&rank.to_le_bytes())?;
            out.write_all(&(line.len() as u32).to_le_bytes())?;
            out.write_all(&line)
        };
        write().naming("write", &name)?;
    }
    Ok(out.into_inner().map_err(|error| error.into_error()).naming("write", &name)?)
}

/// A run being read.
struct Run {
    path: PathBuf,
    input: BufReader<File>,
}

impl Tweets for Run {
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>> {
        let mut read = || {
            if self.input.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let id = read_id(&mut self.input)?;
            let (mut rank, mut length) = ([0; 4], [0; 4]);
            self.input.read_exact(&mut rank)?;
            self.input.read_exact(&mut length)?;
            line.resize(u32::from_le_bytes(length) as usize, 0);
            self.input.read_exact(line)?;
            Ok(Some((id, Rank::from_le_bytes(rank))))
        };
        Ok(read().naming("read what was sorted beside", &self.path)?)
    }
}

fn read_id(input: &mut impl Read) -> io::Result<PostId> {
    let mut length = [0];
    input.read_exact(&mut length)?;
    if length == [0] {
        let mut number = [0; 8];
        input.read_exact(&mut number)?;
        return Ok(PostId::Number(u64::from_le_bytes(number)));
    }
    let mut text = vec![0; usize::from(length[0])];
    input.read_exact(&mut text)?;
    Ok(PostId::Text(String::from_utf8(text).map_err(io::Error::other)?.into()))
}

/// Tweets in memory.
#[derive(Default)]
struct Held {
    /// The lines, one after the other.
    lines: Vec<u8>,
    tweets: Vec<HeldTweet>,
    /// Size of the text ids among those of `tweets`.
    text_bytes: usize,
    /// Tweets handed out.
    taken: usize,
}

struct HeldTweet {
    id: PostId,
    rank: Rank,
    /// Range of the line.
    line: (usize, usize),
}

impl Held {
    fn push(&mut self, id: PostId, rank: Rank, line: &[u8]) {
        if let PostId::Text(text) = &id {
            self.text_bytes += text.len();
        }
        let start = self.lines.len();
        self.lines.extend_from_slice(line);
        self.tweets.push(HeldTweet { id, rank, line: (start, self.lines.len()) });
    }

    fn bytes(&self) -> usize {
        self.lines.len() + self.text_bytes + self.tweets.len() * size_of::<HeldTweet>()
    }

    fn sort(&mut self) {
        let order = |one: &HeldTweet, other: &HeldTweet| {
            (&other.id, other.rank).cmp(&(&one.id, one.rank)).then(one.line.0.cmp(&other.line.0))
        };
        self.tweets.sort_unstable_by(order);
        self.tweets.dedup_by(|tweet, before| tweet.id == before.id);
    }
}

impl Tweets for Held {
    fn next_into(&mut self, line: &mut Vec<u8>) -> Result<Option<(PostId, Rank)>> {
        let Some(tweet) = self.tweets.get(self.taken) else { return Ok(None) };
        self.taken += 1;
        line.clear();
        line.extend_from_slice(&self.lines[tweet.line.0..tweet.line.1]);
        Ok(Some((tweet.id.clone(), tweet.rank)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::env::{Entropy, SeededEntropy};

    #[test]
    fn any_order_comes_out_newest_first_each_once_whatever_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::new(61);
        for (limit, count) in [(1, 700), (2_000, 20_000), (SORT_BYTES, 20_000)] {
            let mut sorter = Sorter::new(&folder.path().join("1.twt.new"), limit);
            let mut expected: BTreeMap<PostId, (Rank, String)> = BTreeMap::new();
            // Numbers and texts, which no timeline has both of.
            let id_of = |n: u64| match n % 3 {
                0 => PostId::Text(format!("3k{n}").into()),
                _ => PostId::Number(n),
            };
            for n in 0..count {
                let (id, rank) = (id_of(entropy.next_u64() % count), (entropy.next_u64() % 3) as Rank);
                let line = format!("{id} version {n}");
                sorter.push(id.clone(), rank, line.as_bytes()).unwrap();
                let kept = expected.entry(id).or_insert((rank, line.clone()));
                if rank > kept.0 {
                    *kept = (rank, line);
                }
            }
            let mut sorted = sorter.into_sorted().unwrap();
            let (mut line, mut found) = (Vec::new(), Vec::new());
            while let Some((id, rank)) = sorted.next_into(&mut line).unwrap() {
                found.push((id, (rank, String::from_utf8(line.clone()).unwrap())));
            }
            assert!(found.into_iter().eq(expected.into_iter().rev()), "limit {limit}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "runs have no names");
    }

    #[test]
    fn tweets_in_memory_take_no_more_than_the_limit_whatever_they_consist_of() {
        let folder = tempfile::tempdir().unwrap();
        let limit = 10_000;
        for (text_id, line) in [(0, 0), (0, 500), (200, 0)] {
            let mut sorter = Sorter::new(&folder.path().join("1.twt.new"), limit);
            for n in 0..1_000 {
                let id = match text_id {
                    0 => PostId::Number(n),
                    length => PostId::Text(format!("{n:0>length$}").into()),
                };
                sorter.push(id, 0, &vec![b'x'; line]).unwrap();
                let memory = sorter.held.tweets.len() * (size_of::<HeldTweet>() + text_id + line);
                assert!(memory < limit, "{memory} bytes after {n} ids of {text_id} with lines of {line}");
            }
        }
    }
}
