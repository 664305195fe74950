//! `dataset convert`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use storage::dataset::rewrite::{Converted, Target, Written, convert, remove_leftovers};

use super::files::{DatasetFile, FileSelection, each, failure, is_folder};
use super::form::FormArgs;
use super::goal::Goal;
use crate::ctl::output::note;
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Convert {
    /// Datasets, or single files: folders, paths or URLs.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    form: FormArgs,
    /// Write into this dataset and leave the old files; without it, new files take the place of old ones.
    #[arg(long, value_name = "PLACE")]
    to: Option<PathBuf>,
    /// Replace files that are there already.
    #[arg(long)]
    force: bool,
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    written: u64,
    renamed: u64,
    unchanged: u64,
    /// Size of the files that were rewritten, before.
    bytes_before: u64,
    bytes_after: u64,
}

impl Convert {
    /// Converts each file, prints each that was changed, and counts at the end.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        for folder in self.paths.iter().chain(&self.to).filter(|path| is_folder(path)) {
            tell_leftovers(folder)?;
        }
        let goal = Goal::of(self.to.as_deref())?;
        let mut tally = Tally::default();
        let failed = each(&self.paths, FileSelection::Published, |file| {
            tally.files += 1;
            self.convert(file, &goal, &mut tally, output).map_err(|error| goal.failure(error))
        })?;
        tally.tell(output, failed)?;
        match failed {
            0 => Ok(()),
            n => {
                Err(CtlError::Failed(format!("{} files were not converted; they are named above", count(n))))
            }
        }
    }

    fn convert(
        &self,
        file: &DatasetFile,
        goal: &Goal,
        tally: &mut Tally,
        output: Output,
    ) -> Result<(), CtlError> {
        if file.published.is_some() {
            let why = format!("{} was set aside as unreadable; use `dataset recover`", file.shown());
            return Err(CtlError::Failed(why));
        }
        goal.check(&file.key, self.force)?;
        let path = goal.path(&file.key, file.key.path_beside(&file.path).map_err(failure)?)?;
        let target = Target { key: file.key.clone(), path, force: self.force };
        let before = fs::metadata(&file.path).map_or(0, |found| found.len());
        let converted = convert(&file.path, &target, self.form.form()).map_err(failure)?;
        if matches!(converted, Converted::Renamed | Converted::Written(_)) {
            goal.deliver(file, &target.path, self.force)?;
        }
        match &converted {
            Converted::AsWanted | Converted::Empty => tally.unchanged += 1,
            Converted::Renamed => tally.renamed += 1,
            Converted::Written(written) => {
                tally.written += 1;
                tally.bytes_after += written.bytes;
                tally.bytes_before += before;
            }
        }
        tell(file, goal.shown(file, &target.path), &converted, output)
    }
}

fn tell(file: &DatasetFile, to: String, converted: &Converted, output: Output) -> Result<(), CtlError> {
    let (action, written) = match converted {
        Converted::AsWanted => ("unchanged", None),
        Converted::Empty => ("empty", None),
        Converted::Renamed => ("renamed", None),
        Converted::Written(written) => ("written", Some(written)),
    };
    if output.is_json() {
        return output.json(&json!({
            "file": file.shown(),
            "to": to,
            "action": action,
            "items": written.map(|w| w.items),
            "duplicates": written.map(|w| w.duplicates),
            "bytes": written.map(|w| w.bytes),
        }));
    }
    let name = file.shown();
    match converted {
        Converted::Empty => output.line(format!("{name}: empty, left as it is")),
        Converted::Written(Written { duplicates: 1.., .. }) => {
            let doubled = written.map_or(0, |written| written.duplicates);
            output.line(format!("{name}: {} items that were there twice left out", count(doubled)))
        }
        // Not printed: thousands of files are as they should be.
        _ => Ok(()),
    }
}

impl Tally {
    fn tell(&self, output: Output, failed: u64) -> Result<(), CtlError> {
        let Self { files, written, renamed, unchanged, bytes_before, bytes_after } = self;
        if output.is_json() {
            return output.json(&json!({
                "files": files,
                "written": written,
                "renamed": renamed,
                "unchanged": unchanged,
                "failed": failed,
                "bytes_before": bytes_before,
                "bytes_after": bytes_after,
            }));
        }
        let [files, written, renamed, unchanged, before, after] =
            [files, written, renamed, unchanged, bytes_before, bytes_after].map(|n| count(*n));
        output.line(format!(
            "{files} files: {written} rewritten ({before} bytes before, {after} now), {renamed} renamed, \
             {unchanged} left as they are, {} failed",
            count(failed)
        ))
    }
}

/// Removes what killed commands left in a dataset.
pub fn tell_leftovers(folder: &Path) -> Result<(), CtlError> {
    match remove_leftovers(folder).map_err(failure)? {
        0 => {}
        n => note(format!("{}: removed {} temporary files that a command left", folder.display(), count(n))),
    }
    Ok(())
}
