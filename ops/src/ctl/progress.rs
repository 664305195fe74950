//! Progress on standard error: a bar on a terminal, an occasional line in a log.

use std::time::Duration;

use api::documents::{Done, Rates};
use api::model::CrawlView;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::output::{is_watched, note};
use super::render::{count, duration, rate};

/// Pause between two lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

const CRAWL_TEMPLATE: &str = "{prefix} [{wide_bar}] {msg}";
const SPINNER_TEMPLATE: &str = "{spinner} {wide_msg}";

/// Shows the progress of a crawl. Cleans up the terminal on drop.
pub struct CrawlProgress {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl CrawlProgress {
    /// Starts showing; the first line in a log comes after [`LINE_EVERY`].
    pub fn new() -> Self {
        Self { bar: None, last_line: Instant::now() }
    }

    /// Shows the current state of a crawl.
    pub fn show(&mut self, crawl: &CrawlView, rates: Rates) {
        let (length, done) = (crawl.counters.users.accepted, Done::of(crawl).users);
        if is_watched() {
            let bar =
                self.bar.get_or_insert_with(|| ProgressBar::new(length).with_style(style(CRAWL_TEMPLATE)));
            bar.set_length(length);
            bar.set_position(done);
            bar.set_prefix(format!("crawl {}", crawl.id));
            bar.set_message(format!("{}\n{}", describe_position(crawl, rates), describe_pace(crawl, rates)));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let (position, pace) = (describe_position(crawl, rates), describe_pace(crawl, rates));
            note(format!("crawl {}: {position}; {pace}", crawl.id));
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

/// `1,200 of 5,000 users, about 2m 03s left`.
fn describe_position(crawl: &CrawlView, rates: Rates) -> String {
    let left = match rates.estimate(crawl) {
        Some(seconds) => format!("about {} left", duration(Duration::from_secs_f64(seconds))),
        None => "time left unknown".to_owned(),
    };
    format!("{} of {} users, {left}", count(Done::of(crawl).users), count(crawl.counters.users.accepted))
}

/// `running, 31.0 users/s, 480 tweets/s, 0.0 followers/s, 3 failed`.
fn describe_pace(crawl: &CrawlView, rates: Rates) -> String {
    let failed = match crawl.counters.users.failed {
        0 => String::new(),
        n => format!(", {} failed", count(n)),
    };
    format!(
        "{}, {} users/s, {} tweets/s, {} followers/s{failed}",
        crawl.phase.name(),
        rate(rates.users),
        rate(rates.tweets),
        rate(rates.followers),
    )
}

/// Shows on a terminal that something of unknown length is in progress. Cleans up the terminal on drop.
pub struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// Begins to show.
    pub fn new() -> Self {
        let bar = if is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { bar: bar.with_style(style(SPINNER_TEMPLATE)) }
    }

    /// Shows the current activity.
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
    // An invalid template falls back to the default style; the test below checks ours.
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [CRAWL_TEMPLATE, SPINNER_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_crawl_is_described_with_rates_failures_and_an_estimate() {
        let crawl = samples::crawl();
        let rates = Rates { users: 2.0, tweets: 480.0, followers: 0.0 };
        assert_eq!(describe_position(&crawl, rates), "1,300 of 2,000 users, about 5m 50s left");
        assert_eq!(
            describe_pace(&crawl, rates),
            "running, 2.0 users/s, 480 tweets/s, 0.0 followers/s, 100 failed"
        );
        assert!(describe_position(&crawl, Rates::default()).ends_with("time left unknown"));
    }
}
