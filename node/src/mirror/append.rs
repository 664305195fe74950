//! Appending to the stream of events, exactly behind what is there.

use api::model::EventId;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script, Value};
use storage::net::mirrored::EVENTS;

/// Runs commands if the stream ends at the expected id; else nothing. Answers whether it did, and where the stream
/// ended before. A stream that is not there ends at 0-0.
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

/// Where the stream ends, and which event that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct End {
    /// Its last id, of an entry that may have been trimmed.
    pub(super) id: EventId,
    /// The event's number, if its entry is still there.
    pub(super) number: Option<u64>,
}

/// What became of an attempt.
pub(super) enum Appended {
    Done,
    /// The stream ends elsewhere.
    Elsewhere,
}

/// The script, with its digest.
pub(super) struct Appender {
    script: Script,
}

impl Appender {
    pub(super) fn new() -> Self {
        Self { script: Script::new(APPEND) }
    }

    /// Runs the commands if the stream ends at `behind`.
    pub(super) async fn append(
        &self,
        redis: &mut MultiplexedConnection,
        behind: EventId,
        commands: &[Vec<String>],
    ) -> RedisResult<Appended> {
        let mut call = self.script.key(EVENTS);
        call.arg(behind.to_string());
        for words in commands {
            call.arg(words.len());
            words.iter().for_each(|word| {
                call.arg(word);
            });
        }
        let (done, _): (u8, String) = call.invoke_async(redis).await?;
        Ok(if done == 1 { Appended::Done } else { Appended::Elsewhere })
    }
}

/// Asks where the stream ends.
pub(super) async fn end(redis: &mut MultiplexedConnection) -> RedisResult<End> {
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
