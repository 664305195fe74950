//! `dataset copy`.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use storage::dataset;
use storage::dataset::store::{CopyOutcome, Copying, Store, StoredFile};
use tokio::time::Instant;

use super::batches::copy_batches;
use super::files::failure;
use super::place::{scratch, store, url};
use crate::ctl::output::note;
use crate::ctl::progress::Spinner;
use crate::ctl::render::{count, duration, rate};
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Copy {
    /// A dataset: a folder, or `s3://BUCKET/PREFIX` with endpoint, region and credentials in the variables of AWS's tools.
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Where it is copied to, another place of these kinds. What is there already is left as it is.
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Read both files of each pair to their ends and compare them.
    #[arg(long)]
    verify: bool,
    /// Files that are copied at a time, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
}

/// What was done.
#[derive(Default)]
struct Tally {
    files: AtomicU64,
    copied: AtomicU64,
    present: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    /// Batches of provenance that were copied.
    batches: AtomicU64,
}

impl Copy {
    /// Copies, names each file that could not be copied, and counts. Repeated, it continues.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let (from, to, scratch) = (store(&self.from)?, store(&self.to)?, scratch()?);
        if url(&self.from).is_none() && !self.from.is_dir() {
            return Err(CtlError::Failed(format!("{} is no folder", self.from.display())));
        }
        let copying = Copying { from: &*from, to: &*to, scratch: scratch.path(), verify: self.verify };
        // Counted first, for the estimate: lists are cheap beside copies.
        let total = published(&*from)?.filter(Result::is_ok).count() as u64;
        let (tally, begun) = (Tally::default(), Instant::now());
        let next = Mutex::new(published(&*from)?);
        let spinner = Mutex::new(Spinner::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let file = next.lock().ok().and_then(|mut next| next.next());
                        let Some(file) = file else { return };
                        let copied = file.and_then(|file| {
                            let outcome = copying.copy(&file)?;
                            Ok((file, outcome))
                        });
                        tally.add(copied);
                        if let Ok(spinner) = spinner.lock() {
                            spinner.show(tally.progress(total, begun.elapsed()));
                        }
                    }
                });
            }
        });
        drop(spinner);
        if tally.files.load(Ordering::Relaxed) > 0 {
            let batches = copy_batches(&*from, &*to, self.verify, &|why| tally.fail(why))?;
            tally.batches.store(batches.copied, Ordering::Relaxed);
        }
        tally.tell(begun.elapsed(), output)
    }
}

/// The published files.
fn published(from: &dyn Store) -> Result<impl Iterator<Item = dataset::Result<StoredFile>> + Send, CtlError> {
    let files = from.files().map_err(failure)?;
    Ok(files.filter(|file| file.as_ref().map_or(true, |file| !file.set_aside)))
}

impl Tally {
    fn add(&self, copied: dataset::Result<(StoredFile, CopyOutcome)>) {
        self.files.fetch_add(1, Ordering::Relaxed);
        match copied {
            Ok((file, CopyOutcome::Copied)) => {
                self.copied.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(file.bytes, Ordering::Relaxed);
            }
            Ok((_, CopyOutcome::Present)) => {
                self.present.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &dyn Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        note(format!("twm-ctl: {error}"));
    }

    fn progress(&self, total: u64, elapsed: Duration) -> String {
        let done = self.files.load(Ordering::Relaxed);
        let pace = done as f64 / elapsed.as_secs_f64().max(0.001);
        let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / pace.max(0.001));
        format!(
            "{} of {} files, {} files/s, about {} left",
            count(done),
            count(total),
            rate(pace),
            duration(left)
        )
    }

    fn tell(&self, elapsed: Duration, output: Output) -> Result<(), CtlError> {
        let [files, copied, present, failed, bytes, batches] =
            [&self.files, &self.copied, &self.present, &self.failed, &self.bytes, &self.batches]
                .map(|n| n.load(Ordering::Relaxed));
        if output.is_json() {
            output.json(&json!({
                "files": files,
                "copied": copied,
                "present": present,
                "failed": failed,
                "bytes": bytes,
                "provenance_batches": batches,
                "seconds": elapsed.as_secs_f64(),
            }))?;
        } else {
            output.line(format!(
                "{} files: {} copied with {} bytes in {}, {} were there already, {} failed",
                count(files),
                count(copied),
                count(bytes),
                duration(elapsed),
                count(present),
                count(failed)
            ))?;
            if batches > 0 {
                output.line(format!("{} batches of provenance copied", count(batches)))?;
            }
        }
        match failed {
            0 if files == 0 => Err(CtlError::Failed("there are no files of a dataset".to_owned())),
            0 => Ok(()),
            n => Err(CtlError::Failed(format!("{} files were not copied; they are named above", count(n)))),
        }
    }
}
