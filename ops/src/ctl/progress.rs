//! Progress on standard error: a bar for who watches a terminal, a line now and then for a log.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use raft::model::CrawlView;
use tokio::time::Instant;

use super::meter::estimate;
use super::output::{is_watched, note};
use super::render::{Progressed, Rates, count, duration, rate};

/// Pause between two lines where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a crawl is. Leaves the terminal clean when dropped.
pub struct CrawlProgress {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl CrawlProgress {
    /// Begins to show; the first line of a log comes after [`LINE_EVERY`].
    pub fn new() -> Self {
        let bar = is_watched().then(|| ProgressBar::new(0).with_style(style("{prefix} [{bar:24}] {msg}")));
        Self { bar, last_line: Instant::now() }
    }

    /// Shows a crawl as it stands.
    pub fn show(&mut self, crawl: &CrawlView, rates: Rates) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("crawl {}", crawl.id));
            bar.set_length(crawl.counters.users.accepted);
            bar.set_position(Progressed::of(crawl).users);
            bar.set_message(describe(crawl, rates));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            note(format!("crawl {}: {}", crawl.id, describe(crawl, rates)));
        }
    }
}

impl Drop for CrawlProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `1,200 of 5,000 users, 31.0 users/s, ...`.
fn describe(crawl: &CrawlView, rates: Rates) -> String {
    let left = match estimate(crawl, rates) {
        _ if crawl.phase.is_over() => String::new(),
        Some(time) => format!(", about {} left", duration(time)),
        None => ", time left unknown".to_owned(),
    };
    let failed = match crawl.counters.users.failed {
        0 => String::new(),
        n => format!(", {} failed", count(n)),
    };
    format!(
        "{}: {} of {} users, {} users/s, {} tweets/s, {} followers/s{failed}{left}",
        crawl.phase.name(),
        count(Progressed::of(crawl).users),
        count(crawl.counters.users.accepted),
        rate(rates.users),
        rate(rates.tweets),
        rate(rates.followers),
    )
}

/// Shows that something of unknown length goes on, to who watches. Leaves the terminal clean when dropped.
pub struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// Begins to show.
    pub fn new() -> Self {
        let bar = if is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { bar: bar.with_style(style("{spinner} {msg}")) }
    }

    /// Shows what goes on.
    pub fn show(&self, text: String) {
        self.bar.set_message(text);
        self.bar.tick();
    }

    /// Prints a line above.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template with a mistake falls back to the default look; the test below keeps ours right.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use raft::model::CrawlPhase;

    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn the_templates_are_well_formed() {
        for template in ["{prefix} [{bar:24}] {msg}", "{spinner} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_crawl_is_described_with_rates_failures_and_an_estimate() {
        let mut crawl = samples::crawl();
        let rates = Rates { users: 2.0, tweets: 480.0, followers: 0.0 };
        let text = describe(&crawl, rates);
        assert_eq!(
            text,
            "running: 1,300 of 2,000 users, 2.0 users/s, 480 tweets/s, 0.0 followers/s, 100 failed, about 5m 50s left"
        );
        assert!(describe(&crawl, Rates::default()).ends_with("time left unknown"));
        crawl.phase = CrawlPhase::Finished;
        assert!(!describe(&crawl, rates).contains("left"));
    }
}
