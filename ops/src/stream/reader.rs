//! Reads the entries of a stream.
//!
//! Redis trims a stream to a length. Whether entries were trimmed before they were read follows from counters: Redis
//! counts all entries ever added (`entries-added`, since 7.0), and the reader those that it has read.

use std::borrow::Cow;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use redis::{FromRedisValue as _, RedisError, Value};

use storage::dataset::SourceName;
use storage::net::mirrored::{ID, JSON, USER, stream_of};

use super::{Position, Stamp};

/// Most entries read at once.
const ENTRIES: usize = 500;
/// How long Redis waits for a new entry: less than the timeout of an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The error of Redis before 5.0 for commands of streams.
const UNKNOWN_COMMAND: &str = "unknown command";

/// What the methods here return.
type Result<T> = std::result::Result<T, StreamError>;

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The key has another type.
    #[error("its key {key} is no stream: {source}; remove or rename it")]
    NoStream {
        /// The key.
        key: Cow<'static, str>,
        /// What Redis said.
        source: RedisError,
    },
    /// Redis is unreachable, or refuses.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// The stream and its reader.
#[derive(Debug, Clone)]
pub struct StreamName {
    /// Its key.
    pub key: Cow<'static, str>,
    /// A description of its entries.
    pub what: &'static str,
    /// The program that reads it.
    pub reader: &'static str,
}

impl StreamName {
    /// The stream of a source that corresponds to `stream`, which is that of the default one.
    pub fn of(source: &SourceName, stream: &'static str, what: &'static str, reader: &'static str) -> Self {
        Self { key: stream_of(stream, source), what, reader }
    }
}

/// An entry.
#[derive(Debug, Default)]
pub struct Found {
    /// When it came.
    pub stamp: Stamp,
    /// The id in addition to the JSON.
    pub id: Option<String>,
    /// The account in addition to the JSON.
    pub user: Option<String>,
    /// The JSON, if there is any.
    pub json: Option<Vec<u8>>,
}

/// Reads a stream from a position.
pub struct StreamReader {
    name: StreamName,
    connection: MultiplexedConnection,
    position: Position,
    /// Number of entries ever added, as last seen.
    added: Option<u64>,
    exists: bool,
    /// Redis before 5.0 knows no streams.
    unknown: bool,
}

/// Redis' information about the stream.
struct Info {
    length: u64,
    last: Stamp,
    first: Option<Stamp>,
    /// Entries ever added.
    added: Option<u64>,
}

impl StreamReader {
    /// Starts reading at `position`.
    pub fn new(name: StreamName, connection: MultiplexedConnection, position: Position) -> Self {
        Self { name, connection, position, added: None, exists: false, unknown: false }
    }

    /// The current position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Number of unread entries when the stream was last checked; absent if Redis does not count.
    pub fn behind(&self) -> Option<u64> {
        Some(self.added?.saturating_sub(self.position.number?))
    }

    /// Whether there is a stream.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Checks that the position still fits the stream; returns whether there is one at all.
    ///
    /// # Errors
    /// Redis is unreachable, or the key is not a stream.
    pub async fn begin(&mut self) -> Result<bool> {
        let Some(info) = self.info().await? else { return Ok(false) };
        self.exists = true;
        let last = self.position.last();
        let replaced = info.last < last
            || matches!((info.added, self.position.number), (Some(added), Some(number)) if added < number);
        if replaced {
            tracing::warn!(
                "{} is another one than that which was read up to {last}; it is read from its first entry",
                self.name.key
            );
            self.position = Position { lost: self.position.lost, ..Position::START };
        }
        let gone = info.added.map(|added| added.saturating_sub(info.length));
        match (gone, self.position.number) {
            // The first start: what was trimmed before does not count as lost.
            (gone, _) if self.position.last() == Stamp::ZERO => self.position.number = gone,
            (Some(gone), Some(number)) if gone > number => self.lose(gone - number, gone),
            (_, None)
                if !self.holds(last).await?
                    && info.first.is_none_or(|first| first > last)
                    && info.last > last =>
            {
                tracing::warn!(
                    "{} was trimmed past {last}, the last entry read: {} may be missing",
                    self.name.key,
                    self.name.what
                );
            }
            _ => {}
        }
        Ok(true)
    }

