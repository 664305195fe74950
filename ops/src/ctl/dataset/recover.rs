//! `dataset recover`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use storage::dataset::rewrite::{Form, Loss, Recovered, Recovery, Target, recover};

use super::convert::tell_leftovers;
use super::files::{DatasetFile, FileSelection, each, failure, is_folder};
use super::goal::Goal;
use crate::ctl::output::note;
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Recover {
    /// Datasets, or single files: folders, paths or URLs; also files that were set aside (`ID.twt.unreadable`).
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Write into this dataset and leave the damaged files where they are.
    #[arg(long, value_name = "PLACE")]
    to: Option<PathBuf>,
    /// Replace files that are there already.
    #[arg(long, requires = "to")]
    force: bool,
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    sound: u64,
    recovered: u64,
    /// Set aside earlier, and replaced or unusable.
    left: u64,
    items: u64,
    lost: Loss,
}

impl Recover {
    /// Recovers each damaged file, prints what was lost of it, and counts at the end.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        for folder in self.paths.iter().chain(&self.to).filter(|path| is_folder(path)) {
            tell_leftovers(folder)?;
        }
        let goal = Goal::of(self.to.as_deref())?;
        let mut tally = Tally::default();
        let failed = each(&self.paths, FileSelection::All, |file| {
            tally.files += 1;
            self.recover(file, &goal, &mut tally, output).map_err(|error| goal.failure(error))
        })?;
        tally.tell(output, failed)?;
        match failed {
            0 => Ok(()),
            n => {
                Err(CtlError::Failed(format!("{} files were not recovered; they are named above", count(n))))
            }
        }
    }

    fn recover(
        &self,
        file: &DatasetFile,
        goal: &Goal,
        tally: &mut Tally,
        output: Output,
    ) -> Result<(), CtlError> {
        goal.check(&file.key, self.force)?;
        let path = goal.path(&file.key, file.published.clone().unwrap_or_else(|| file.path.clone()))?;
        if self.to.is_none() && file.published.is_some() && is_there_again(file, &path)? {
            note(format!(
                "{}: left, since {} is there again; to join them, recover it with --to DIR and merge",
                file.shown(),
                goal.shown(file, &path)
            ));
            tally.left += 1;
            return Ok(());
        }
        let target = Target { key: file.key.clone(), path, force: self.force };
        match recover(&file.path, &target, Form::default()).map_err(failure)? {
            Recovered::Sound => {
                tally.sound += 1;
                Ok(())
            }
            Recovered::Nothing { .. } if self.is_settled(file) => {
                note(format!("{}: left, since nothing can be read of it", file.shown()));
                tally.left += 1;
                Ok(())
            }
            Recovered::Nothing { loss, aside } => {
                let aside = match (&file.remote, aside) {
                    (Some(fetched), Some(aside)) => {
                        let kept = fetched.keep_aside(&aside)?;
                        fetched.remove()?;
                        Some(kept)
                    }
                    (_, aside) => aside.map(|aside| aside.display().to_string()),
                };
                tally.lost += loss;
                let mut parts = vec!["nothing can be read of it".to_owned()];
                parts.extend(describe(&loss));
                parts.extend(aside.map(|aside| format!("it is now {aside}")));
                Err(CtlError::Failed(format!("{}: {}", file.shown(), parts.join("; "))))
            }
            Recovered::Written(recovery) => {
                let aside = match (&file.remote, &recovery.written.aside) {
                    (Some(fetched), Some(aside)) if self.to.is_none() => Some(fetched.keep_aside(aside)?),
                    (_, aside) => aside.as_ref().map(|aside| aside.display().to_string()),
                };
                goal.deliver(file, &target.path, self.force)?;
                tally.recovered += 1;
                tally.items += recovery.written.items;
                tally.lost += recovery.loss;
                tell(file, &goal.shown(file, &target.path), aside, &recovery, output)
            }
        }
    }

    /// Whether an entirely unreadable file is not a failure: it was set aside and not named explicitly. A damaged
    /// file is reported once, by the run that sets it aside; nightly runs after that succeed.
    fn is_settled(&self, file: &DatasetFile) -> bool {
        self.to.is_none() && file.published.is_some() && !self.paths.contains(&PathBuf::from(file.shown()))
    }
}

