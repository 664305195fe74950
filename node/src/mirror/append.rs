//! Appends to the stream of events, exactly behind its last entry.
//!
//! The mirror writes to an [`EventServer`]: to a Redis, or to a model of one in simulations.

use std::fmt::Display;
use std::time::Duration;

use api::model::EventId;
use futures::FutureExt;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult, Script, Value};
use storage::net::mirrored::EVENTS;
use storage::net::redis::{RedisError, RedisUrl};

/// Timeout of Redis.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Runs commands if the stream ends at the expected id, and otherwise nothing. Returns whether it did, and where the
/// stream ended before. A missing stream ends at 0-0.
///
/// `ARGV`: the expected id, then each command as the number of its words and the words.
const APPEND: &str = r"
local last = '0-0'
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err == nil then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
if last ~= ARGV[1] then return {0, last} end
local at = 2
while at <= #ARGV do
  local words = {}
  local count = tonumber(ARGV[at])
  for i = 1, count do words[i] = ARGV[at + i] end
  redis.call(unpack(words))
  at = at + count + 1
end
return {1, last}
";

/// The end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Its last id, of an entry that may have been trimmed.
    pub id: EventId,
    /// Number of the last event, if its entry still exists.
    pub number: Option<u64>,
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The commands were run.
    Done,
    /// The stream ends elsewhere, and no command was run.
    Elsewhere,
}

/// A server with the stream of events. Its `Display` form is a URL without the password.
pub trait EventServer: Display + Send + Sync {
    /// Connects to it.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn EventStream>, RedisError>>;
}

/// A connection to such a server. A command is an array of words, as in Redis.
pub trait EventStream: Send {
    /// The end of the stream; a missing one ends at 0-0.
    fn end(&mut self) -> BoxFuture<'_, RedisResult<End>>;

    /// Runs all commands if the stream ends at `behind`, and otherwise none.
    fn append<'a>(
        &'a mut self,
        behind: EventId,
        commands: &'a [Vec<String>],
    ) -> BoxFuture<'a, RedisResult<Appended>>;

    /// Runs commands that concern other keys.
    fn run(&mut self, batch: Pipeline) -> BoxFuture<'_, RedisResult<()>>;
}

impl EventServer for RedisUrl {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn EventStream>, RedisError>> {
        async move {
            let connection = RedisUrl::connect(self, ANSWER).await?;
            Ok(Box::new(RedisStream { connection, script: Script::new(APPEND) }) as Box<dyn EventStream>)
        }
        .boxed()
    }
}

struct RedisStream {
    connection: MultiplexedConnection,
    /// With its digest.
    script: Script,
}

impl EventStream for RedisStream {
    fn end(&mut self) -> BoxFuture<'_, RedisResult<End>> {
        end(&mut self.connection).boxed()
    }

    fn append<'a>(
        &'a mut self,
        behind: EventId,
        commands: &'a [Vec<String>],
    ) -> BoxFuture<'a, RedisResult<Appended>> {
        async move {
            let mut call = self.script.key(EVENTS);
            call.arg(behind.to_string());
            for words in commands {
                call.arg(words.len());
                words.iter().for_each(|word| {
                    call.arg(word);
                });
            }
            let (done, _): (u8, String) = call.invoke_async(&mut self.connection).await?;
            Ok(if done == 1 { Appended::Done } else { Appended::Elsewhere })
        }
        .boxed()
    }

    fn run(&mut self, batch: Pipeline) -> BoxFuture<'_, RedisResult<()>> {
        async move { batch.query_async(&mut self.connection).await }.boxed()
    }
}

async fn end(redis: &mut MultiplexedConnection) -> RedisResult<End> {
    let exists: bool = redis::cmd("EXISTS").arg(EVENTS).query_async(redis).await?;
    if !exists {
        return Ok(End::default());
    }
    let info: Vec<(String, Value)> =
        pairs(redis::cmd("XINFO").arg("STREAM").arg(EVENTS).query_async(redis).await?);
    let find = |name: &str| info.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let id: String = find("last-generated-id").map(redis::from_redis_value).transpose()?.unwrap_or_default();
    let entry = find("last-entry").map(redis::from_redis_value::<(String, Vec<String>)>).and_then(Result::ok);
    let number = entry.filter(|(entry, _)| *entry == id).and_then(|(_, fields)| {
        fields.chunks_exact(2).find(|pair| pair[0] == "number").and_then(|pair| pair[1].parse().ok())
    });
    Ok(End { id: id.parse().unwrap_or_default(), number })
}

/// A flat list of names and values, or a map, as pairs.
fn pairs(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Map(pairs) => pairs
            .into_iter()
            .filter_map(|(key, value)| Some((redis::from_redis_value(key).ok()?, value)))
            .collect(),
        Value::Array(items) => {
            let mut items = items.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.extend(redis::from_redis_value(key).ok().map(|key| (key, value)));
            }
            pairs
        }
        _ => Vec::new(),
    }
}
