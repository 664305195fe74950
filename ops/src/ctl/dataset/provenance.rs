//! The provenance of a dataset: for which crawls, when and how far its files were crawled.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};
use storage::dataset::provenance::{BatchName, Distinct, Record, read_batch, utc};
use storage::dataset::store::Store;
use storage::dataset::{FileKey, SourceName};

use super::files::failure;
use crate::ctl::render::{count, printable};
use crate::ctl::{CtlError, Output};

/// Largest batch that is read, bytes. Nodes write some hundred KiB.
const LARGEST: u64 = 256 << 20;

/// What was published, by crawl and source. A file counts as often as it was published.
#[derive(Default)]
pub struct Publications {
    crawls: BTreeMap<(Option<u64>, SourceName), Sum>,
    /// Records that others repeat.
    repeated: u64,
    /// Batches that could not be read to their ends.
    unreadable: u64,
}

/// The publications of a crawl and a source.
#[derive(Default)]
struct Sum {
    files: u64,
    items: u64,
    begun: Option<Duration>,
    ended: Option<Duration>,
    complete: u64,
    cut_short: u64,
    unknown: u64,
    /// Files by the reasons why they are cut short.
    reasons: BTreeMap<String, u64>,
}

impl Publications {
    /// Reads all batches of a dataset, and calls `visit` with each publication; only with those of one file, if it is given. A
    /// batch that cannot be read is reported with `report`, and does not stop the others.
    pub fn read(
        &mut self,
        place: &dyn Store,
        file: Option<&FileKey>,
        report: &dyn Fn(String),
        visit: &mut dyn FnMut(&Record) -> Result<(), CtlError>,
    ) -> Result<(), CtlError> {
        let mut distinct = Distinct::default();
        let mut take = |record: Record, sums: &mut Self| {
            if file.is_some_and(|file| *file != record.key) {
                return Ok(());
            }
            sums.add(&record);
            visit(&record)
        };
        for batch in place.batches().map_err(failure)? {
            let name = batch.map_err(failure)?.name;
            let read = each_record(place, &name, |record| match distinct.take(record) {
                Some(record) => take(record, self),
                None => Ok(()),
            })?;
            if let Err(why) = read {
                self.unreadable += 1;
                report(why);
            }
        }
        distinct.rest().into_iter().try_for_each(|record| take(record, self))?;
        self.repeated += distinct.repeated();
        Ok(())
    }

    /// Number of batches that could not be read to their ends.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn add(&mut self, record: &Record) {
        let sum = self.crawls.entry((record.crawl, record.key.account.source.clone())).or_default();
        sum.files += 1;
        sum.items += record.items.unwrap_or_default();
        // Of a file that another node published, only that is known.
        let (begun, ended) =
            (record.begun.unwrap_or(record.published), record.ended.unwrap_or(record.published));
        sum.begun = Some(sum.begun.map_or(begun, |first| first.min(begun)));
        sum.ended = Some(sum.ended.map_or(ended, |last| last.max(ended)));
        match &record.extent {
            None => sum.unknown += 1,
            Some(extent) if extent.is_complete() => sum.complete += 1,
            Some(extent) => {
                sum.cut_short += 1;
                for reason in &extent.cut_short {
                    *sum.reasons.entry(reason.clone()).or_default() += 1;
                }
            }
        }
    }

    /// For the totals of a dataset.
    pub fn json(&self) -> Value {
        let of = |((crawl, source), sum): (&(Option<u64>, SourceName), &Sum)| {
            json!({
                "crawl": crawl,
                "source": source.to_string(),
                "files": sum.files,
                "items": sum.items,
                "begun": sum.begun.map(utc),
                "ended": sum.ended.map(utc),
                "complete": sum.complete,
                "cut_short": sum.cut_short,
                "unknown": sum.unknown,
                "reasons": sum.reasons,
            })
        };
        json!({
            "crawls": self.crawls.iter().map(of).collect::<Vec<_>>(),
            "repeated": self.repeated,
            "unreadable": self.unreadable,
        })
    }

    /// One line for each crawl and source.
    pub fn tell(&self, output: Output) -> Result<(), CtlError> {
        for ((crawl, source), sum) in &self.crawls {
            let crawl = crawl.map_or("an unknown crawl".to_owned(), |crawl| format!("crawl {crawl}"));
            let mut line = format!(
                "{crawl} of {source}: {} files published, {} items, {} complete, {} cut short",
                count(sum.files),
                count(sum.items),
                count(sum.complete),
                count(sum.cut_short),
            );
            let reasons: Vec<_> = sum
                .reasons
                .iter()
                .map(|(why, files)| format!("{} {}", count(*files), printable(why)))
                .collect();
            if !reasons.is_empty() {
                line += &format!(" ({})", reasons.join(", "));
            }
            if sum.unknown > 0 {
                line += &format!(", {} unknown", count(sum.unknown));
            }
            if let (Some(begun), Some(ended)) = (sum.begun, sum.ended) {
                line += &format!(", from {} to {}", utc(begun), utc(ended));
            }
            output.line(line)?;
        }
        Ok(())
    }
}

