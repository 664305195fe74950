//! The newest log lines, kept in memory for the monitor.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::env::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
const LINES: usize = 500;
/// Longest text of a line, bytes: errors may quote external data.
const LONGEST: usize = 2_000;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Number of the line in this process, from 1.
    pub sequence: u64,
    /// Wall-clock time, ms since the Unix epoch.
    pub at_ms: u64,
    /// Its severity.
    pub level: Level,
    /// The part of the program.
    pub target: &'static str,
    /// The message with its fields.
    pub text: String,
}

/// The newest lines; clones share them.
#[derive(Clone)]
pub struct LogRing {
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    sequence: u64,
}

impl fmt::Debug for LogRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRing").finish_non_exhaustive()
    }
}

impl LogRing {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines after this one, at most the newest `most`, oldest first. All, if there is no such line yet: it
    /// belongs to an earlier run.
    pub fn after(&self, sequence: u64, most: usize) -> Vec<LogLine> {
        let kept = self.lock();
        let sequence = if sequence > kept.sequence { 0 } else { sequence };
        let newer = kept.lines.iter().filter(|line| line.sequence > sequence).count().min(most);
        kept.lines.iter().skip(kept.lines.len() - newer).cloned().collect()
    }

    fn push(&self, level: Level, target: &'static str, text: String) {
        let at_ms = u64::try_from(self.clock.wall().as_millis()).unwrap_or(u64::MAX);
        let mut kept = self.lock();
        kept.sequence += 1;
        let sequence = kept.sequence;
        if kept.lines.len() >= LINES {
            kept.lines.pop_front();
        }
        kept.lines.push_back(LogLine { sequence, at_ms, level, target, text });
    }
}

impl<S: Subscriber> Layer<S> for LogRing {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.push(*event.metadata().level(), event.metadata().target(), words.into_text());
    }
}

/// An event's message and fields as text.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn into_text(self) -> String {
        let mut text = match (self.message.is_empty(), self.fields.is_empty()) {
            (false, false) => format!("{} {}", self.message, self.fields),
            _ => self.message + &self.fields,
        };
        storage::text::truncate(&mut text, LONGEST);
        text
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            name => {
                let between = if self.fields.is_empty() { "" } else { " " };
                write!(self.fields, "{between}{name}={value}")
            }
        };
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::env::ManualClock;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_newest_lines_are_kept_with_their_fields_and_a_bound() {
        let ring = LogRing::new(Arc::new(ManualClock::at_wall(Duration::from_secs(7))));
        tracing::subscriber::with_default(tracing_subscriber::Registry::default().with(ring.clone()), || {
            tracing::warn!(node = 3, why = "no route", "cannot reach {}", "it");
            for n in 0..LINES {
                tracing::info!("{n}{}", "ü".repeat(LONGEST));
            }
        });
        let lines = ring.after(0, usize::MAX);
        assert_eq!((lines.len(), lines[0].sequence), (LINES, 2), "the first has made room");
        assert!(lines.iter().all(|line| line.text.len() <= LONGEST && line.at_ms == 7_000));
        let newest = ring.after(LINES as u64 - 1, 1);
        assert_eq!(newest.iter().map(|line| line.sequence).collect::<Vec<_>>(), [LINES as u64 + 1]);
    }

    #[test]
    fn a_line_says_what_the_log_says() {
        let ring = LogRing::new(Arc::new(ManualClock::default()));
        tracing::subscriber::with_default(tracing_subscriber::Registry::default().with(ring.clone()), || {
            tracing::warn!(node = 3, why = "no route", "cannot reach {}", "it");
        });
        let line = &ring.after(0, 9)[0];
        assert_eq!(line.text, "cannot reach it node=3 why=no route");
        assert_eq!(line.level, Level::WARN);
        assert_eq!((ring.after(1, 9).len(), ring.after(2, 9).len()), (0, 1), "the second is of another run");
    }
}
