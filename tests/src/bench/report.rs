//! Results, as a table and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::machine::Machine;

/// A setting longer than this, in bytes, is printed on its own line.
const LONG_SETTING: usize = 40;

/// Results of one benchmark over all runs.
#[derive(Serialize)]
pub(super) struct Report {
    benchmark: &'static str,
    settings: Vec<(&'static str, String)>,
    measures: Vec<Measure>,
}

/// One number, measured in every run.
#[derive(Serialize)]
struct Measure {
    name: String,
    unit: &'static str,
    /// The target of the design.
    reach: &'static str,
    values: Vec<f64>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a Report,
    machine: &'a Machine,
}

impl Report {
    pub(super) fn new(benchmark: &'static str) -> Self {
        Self { benchmark, settings: Vec::new(), measures: Vec::new() }
    }

    /// Records a setting, which is the same in every run.
    pub(super) fn setting(&mut self, name: &'static str, value: impl ToString) {
        if self.settings.iter().all(|(known, _)| *known != name) {
            self.settings.push((name, value.to_string()));
        }
    }

    /// Adds the value of a run. `reach` is the target of the design, if there is one.
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        reach: &'static str,
        value: f64,
    ) {
        let name = name.into();
        match self.measures.iter_mut().find(|m| m.name == name && m.unit == unit) {
            Some(measure) => measure.values.push(value),
            None => self.measures.push(Measure { name, unit, reach, values: vec![value] }),
        }
    }

    pub(super) fn table(&self, machine: &Machine) -> String {
        let mut out = format!("\n{}\n  machine: {}\n", self.benchmark, machine.line());
        let (long, short_ones): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|(_, value)| value.len() > LONG_SETTING);
        let settings: Vec<_> = short_ones.iter().map(|(name, value)| format!("{name} {value}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  settings: {}", settings.join(", "));
        for (name, value) in long {
            let _ = writeln!(out, "  {name}: {value}");
        }
        let label = |measure: &Measure| format!("{}, {}", measure.name, measure.unit);
        let width = self.measures.iter().map(|measure| label(measure).len()).max().unwrap_or(0);
        let head = ("measure", "median", "min .. max", "runs", "to reach");
        let _ = writeln!(out, "  {:<width$} {:>12} {:>24} {:>5}  {}", head.0, head.1, head.2, head.3, head.4);
        for measure in &self.measures {
            let Measure { reach, values, .. } = measure;
            let (low, high) = (percentile(values, 0.0), percentile(values, 1.0));
            let spread = format!("{} .. {}", short(low), short(high));
            let median = short(percentile(values, 0.5));
            let (label, runs) = (label(measure), values.len());
            let _ = writeln!(out, "  {label:<width$} {median:>12} {spread:>24} {runs:>5}  {reach}");
        }
        out
    }

    pub(super) fn json(&self, machine: &Machine) -> serde_json::Result<String> {
        serde_json::to_string(&Line { report: self, machine })
    }
}

/// The value below which a share of all values lies, interpolated between its neighbours (type 7 of Hyndman
/// and Fan, 1996). NaN for no values.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted.get(place.floor() as usize), sorted.get(place.ceil() as usize));
    let (Some(below), Some(above)) = (below, above) else { return f64::NAN };
    below + (above - below) * place.fract()
}

/// Four significant digits.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        v if v >= 1.0 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_between_its_neighbours() {
        let values: Vec<f64> = (1..=21).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 0.5), 11.0);
        assert_eq!(percentile(&values, 0.95), 20.0);
        assert_eq!(percentile(&values, 1.0), 21.0);
        assert_eq!(percentile(&[1.0, 2.0], 0.5), 1.5);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn every_run_adds_a_value_to_its_measure() {
        let mut report = Report::new("test");
        report.add("speed", "m/s", "", 1.0);
        report.add("weight", "kg", "", 7.0);
        report.add("speed", "m/s", "", 3.0);
        assert_eq!(report.measures.len(), 2);
        assert_eq!(report.measures[0].values, [1.0, 3.0]);
    }
}