/// Calls `visit` with each record of a batch; the inner error says why it could not be read to its end.
pub fn each_record(
    place: &dyn Store,
    name: &BatchName,
    mut visit: impl FnMut(Record) -> Result<(), CtlError>,
) -> Result<Result<(), String>, CtlError> {
    let shown = format!("{place}/{}", name.stored_name());
    // As a whole: a place that is away is told from a batch that is damaged.
    let opened = bytes(place, name)
        .and_then(|bytes| read_batch(&shown, std::io::Cursor::new(bytes)).map_err(|error| error.to_string()));
    let records = match opened {
        Ok(records) => records,
        Err(why) => return Ok(Err(why)),
    };
    for record in records {
        match record {
            Ok(record) => visit(record)?,
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Ok(()))
}

/// The stored bytes of a batch.
///
/// # Errors
/// Why it could not be read.
pub fn bytes(place: &dyn Store, name: &BatchName) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let opened = place.open_batch(name).map_err(|error| error.to_string())?;
    let read = opened.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read {place}/{}: {error}; try again", name.stored_name()))?;
    if bytes.len() as u64 > LARGEST {
        let name = name.stored_name();
        return Err(format!(
            "{place}/{name} has more than {LARGEST} bytes, which no node writes; move it elsewhere"
        ));
    }
    Ok(bytes)
}

/// Prints a publication.
pub fn tell(record: &Record, output: Output) -> Result<(), CtlError> {
    if output.is_json() {
        let line: Value = serde_json::from_str(&record.to_line())
            .map_err(|error| CtlError::Failed(format!("a record of {}: {error}", record.key)))?;
        return output.json(&line);
    }
    let known = |at: Option<Duration>| at.map_or("-".to_owned(), utc);
    let extent = match &record.extent {
        None => "unknown".to_owned(),
        Some(extent) if extent.is_complete() => "complete".to_owned(),
        Some(extent) => extent.cut_short.join(","),
    };
    output.line(row([
        &record.crawl.map_or("-".to_owned(), |crawl| crawl.to_string()),
        &record.operation.to_string(),
        &record.items.map_or("-".to_owned(), count),
        &known(record.begun),
        &known(record.ended),
        &record.node.to_string(),
        &record.lease.to_string(),
        &printable(&extent),
        &printable(&record.key.to_string()),
    ]))
}

/// The head of the table of publications.
pub fn head() -> String {
    row(["CRAWL", "OP", "ITEMS", "BEGUN", "ENDED", "NODE", "LEASE", "EXTENT", "FILE"])
}

fn row([crawl, op, items, begun, ended, node, lease, extent, file]: [&str; 9]) -> String {
    format!(
        "{crawl:>6}  {op:<2}  {items:>10}  {begun:<20}  {ended:<20}  {node:>5}  {lease:>10}  {extent:<10}  {file}"
    )
}