/// Whether a file that was set aside was published again.
fn is_there_again(file: &DatasetFile, path: &Path) -> Result<bool, CtlError> {
    match &file.remote {
        Some(fetched) => Ok(fetched.place().find(&file.key).map_err(failure)?.is_some()),
        None => Ok(path.exists()),
    }
}

fn tell(
    file: &DatasetFile,
    to: &str,
    aside: Option<String>,
    recovery: &Recovery,
    output: Output,
) -> Result<(), CtlError> {
    let Recovery { written, reordered, loss } = recovery;
    if output.is_json() {
        return output.json(&json!({
            "file": file.shown(),
            "to": to,
            "aside": aside,
            "items": written.items,
            "bytes": written.bytes,
            "duplicates": written.duplicates,
            "reordered": reordered,
            "lost": loss,
        }));
    }
    let mut parts = vec![format!("{} items saved in {to}", count(written.items))];
    parts.extend(describe(loss));
    match (written.duplicates, reordered) {
        (0, false) => {}
        (0, true) => parts.push("put in order".to_owned()),
        (n, _) => parts.push(format!("{} that were there twice left out", count(n))),
    }
    parts.extend(aside.map(|aside| format!("the damaged file is now {aside}")));
    output.line(format!("{}: {}", file.shown(), parts.join("; ")))
}

/// Descriptions of the loss; empty if there is none.
fn describe(loss: &Loss) -> Vec<String> {
    let mut parts = Vec::new();
    if loss.bad_items > 0 {
        let (items, bytes) = (count(loss.bad_items), count(loss.bad_bytes));
        parts.push(format!("{items} torn or garbled lines dropped ({bytes} bytes)"));
    }
    if loss.skipped_bytes > 0 {
        parts.push(format!("{} bytes of the file could not be decompressed", count(loss.skipped_bytes)));
    }
    if loss.broken_members > 0 {
        parts.push(format!("broken gzip members: {}", count(loss.broken_members)));
    }
    if loss.truncated {
        parts.push("its end is missing, and how much that was is unknown".to_owned());
    }
    if loss.unverified > 0 {
        let kept = count(loss.unverified);
        parts.push(format!("the checksum over {kept} items is wrong or missing: one of them may be garbled"));
    }
    parts
}

impl Tally {
    fn tell(&self, output: Output, failed: u64) -> Result<(), CtlError> {
        if output.is_json() {
            return output.json(&json!({
                "files": self.files,
                "sound": self.sound,
                "recovered": self.recovered,
                "left": self.left,
                "items": self.items,
                "lost": self.lost,
                "failed": failed,
            }));
        }
        let left = match self.left {
            0 => String::new(),
            n => format!("{} set aside and left, ", count(n)),
        };
        let [files, sound, recovered] = [self.files, self.sound, self.recovered].map(count);
        output.line(format!(
            "{files} files: {sound} sound, {recovered} recovered, {left}{} failed",
            count(failed)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_told_in_numbers() {
        let loss = Loss {
            bad_items: 2,
            bad_bytes: 1_300,
            skipped_bytes: 9,
            broken_members: 3,
            truncated: true,
            unverified: 7,
        };
        assert_eq!(
            describe(&loss).join("; "),
            "2 torn or garbled lines dropped (1,300 bytes); 9 bytes of the file could not be decompressed; \
             broken gzip members: 3; its end is missing, and how much that was is unknown; the checksum over 7 items is wrong or missing: one of them may be garbled"
        );
        assert!(describe(&Loss::default()).is_empty());
    }
}
