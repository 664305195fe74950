//! Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{self, Write as _};

/// A page of metrics being written.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family of counters.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "counter", help)
    }

    /// Begins a family of gauges.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.begin(name, "gauge", help)
    }

    fn begin(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.family = name;
        self.add(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self
    }

    /// Adds a sample to the current family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) -> &mut Self {
        let family = self.family;
        self.text.push_str(family);
        let mut before = '{';
        for (label, text) in labels {
            self.add(format_args!("{before}{label}=\"{}\"", Escaped(text)));
            before = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.add(format_args!(" {value}\n"));
        self
    }

    /// The page.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn add(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// A label's value.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_their_familys_help_and_type_and_labels_are_escaped() {
        let mut page = Exposition::default();
        page.counter("a_total", "So many.").sample(&[("x", "1"), ("y", "a\"b\\c\nd")], 3).sample(&[], 4);
        page.gauge("b", "Now.").sample(&[], 0.5);
        assert_eq!(
            page.into_text(),
            "# HELP a_total So many.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 3\na_total 4\n\
             # HELP b Now.\n# TYPE b gauge\nb 0.5\n"
        );
    }
}
