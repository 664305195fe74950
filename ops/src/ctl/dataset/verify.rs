//! `dataset verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use storage::dataset::store::{Folder, Store};
use storage::dataset::{DatasetError, FileKey, FileKind, Verification, dataset_files, verify};

use super::files::{FileSelection, each};
use super::place::{Named, connect, url};
use super::provenance::each_record;
use crate::ctl::progress::Spinner;
use crate::ctl::render::{count, printable};
use crate::ctl::{CtlError, Output};

/// Files between two updates of the progress.
const SHOW_EVERY: u64 = 64;

/// Arguments.
#[derive(Debug, Args)]
pub struct Verify {
    /// The dataset, or a single file of it: a folder, a path or a URL.
    #[arg(value_name = "PLACE")]
    path: PathBuf,
}

impl Verify {
    /// Reads everything, prints each unsound file, one per line, and counts at the end.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let mut tally = Tally { output, ..Tally::default() };
        if let Some(text) = url(&self.path) {
            tally.walk_remote(text)?;
            if let Named { place, file: None } = connect(text)? {
                tally.batches(&*place)?;
            }
        } else if self.path.is_file() {
            let key = FileKey::of_path(&self.path).ok_or_else(|| not_a_file(&self.path))?;
            tally.look_at(&key, &self.path, self.path.display().to_string())?;
        } else {
            tally.walk(&self.path)?;
            tally.batches(&Folder::new(&self.path))?;
        }
        tally.tell()
    }
}

/// The contents of a dataset.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contents {
    /// Tweets, each once.
    pub tweets: u64,
    /// Followers, counted per account.
    pub followers: u64,
    /// Number of unsound files.
    pub unsound: u64,
}

/// Reads a whole dataset, prints each unsound file, one per line, and counts at the end.
pub fn contents(dataset: &Path, output: Output) -> Result<Contents, CtlError> {
    let mut tally = Tally { output, ..Tally::default() };
    match url(dataset) {
        Some(url) => tally.walk_remote(url)?,
        None => tally.walk(dataset)?,
    }
    tally.summary()?;
    Ok(Contents { tweets: tally.tweets, followers: tally.followers, unsound: tally.unsound })
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    output: Output,
    files: u64,
    timelines: u64,
    tweets: u64,
    follower_lists: u64,
    followers: u64,
    profile_files: u64,
    profiles: u64,
    batches: u64,
    records: u64,
    unsound: u64,
}

impl Tally {
    fn walk(&mut self, folder: &Path) -> Result<(), CtlError> {
        let spinner = Spinner::new();
        let mut before: Option<FileKey> = None;
        for file in dataset_files(folder).map_err(failed)? {
            let (key, path) = file.map_err(failed)?;
            if before.as_ref() == Some(&key) {
                self.unsound(
                    &path.display().to_string(),
                    None,
                    "the same file is there under the other name, which is the one that counts",
                )?;
            }
            self.look_at(&key, &path, path.display().to_string())?;
            if self.files % SHOW_EVERY == 0 {
                spinner.show(format!("{} files read, {} not sound", count(self.files), count(self.unsound)));
            }
            before = Some(key);
        }
        Ok(())
    }

    /// Reads the provenance.
    fn batches(&mut self, place: &dyn Store) -> Result<(), CtlError> {
        for batch in place.batches().map_err(failed)? {
            let name = batch.map_err(failed)?.name;
            self.batches += 1;
            let read = each_record(place, &name, |_| {
                self.records += 1;
                Ok(())
            })?;
            if let Err(why) = read {
                self.unsound(&format!("{place}/{}", name.stored_name()), None, &why)?;
            }
        }
        Ok(())
    }

    fn walk_remote(&mut self, url: &str) -> Result<(), CtlError> {
        let failed = each(&[url.into()], FileSelection::Published, |file| {
            self.look_at(&file.key, &file.path, file.shown())
        })?;
        match failed {
            0 => Ok(()),
            n => Err(CtlError::Failed(format!("{} files could not be read; they are named above", count(n)))),
        }
    }

