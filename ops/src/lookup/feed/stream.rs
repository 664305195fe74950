//! The durable stream of profiles.
//!
//! Redis trims it to a length. Whether entries were trimmed away before they were read shows in numbers: Redis counts
//! all entries that were ever added (`entries-added`, since 7.0), and we those that we read.

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use redis::{FromRedisValue as _, Value};

use super::entries::Found;
use crate::lookup::stamp::Stamp;
use crate::lookup::store::Position;

/// Its key.
pub(super) const STREAM: &str = "twm:profiles";
/// Entries that are read together at most.
const ENTRIES: usize = 500;
/// How long Redis waits for a new entry, in milliseconds: less than an answer may take.
const WAIT_MILLIS: u64 = 1_000;

/// The stream, read on from a position.
pub(super) struct ProfileStream {
    connection: MultiplexedConnection,
    position: Position,
    exists: bool,
    /// Redis before 5.0 knows no streams.
    unknown: bool,
}

/// What Redis says about the stream.
struct Info {
    length: u64,
    last: Stamp,
    first: Option<Stamp>,
    /// Entries ever added.
    added: Option<u64>,
}

impl ProfileStream {
    pub(super) fn new(connection: MultiplexedConnection, position: Position) -> Self {
        Self { connection, position, exists: false, unknown: false }
    }

    /// How far it was read.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Whether there is a stream.
    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// Looks whether the position still fits the stream; whether there is one at all.
    pub(super) async fn begin(&mut self) -> redis::RedisResult<bool> {
        let Some(info) = self.info().await? else { return Ok(false) };
        self.exists = true;
        let last = self.position.last();
        let replaced = info.last < last
            || matches!((info.added, self.position.number), (Some(added), Some(number)) if added < number);
        if replaced {
            tracing::warn!(
                "{STREAM} is another one than that which was read up to {last}; it is read from its first entry"
            );
            self.position = Position { lost: self.position.lost, ..Position::START };
        }
        let gone = info.added.map(|added| added.saturating_sub(info.length));
        match (gone, self.position.number) {
            // The first start: what was trimmed before was never ours to read.
            (gone, _) if self.position.last() == Stamp::ZERO => self.position.number = gone,
            (Some(gone), Some(number)) if gone > number => self.lose(gone - number, gone),
            (_, None)
                if !self.holds(last).await?
                    && info.first.is_none_or(|first| first > last)
                    && info.last > last =>
            {
                tracing::warn!(
                    "{STREAM} was trimmed past {last}, the last entry read: profiles may be missing"
                );
            }
            _ => {}
        }
        Ok(true)
    }

    /// The next entries; none when all were read, or there is no stream.
    pub(super) async fn read(&mut self) -> redis::RedisResult<Vec<Found>> {
        if self.unknown {
            return Ok(Vec::new());
        }
        let entries = match self.xread(&["COUNT", &ENTRIES.to_string()]).await {
            Ok(entries) => entries,
            Err(error) if error.to_string().contains("unknown command") => {
                self.unknown = true;
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut found = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Some(stamp) = Stamp::of_entry(&entry.id) else { continue };
            found.push(Found { stamp, id: entry.get("id"), json: entry.get("json") });
            self.position.millis = stamp.millis;
            self.position.sequence = stamp.sequence;
        }
        if !found.is_empty() {
            if !self.exists {
                // It came into being while we looked elsewhere.
                self.exists = true;
                self.position.number = Some(0);
            }
            self.position.number = self.position.number.map(|number| number + found.len() as u64);
            self.count_again().await?;
        }
        Ok(found)
    }

    /// Waits until there is a new entry, or a while.
    pub(super) async fn wait(&mut self) -> redis::RedisResult<()> {
        // With `COUNT 1` as it is read again, together with those behind it.
        self.xread(&["COUNT", "1", "BLOCK", &WAIT_MILLIS.to_string()]).await.map(drop)
    }

    /// Compares the numbers when all was read: entries that were trimmed while we were reading show here.
    async fn count_again(&mut self) -> redis::RedisResult<()> {
        let Some(info) = self.info().await? else { return Ok(()) };
        if info.last != self.position.last() {
            return Ok(());
        }
        match (info.added, self.position.number) {
            (Some(added), Some(number)) if added > number => self.lose(added - number, added),
            (added, _) => self.position.number = added,
        }
        Ok(())
    }

    fn lose(&mut self, entries: u64, number: u64) {
        self.position.lost += entries;
        self.position.number = Some(number);
        let last = self.position.last();
        tracing::warn!(
            entries,
            in_all = self.position.lost,
            "entries of {STREAM} were trimmed away before they were read, about {last}; let the mirror keep more entries, or run twm-lookup without such pauses"
        );
    }

    async fn holds(&mut self, id: Stamp) -> redis::RedisResult<bool> {
        let mut range = redis::cmd("XRANGE");
        range.arg(STREAM).arg(id.to_string()).arg(id.to_string());
        let found: Vec<Value> = range.query_async(&mut self.connection).await?;
        Ok(!found.is_empty())
    }

    async fn xread(&mut self, options: &[&str]) -> redis::RedisResult<Vec<StreamId>> {
        let mut read = redis::cmd("XREAD");
        read.arg(options).arg("STREAMS").arg(STREAM).arg(self.position.last().to_string());
        let reply: Option<StreamReadReply> = read.query_async(&mut self.connection).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    async fn info(&mut self) -> redis::RedisResult<Option<Info>> {
        let mut ask = redis::cmd("XINFO");
        ask.arg("STREAM").arg(STREAM);
        let answer: Value = match ask.query_async(&mut self.connection).await {
            Ok(answer) => answer,
            Err(error) if error.to_string().contains("no such key") => return Ok(None),
            Err(error) if error.to_string().contains("unknown command") => {
                self.unknown = true;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut info = Info { length: 0, last: Stamp::ZERO, first: None, added: None };
        for (name, value) in pairs(answer) {
            match name.as_str() {
                "length" => info.length = u64::from_redis_value(value)?,
                "entries-added" => info.added = Some(u64::from_redis_value(value)?),
                "last-generated-id" => info.last = stamp(value).unwrap_or(Stamp::ZERO),
                "first-entry" => info.first = first_of(value).and_then(stamp),
                _ => {}
            }
        }
        Ok(Some(info))
    }
}

/// The pairs of a map, in either protocol's form.
fn pairs(answer: Value) -> Vec<(String, Value)> {
    let named = |(name, value): (Value, Value)| Some((String::from_redis_value(name).ok()?, value));
    match answer {
        Value::Map(pairs) => pairs.into_iter().filter_map(named).collect(),
        Value::Array(flat) => {
            let mut values = flat.into_iter();
            let flat = std::iter::from_fn(move || Some((values.next()?, values.next()?)));
            flat.filter_map(named).collect()
        }
        _ => Vec::new(),
    }
}

fn first_of(value: Value) -> Option<Value> {
    match value {
        Value::Array(values) => values.into_iter().next(),
        _ => None,
    }
}

fn stamp(value: Value) -> Option<Stamp> {
    Stamp::of_entry(&String::from_redis_value(value).ok()?)
}
