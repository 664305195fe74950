//! A node's documents as JSON; those of the cluster are in `api::documents`. The names are a public interface: add
//! new ones, never rename.

use api::model::{Event, EventKind};
use serde_json::{Map, Value, json};

use crate::logs::LogLine;
use crate::mirror::event_fields;
use crate::session::ShownJob;

/// A running job.
pub(super) fn job(job: &ShownJob) -> Value {
    json!({
        "lease": job.lease.0.to_string(),
        "crawl": job.crawl.0,
        "user": job.user.to_string(),
        "operation": job.operation.name(),
        "attempt": job.attempt,
        "running_ms": job.running.as_millis() as u64,
        "pages": job.pages,
        "items": job.items,
    })
}

/// A line of the log.
pub(super) fn log_line(line: &LogLine) -> Value {
    json!({
        "sequence": line.sequence,
        "at_ms": line.at_ms,
        "level": line.level.as_str().to_ascii_lowercase(),
        "target": line.target,
        "text": line.text,
    })
}

/// An event of the job stream, named as in `twm:events`. `begin` is the Unix time at which cluster time was
/// 0, ms.
pub(super) fn event(number: u64, begin: u64, event: &Event) -> Value {
    /// What counts something.
    const NUMBERS: [&str; 10] = [
        "crawl",
        "node",
        "attempt",
        "items",
        "accepted",
        "duplicates",
        "accounts",
        "admitted",
        "discarded",
        "after_ms",
    ];
    let fields = event_fields(event);
    let pairs = fields.chunks_exact(2).filter(|pair| !["number", "at"].contains(&pair[0].as_str()));
    let value = |pair: &[String]| match pair[1].parse::<u64>() {
        Ok(number) if NUMBERS.contains(&pair[0].as_str()) => (pair[0].clone(), json!(number)),
        _ => (pair[0].clone(), json!(pair[1])),
    };
    let mut all: Map<_, _> = pairs.map(value).collect();
    if let EventKind::Job { operation, .. } = &event.kind {
        all.insert("operation".to_owned(), json!(operation.name()));
    }
    all.insert("number".to_owned(), json!(number));
    all.insert("id".to_owned(), json!(event.id.to_string()));
    all.insert("at_ms".to_owned(), json!(begin + event.at));
    Value::Object(all)
}