    /// Reads a file; `shown` is its place, for messages.
    fn look_at(&mut self, key: &FileKey, path: &Path, shown: String) -> Result<(), CtlError> {
        self.files += 1;
        let found = match verify(path, key.kind) {
            Ok(found) => found,
            Err(error) => return self.unsound(&shown, None, &error.to_string()),
        };
        let (files, items) = match key.kind {
            FileKind::Timeline => (&mut self.timelines, &mut self.tweets),
            FileKind::Followers => (&mut self.follower_lists, &mut self.followers),
            FileKind::Profiles => (&mut self.profile_files, &mut self.profiles),
        };
        *files += 1;
        *items += found.items - found.duplicates.min(found.items);
        if found.is_sound() { Ok(()) } else { self.unsound(&shown, Some(&found), &why(&found)) }
    }

    fn unsound(&mut self, place: &str, found: Option<&Verification>, why: &str) -> Result<(), CtlError> {
        self.unsound += 1;
        if !self.output.is_json() {
            return self.output.line(format!("{place}: {}", printable(why)));
        }
        self.output.json(&json!({
            "file": place,
            "why": why,
            "items": found.map(|f| f.items),
            "duplicates": found.map(|f| f.duplicates),
            "out_of_order": found.map(|f| f.out_of_order),
            "unreadable": found.and_then(|f| f.unreadable.as_deref()),
        }))
    }

    fn tell(&self) -> Result<(), CtlError> {
        self.summary()?;
        match self.unsound {
            0 => Ok(()),
            n => Err(CtlError::Failed(format!(
                "{} files are not sound; they are named above, and `twm-ctl dataset recover` mends what can be",
                count(n)
            ))),
        }
    }

    fn summary(&self) -> Result<(), CtlError> {
        if self.output.is_json() {
            self.output.json(&json!({
                "files": self.files,
                "timelines": self.timelines,
                "tweets": self.tweets,
                "follower_lists": self.follower_lists,
                "followers": self.followers,
                "profile_files": self.profile_files,
                "profiles": self.profiles,
                "provenance_batches": self.batches,
                "provenance_records": self.records,
                "unsound": self.unsound,
            }))?;
        } else {
            self.output.line(format!(
                "{} files: {} timelines with {} tweets, {} follower lists with {} followers, {} files of profiles with {} profiles; {} not sound",
                count(self.files),
                count(self.timelines),
                count(self.tweets),
                count(self.follower_lists),
                count(self.followers),
                count(self.profile_files),
                count(self.profiles),
                count(self.unsound),
            ))?;
            if self.batches > 0 {
                let (batches, records) = (count(self.batches), count(self.records));
                self.output.line(format!("{batches} batches of provenance with {records} records"))?;
            }
        }
        Ok(())
    }
}

/// A description of a file's defects.
pub fn why(found: &Verification) -> String {
    let mut parts = Vec::new();
    if let Some(unreadable) = &found.unreadable {
        parts.push(format!("unreadable: {unreadable}"));
    }
    if found.duplicates > 0 {
        parts.push(format!("{} of {} items are there twice", count(found.duplicates), count(found.items)));
    }
    if found.out_of_order > 0 {
        parts.push(format!("{} tweets are newer than the one before", count(found.out_of_order)));
    }
    parts.join("; ")
}

fn not_a_file(path: &Path) -> CtlError {
    CtlError::Failed(format!(
        "{} is no file of a dataset; they are named ID.twt, ID.fws and ID.prf",
        path.display()
    ))
}

fn failed(error: DatasetError) -> CtlError {
    CtlError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said() {
        let found = Verification {
            items: 10,
            duplicates: 2,
            out_of_order: 1,
            unreadable: Some("item 11: torn".into()),
            ..Verification::default()
        };
        assert_eq!(
            why(&found),
            "unreadable: item 11: torn; 2 of 10 items are there twice; 1 tweets are newer than the one before"
        );
    }
}
