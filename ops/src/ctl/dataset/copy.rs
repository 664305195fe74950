//! `dataset copy`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use storage::dataset::{self, CopyOutcome, CopyPlace, CopySource};
use tokio::time::Instant;

use super::files::failure;
use crate::ctl::output::note;
use crate::ctl::progress::Spinner;
use crate::ctl::render::{count, duration, rate};
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Copy {
    /// A dataset: a folder, or `s3://BUCKET/PREFIX` with endpoint, region and credentials in the variables of AWS's tools.
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it is copied to, another place of these kinds. What is there already is left as it is.
    #[arg(value_name = "TO")]
    to: String,
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
}

impl Copy {
    /// Copies, names each file that could not be copied, and counts. Repeated, it continues.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let (from, to) = (place(&self.from)?, place(&self.to)?);
        let scratch = tempfile::tempdir().map_err(|error| CtlError::Failed(error.to_string()))?;
        if let CopyPlace::Folder(folder) = &from {
            if !folder.is_dir() {
                return Err(CtlError::Failed(format!("{} is no folder", folder.display())));
            }
        }
        // Counted first, for the estimate: lists are cheap beside copies.
        let total = from.files().map_err(failure)?.filter(Result::is_ok).count() as u64;
        let (tally, begun) = (Tally::default(), Instant::now());
        let next = Mutex::new(from.files().map_err(failure)?);
        let spinner = Mutex::new(Spinner::new());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let file = next.lock().ok().and_then(|mut next| next.next());
                        let Some(file) = file else { return };
                        let copied = file.and_then(|file| {
                            let outcome = from.copy(&file, &to, scratch.path(), self.verify)?;
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
        tally.tell(begun.elapsed(), output)
    }
}

/// A folder or a bucket.
fn place(text: &str) -> Result<CopyPlace, CtlError> {
    let Some((scheme, _)) = text.split_once("://") else { return Ok(CopyPlace::Folder(PathBuf::from(text))) };
    match scheme.to_ascii_lowercase().as_str() {
        #[cfg(feature = "s3")]
        "s3" => bucket(text).map(CopyPlace::Bucket),
        scheme => Err(CtlError::Usage(format!(
            "there are no datasets at {scheme}://; give a folder or s3://BUCKET/PREFIX"
        ))),
    }
}

#[cfg(feature = "s3")]
fn bucket(text: &str) -> Result<storage::net::s3::Bucket, CtlError> {
    use storage::net::s3::{Bucket, Credentials, S3Options, S3Url};

    let url = S3Url::parse(text).map_err(|error| CtlError::Usage(error.to_string()))?;
    let variable = |name: &str| std::env::var(name).ok();
    let credentials =
        Credentials::from_environment(variable).map_err(|error| CtlError::Usage(error.to_string()))?;
    let credentials = credentials.ok_or_else(|| {
        let what = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for another server than AWS";
        CtlError::Usage(format!("{url}: there are no credentials; {what}"))
    })?;
    let options = S3Options::new(credentials).with_environment(variable);
    Bucket::open(&url, &options).map_err(|error| CtlError::Failed(error.to_string()))
}

impl Tally {
    fn add(&self, copied: dataset::Result<(CopySource, CopyOutcome)>) {
        self.files.fetch_add(1, Ordering::Relaxed);
        match copied {
            Ok((file, CopyOutcome::Copied)) => {
                self.copied.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(file.bytes, Ordering::Relaxed);
            }
            Ok((_, CopyOutcome::Present)) => {
                self.present.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                note(format!("twm-ctl: {error}"));
            }
        }
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
        let [files, copied, present, failed, bytes] =
            [&self.files, &self.copied, &self.present, &self.failed, &self.bytes]
                .map(|n| n.load(Ordering::Relaxed));
        if output.is_json() {
            output.json(&json!({
                "files": files,
                "copied": copied,
                "present": present,
                "failed": failed,
                "bytes": bytes,
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
        }
        match failed {
            0 if files == 0 => Err(CtlError::Failed("there are no files of a dataset".to_owned())),
            0 => Ok(()),
            n => Err(CtlError::Failed(format!("{} files were not copied; they are named above", count(n)))),
        }
    }
}
