//! The stream of events in Redis, as a reader finds it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use api::model::EventId;
use redis::streams::StreamRangeReply;

use crate::redis_server::RedisServer;

/// Entries that are read at a time.
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
    /// A field; empty when it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A field that has a number.
    ///
    /// # Errors
    /// It has none.
    pub fn number(&self, name: &str) -> anyhow::Result<u64> {
        self.text(name).parse().with_context(|| format!("{name} in {self:?}"))
    }
}

/// All entries, oldest first.
///
/// # Errors
/// Redis does not answer, or an entry is no event.
pub async fn entries(redis: &RedisServer) -> anyhow::Result<Vec<Entry>> {
    let mut connection = redis.connection().await?;
    let mut all = Vec::new();
    let mut from = "-".to_owned();
    // A long stream takes longer in one answer than a connection waits.
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

/// Each event is there once and in order.
///
/// # Errors
/// Where it is not so.
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
