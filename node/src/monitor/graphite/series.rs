//! Requests to Graphite's render API, and the conversion of its answers to points.

use std::collections::BTreeMap;
use std::time::Duration;

use api::documents::counters::{self, GROWING, ONGOING};
use serde::Deserialize;

use crate::monitor::history::Range;

/// Prefix of a node's name: items that it fetched per second.
const NODE: &str = "stats.ops.";
/// Most nodes shown: a chart cannot distinguish more lines.
const MOST_NODES: usize = 32;

/// Time between two points: some hundreds fill a chart.
fn step(range: Range) -> Duration {
    Duration::from_secs(match range {
        Range::Hour => 10,
        Range::Quarter => 60,
        Range::Day => 300,
        Range::Week => 1800,
    })
}

/// Points of all series, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Series {
    /// Seconds between two points.
    pub(crate) step_s: u64,
    /// The names of a point's values, the time first: `at_ms`, the labels of `twm-stats`, `stats.ops.NODE`.
    pub(crate) fields: Vec<String>,
    /// A value is absent if Graphite has none.
    pub(crate) points: Vec<Vec<Option<f64>>>,
}

/// A range of time up to now, in steps that start at multiples of their length. Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    from: u64,
    now: u64,
    step: u64,
}

/// A series as the render API returns it.
#[derive(Debug, Deserialize)]
struct Rendered {
    target: String,
    datapoints: Vec<(Option<f64>, u64)>,
}

impl Span {
    pub(super) fn of(range: Range, now: Duration) -> Self {
        let (now, step) = (now.as_secs(), step(range).as_secs());
        let from = now.saturating_sub(range.length().as_secs());
        Self { from: from - from % step, now, step }
    }

    /// The query of one request for everything.
    pub(super) fn query(self) -> Vec<(&'static str, String)> {
        let Self { from, now, step } = self;
        let summary = |label: &str, of: &str| format!("summarize({label},\"{step}s\",\"{of}\")");
        let named = |label: &'static str, of| format!("alias({},\"{label}\")", summary(label, of));
        // The value of a step is the last one of a counter, and the mean of a gauge.
        let growing = GROWING.map(|label| named(label, "last"));
        let gauges = ONGOING.map(|label| named(label, "avg"));
        let each = format!("groupByNode({},3,\"sum\")", summary("stats.ops.*.*", "sum"));
        let nodes = format!("aliasSub(limit({each},{MOST_NODES}),\"^\",\"{NODE}\")");
        let targets = growing.into_iter().chain(gauges).chain([nodes]);
        let bounds = [("from", from.to_string()), ("until", now.to_string()), ("format", "json".to_owned())];
        bounds.into_iter().chain(targets.map(|target| ("target", target))).collect()
    }

    /// The points of an answer. What is outside the range, or in no requested series, is left out.
    pub(super) fn read(self, body: &[u8]) -> serde_json::Result<Series> {
        let rendered: Vec<Rendered> = serde_json::from_slice(body)?;
        let mut labels: Vec<String> = counters::all().map(str::to_owned).collect();
        let mut steps: BTreeMap<u64, BTreeMap<usize, f64>> = BTreeMap::new();
        for Rendered { target, datapoints } in rendered {
            let place = match labels.iter().position(|label| *label == target) {
                Some(place) => place,
                None if target.starts_with(NODE) && labels.len() < counters::all().count() + MOST_NODES => {
                    labels.push(target);
                    labels.len() - 1
                }
                None => continue,
            };
            for (value, at) in datapoints {
                if let Some(value) = value.filter(|_| (self.from..=self.now).contains(&at)) {
                    steps.entry(at - at % self.step).or_default().insert(place, value);
                }
            }
        }
        let point = |(begin, values): (u64, BTreeMap<usize, f64>)| self.point(begin, &values, &labels);
        // The rate in a step that has just begun is unknown.
        let tells = |begin: &u64| begin + self.step / 2 <= self.now;
        let points = steps.into_iter().filter(|(begin, _)| tells(begin)).map(point).collect();
        let fields = std::iter::once("at_ms".to_owned()).chain(labels.iter().cloned()).collect();
        Ok(Series { step_s: self.step, fields, points })
    }

    /// The point of a step. Its time is the step's end, where the last values apply; the newest step may not have
    /// ended.
    fn point(self, begin: u64, values: &BTreeMap<usize, f64>, labels: &[String]) -> Vec<Option<f64>> {
        let end = (begin + self.step).min(self.now).max(begin);
        let seconds = (end - begin).max(1) as f64;
        let value = |(place, label): (usize, &String)| match values.get(&place) {
            // Nothing is sent for a second in which nothing was fetched.
            value if label.starts_with(NODE) => Some(value.copied().unwrap_or(0.0) / seconds),
            value => value.copied(),
        };
        std::iter::once(Some((end * 1000) as f64)).chain(labels.iter().enumerate().map(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_030);

    fn read(body: &str) -> Series {
        Span::of(Range::Quarter, NOW).read(body.as_bytes()).unwrap()
    }

    #[test]
    fn all_labels_are_asked_for_at_once_in_whole_steps() {
        let query = Span::of(Range::Quarter, NOW).query();
        assert_eq!(query[0], ("from", "1699978380".to_owned()));
        assert_eq!(query.iter().filter(|(name, _)| *name == "target").count(), 16);
        assert!(query.iter().any(|(_, value)| {
            value == "alias(summarize(timeline.total_fetched,\"60s\",\"last\"),\"timeline.total_fetched\")"
        }));
    }

    #[test]
    fn points_stand_at_the_end_of_their_step_and_what_nobody_asked_for_is_left_out() {
        let series = read(
            r#"[{"target": "timeline.total_fetched", "datapoints": [[1, 1699999920], [null, 1699999980], [7.5, 9]]},
                {"target": "stats.ops.node-2", "datapoints": [[30, 1699999980], [10, 1700000000]]},
                {"target": "somebody's", "datapoints": [[5, 1699999920]]}]"#,
        );
        assert_eq!((series.fields.len(), series.fields[0].as_str()), (17, "at_ms"));
        let of = |name: &str| series.fields.iter().position(|field| field == name).unwrap();
        let (fetched, node) = (of("timeline.total_fetched"), of("stats.ops.node-2"));
        let shown: Vec<_> = series.points.iter().map(|p| (p[0], p[fetched], p[node])).collect();
        // The last step has lasted 50 s.
        assert_eq!(
            shown,
            [(Some(1_699_999_980_000.0), Some(1.0), Some(0.0)), (Some(1_700_000_030_000.0), None, Some(0.2))]
        );
    }

    #[test]
    fn an_answer_of_many_series_and_points_makes_no_more_points_than_the_range_has_steps() {
        let points: Vec<_> = (0..40_000_u64).map(|n| format!("[{n}, {}]", 1_699_970_000 + n)).collect();
        let series: Vec<_> = (0..100)
            .map(|n| format!("{{\"target\": \"stats.ops.n{n}\", \"datapoints\": [{}]}}", points.join(",")))
            .collect();
        let read = read(&format!("[{}]", series.join(",")));
        assert_eq!((read.fields.len(), read.points.len()), (1 + 15 + MOST_NODES, 361));
        assert!(Span::of(Range::Week, NOW).read(b"<html>").is_err());
    }
}
