//! `dataset merge`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use storage::dataset::rewrite::{Target, Written, merge};
use storage::dataset::store::{Folder, Store};
use storage::dataset::{FileKey, SourceName, dataset_folders};

use super::batches::{Batches, copy_batches};
use super::convert::tell_leftovers;
use super::files::{Copy, copies, failure, is_folder, kind};
use super::form::FormArgs;
use super::place::url;
use crate::ctl::output::note;
use crate::ctl::progress::Spinner;
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// Files between two updates of the progress.
pub(super) const SHOW_EVERY: u64 = 64;

/// Arguments.
#[derive(Debug, Args)]
pub struct Merge {
    /// Datasets, or copies of one file, the newest last: folders, paths or URLs.
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// The dataset, or for copies of a file the file, that comes of it; it may be one of the PATHs.
    #[arg(long, value_name = "PATH")]
    pub(super) to: PathBuf,
    #[command(flatten)]
    pub(super) form: FormArgs,
    /// Replace files that are there already and were not among the copies.
    #[arg(long)]
    pub(super) force: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) files: u64,
    /// Files whose only copy is in the destination.
    pub(super) unchanged: u64,
    pub(super) items: u64,
    pub(super) duplicates: u64,
    pub(super) failed: u64,
    batches: Batches,
}

impl Merge {
    /// Merges files, or datasets file by file, and counts.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        if self.paths.iter().chain([&self.to]).any(|path| url(path).is_some()) {
            return self.merge_places(output);
        }
        if let Some(missing) = self.paths.iter().find(|path| !path.exists()) {
            return Err(CtlError::Failed(format!("{} is not there", missing.display())));
        }
        match self.paths.iter().filter(|path| is_folder(path)).count() {
            0 => self.merge_files(output),
            folders if folders == self.paths.len() => self.merge_datasets(output),
            _ => Err(CtlError::Usage("name datasets' folders, or copies of one file, not both".to_owned())),
        }
    }

    fn merge_files(&self, output: Output) -> Result<(), CtlError> {
        let Some(key) = FileKey::of_path(&self.to).filter(|_| !is_folder(&self.to)) else {
            let to = self.to.display();
            return Err(CtlError::Usage(format!(
                "--to: {to} must be a file's name here, like ID.twt or ID.fws"
            )));
        };
        for path in &self.paths {
            if kind(path)? != key.kind {
                let (path, suffix) = (path.display(), key.kind.suffix());
                return Err(CtlError::Usage(format!("{path} does not hold what a .{suffix} file holds")));
            }
        }
        let target = Target { key, path: self.to.clone(), force: self.force };
        let written = merge(&self.paths, &target, self.form.form()).map_err(failure)?;
        tell(&target.path.display().to_string(), &written, output)
    }

    fn merge_datasets(&self, output: Output) -> Result<(), CtlError> {
        if self.to.exists() && !is_folder(&self.to) {
            return Err(CtlError::Usage(format!("--to: {} must be a folder here", self.to.display())));
        }
        if is_folder(&self.to) {
            tell_leftovers(&self.to)?;
        }
        let destination = self.paths.iter().position(|path| is_same(path, &self.to));
        let mut names: BTreeSet<(SourceName, PathBuf)> = BTreeSet::new();
        for path in &self.paths {
            let folders = dataset_folders(path).map_err(failure)?;
            let within = |folder: PathBuf| folder.strip_prefix(path).map(Path::to_owned).unwrap_or(folder);
            names.extend(folders.into_iter().map(|(source, folder)| (source, within(folder))));
        }
        let (mut tally, spinner) = (Tally::default(), Spinner::new());
        // One folder at a time: a dataset has a hundred folders, and possibly millions of files.
        for (source, folder) in &names {
            for (key, copies) in copies(&self.paths, source, folder)? {
                match self.merge_copies(key, &copies, destination, &mut tally) {
                    Err(CtlError::Failed(why)) => {
                        note(format!("twm-ctl: {why}"));
                        tally.failed += 1;
                    }
                    other => other?,
                }
                tally.files += 1;
                if tally.files % SHOW_EVERY == 0 {
                    spinner.show(format!("{} files merged", count(tally.files)));
                }
            }
        }
        drop(spinner);
        if tally.files == 0 {
            return Err(CtlError::Failed(
                "the folders hold no files of a dataset, DD/ID.twt and DD/ID.fws".to_owned(),
            ));
        }
        for from in self.paths.iter().filter(|path| !is_same(path, &self.to)) {
            tally.provenance(&Folder::new(from), &Folder::new(&self.to))?;
        }
        tally.tell(output)
    }

    fn merge_copies(
        &self,
        key: FileKey,
        copies: &[Copy],
        destination: Option<usize>,
        tally: &mut Tally,
    ) -> Result<(), CtlError> {
        let path = key.path_under(&self.to).map_err(failure)?;
        if let [only] = copies {
            if is_same(&only.path, &path) {
                tally.unchanged += 1;
                return Ok(());
            }
        }
        let target = Target { key, path, force: self.force };
        let paths: Vec<PathBuf> = copies.iter().map(|copy| copy.path.clone()).collect();
        let written = merge(&paths, &target, self.form.form()).map_err(failure)?;
        tally.items += written.items;
        tally.duplicates += written.duplicates;
        if written.items == 0 {
            return Ok(());
        }
        // Copies under other names in the destination itself are part of the new file now.
        for copy in copies.iter().filter(|copy| Some(copy.dataset) == destination) {
            if !is_same(&copy.path, &target.path) {
                fs::remove_file(&copy.path).map_err(|error| {
                    CtlError::Failed(format!("cannot remove {}: {error}", copy.path.display()))
                })?;
            }
        }
        Ok(())
    }
}

pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

pub(super) fn tell(path: &str, written: &Written, output: Output) -> Result<(), CtlError> {
    if output.is_json() {
        return output.json(&json!({
            "to": path,
            "items": written.items,
            "duplicates": written.duplicates,
            "bytes": written.bytes,
        }));
    }
    let [items, bytes, duplicates] = [written.items, written.bytes, written.duplicates].map(count);
    output
        .line(format!("{path}: {items} items in {bytes} bytes, {duplicates} that were there twice left out"))
}

impl Tally {
    /// Copies the batches of provenance of an input to the destination.
    pub(super) fn provenance(&mut self, from: &dyn Store, to: &dyn Store) -> Result<(), CtlError> {
        let Batches { copied, failed } =
            copy_batches(from, to, false, &|why| note(format!("twm-ctl: {why}")))?;
        self.batches.copied += copied;
        self.batches.failed += failed;
        Ok(())
    }

    pub(super) fn tell(&self, output: Output) -> Result<(), CtlError> {
        let Self { files, unchanged, items, duplicates, failed, batches } = self;
        let merged = files - unchanged - failed;
        if output.is_json() {
            output.json(&json!({
                "files": files,
                "merged": merged,
                "unchanged": unchanged,
                "items": items,
                "duplicates": duplicates,
                "failed": failed,
                "provenance_batches": batches.copied,
                "provenance_batches_failed": batches.failed,
            }))?;
        } else {
            let [files, merged, unchanged, items, duplicates, failed] =
                [*files, merged, *unchanged, *items, *duplicates, *failed].map(count);
            output.line(format!(
                "{files} files: {merged} merged with {items} items ({duplicates} that were there twice left out), \
                 {unchanged} left as they are, {failed} failed"
            ))?;
            if batches.copied > 0 {
                output.line(format!("{} batches of provenance copied", count(batches.copied)))?;
            }
        }
        match (failed, batches.failed) {
            (0, 0) => Ok(()),
            (0, n) => Err(CtlError::Failed(format!(
                "{} batches of provenance were not copied; they are named above",
                count(n)
            ))),
            (n, _) => {
                Err(CtlError::Failed(format!("{} files were not merged; they are named above", count(*n))))
            }
        }
    }
}
