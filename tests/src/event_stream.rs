//! Reads the stream of events in Redis.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use api::model::EventId;
use redis::streams::StreamRangeReply;

use crate::redis_server::RedisServer;

/// Entries per read.
const PAGE: usize = 5_000;

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: EventId,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
}

impl Entry {
    /// A field; empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A numeric field.
    ///
    /// # Errors
    /// The field is missing or not a number.
    pub fn number(&self, name: &str) -> anyhow::Result<u64> {
        self.text(name).parse().with_context(|| format!("{name} in {self:?}"))
    }
}

/// All entries, oldest first.
///
/// # Errors
/// Redis does not answer, or an entry is not an event.
pub async fn entries(redis: &RedisServer) -> anyhow::Result<Vec<Entry>> {
    let mut connection = redis.connection().await?;
    let mut all = Vec::new();
    let mut from = "-".to_owned();
    // A long stream in a single reply would exceed the connection's timeout.
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg("twm:events").arg(&from).arg("+").arg("COUNT").arg(PAGE);
        let page: StreamRangeReply =
            command.query_async(&mut connection).await.context("XRANGE twm:events")?;
        let Some(last) = page.ids.last() else { break };
        from = format!("({}", last.id);
        all.extend(page.ids);
    }
    let entry = |entry: redis::streams::StreamId| {
        let fields = entry.map.into_iter();
        let fields = fields.map(|(name, value)| Ok((name, redis::from_redis_value(value)?)));
        Ok(Entry { id: entry.id.parse()?, fields: fields.collect::<anyhow::Result<_>>()? })
    };
    all.into_iter().map(entry).collect()
}

/// Checks that each event is present exactly once and in order.
///
/// # Errors
/// An entry is missing, repeated or out of order.
pub fn check_order(entries: &[Entry]) -> anyhow::Result<()> {
    for (at, entry) in entries.iter().enumerate() {
        ensure!(
            entry.number("number")? == at as u64 + 1,
            "entry {at} has a hole or a double before it: {entry:?}"
        );
    }
    ensure!(entries.is_sorted_by(|a, b| a.id < b.id), "ids do not grow");
    Ok(())
}