    /// The next entries; none if all were read, or there is no stream.
    ///
    /// # Errors
    /// Redis is unreachable, or the key is not a stream.
    pub async fn read(&mut self) -> Result<Vec<Found>> {
        if self.unknown {
            return Ok(Vec::new());
        }
        let entries = match self.xread(&["COUNT", &ENTRIES.to_string()]).await {
            Ok(entries) => entries,
            Err(error) if is_unknown(&error) => {
                self.unknown = true;
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut found = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Some(stamp) = Stamp::of_entry(&entry.id) else { continue };
            found.push(Found { stamp, id: entry.get(ID), user: entry.get(USER), json: entry.get(JSON) });
            self.position.millis = stamp.millis;
            self.position.sequence = stamp.sequence;
        }
        if !found.is_empty() {
            if !self.exists {
                // It was created after the last check.
                self.exists = true;
                self.position.number = Some(0);
            }
            self.position.number = self.position.number.map(|number| number + found.len() as u64);
            self.count_again().await?;
        }
        Ok(found)
    }

    /// Waits for a new entry, or for this long, at most a second.
    ///
    /// # Errors
    /// Redis is unreachable, or the key is not a stream.
    pub async fn wait(&mut self, longest: Duration) -> Result<()> {
        // Redis takes 0 as forever.
        let millis = longest.min(LONGEST_WAIT).as_millis().max(1).to_string();
        // With `COUNT 1`, because it is read again together with those behind it.
        self.xread(&["COUNT", "1", "BLOCK", &millis]).await.map(drop)
    }

    /// Compares the counters when everything was read: entries that were trimmed during the read show here.
    async fn count_again(&mut self) -> Result<()> {
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
        let StreamName { key, reader, .. } = &self.name;
        tracing::warn!(
            entries,
            in_all = self.position.lost,
            "entries of {key} were trimmed away before they were read, about {last}; let the mirror keep more entries, or run {reader} without such pauses"
        );
    }

    fn failed(&self, source: RedisError) -> StreamError {
        match source.code() {
            Some("WRONGTYPE") => StreamError::NoStream { key: self.name.key.clone(), source },
            _ => StreamError::Redis(source),
        }
    }

    async fn holds(&mut self, id: Stamp) -> Result<bool> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&*self.name.key).arg(id.to_string()).arg(id.to_string());
        let found: Vec<Value> = range.query_async(&mut self.connection).await?;
        Ok(!found.is_empty())
    }

    async fn xread(&mut self, options: &[&str]) -> Result<Vec<StreamId>> {
        let mut read = redis::cmd("XREAD");
        read.arg(options).arg("STREAMS").arg(&*self.name.key).arg(self.position.last().to_string());
        let reply: Option<StreamReadReply> =
            read.query_async(&mut self.connection).await.map_err(|error| self.failed(error))?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    async fn info(&mut self) -> Result<Option<Info>> {
        let mut ask = redis::cmd("XINFO");
        ask.arg("STREAM").arg(&*self.name.key);
        let answer: Value = match ask.query_async(&mut self.connection).await {
            Ok(answer) => answer,
            Err(error) if error.to_string().contains("no such key") => return Ok(None),
            Err(error) if error.to_string().contains(UNKNOWN_COMMAND) => {
                self.unknown = true;
                return Ok(None);
            }
            Err(error) => return Err(self.failed(error)),
        };
        let mut info = Info { length: 0, last: Stamp::ZERO, first: None, added: None };
        for (name, value) in pairs(answer) {
            match name.as_str() {
                "length" => info.length = number(value)?,
                "entries-added" => info.added = Some(number(value)?),
                "last-generated-id" => info.last = stamp(value).unwrap_or(Stamp::ZERO),
                "first-entry" => info.first = first_of(value).and_then(stamp),
                _ => {}
            }
        }
        self.added = info.added;
        Ok(Some(info))
    }
}

fn is_unknown(error: &StreamError) -> bool {
    matches!(error, StreamError::Redis(error) if error.to_string().contains(UNKNOWN_COMMAND))
}

fn number(value: Value) -> Result<u64> {
    u64::from_redis_value(value).map_err(|error| StreamError::Redis(error.into()))
}

/// The pairs of a map, in either protocol version.
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
