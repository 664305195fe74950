//! A page of metrics in the OpenMetrics text format, encoded by `prometheus-client`.
//!
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

/// The media type of the page.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The format appends this to the name of each counter.
const COUNTER_SUFFIX: &str = "_total";

/// A page of metrics that is being built.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

type Labels = Vec<(String, String)>;

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

macro_rules! whole {
    ($($from:ty),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::Whole(value as u64)
            }
        })*
    };
}

whole!(u8, u32, u64, usize);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Exposition {
    /// Begins a family of counters, whose name ends with `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Self {
        self.begin(name.strip_suffix(COUNTER_SUFFIX).unwrap_or(name), MetricType::Counter, help)
    }

    /// Begins a family of gauges.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Self {
        self.begin(name, MetricType::Gauge, help)
    }

    fn begin(&mut self, name: &'static str, kind: MetricType, help: &'static str) -> &mut Self {
        self.families.push(Family { name, help, kind, samples: Vec::new() });
        self
    }

    /// Adds a sample to the current family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) -> &mut Self {
        let labels = labels.iter().map(|&(label, text)| (label.to_owned(), text.to_owned())).collect();
        if let Some(family) = self.families.last_mut() {
            family.samples.push((labels, value.into()));
        }
        self
    }

    /// The page.
    pub(super) fn into_text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for Family { name, help, kind, samples } in &self.families {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for (labels, value) in samples {
                let mut sample = family.encode_family(labels)?;
                let counts = matches!(kind, MetricType::Counter);
                let no_exemplar = None::<&Exemplar<NoLabelSet, f64>>;
                match value {
                    Value::Whole(value) if counts => sample.encode_counter(value, no_exemplar)?,
                    Value::Real(value) if counts => sample.encode_counter(value, no_exemplar)?,
                    Value::Whole(value) => sample.encode_gauge(value)?,
                    Value::Real(value) => sample.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_their_familys_help_and_type_and_labels_are_escaped() {
        let mut page = Exposition::default();
        page.counter("a_total", "So many.")
            .sample(&[("x", "1"), ("y", "a\"b\\c\nd")], 3_u64)
            .sample(&[], 4_u64);
        page.gauge("b", "Now.").sample(&[], 0.5);
        assert_eq!(
            page.into_text(),
            "# HELP a So many.\n# TYPE a counter\na_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 3\na_total 4\n\
             # HELP b Now.\n# TYPE b gauge\nb 0.5\n# EOF\n"
        );
    }
}
