//! `dataset cat`.

use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use storage::dataset::{
    self, Dataset, FileKey, FileKind, FilesDataset, FilesOptions, FollowersReader, TimelineReader,
    open_decoded,
};
use storage::ids::UserId;

use crate::ctl::CtlError;
use crate::ctl::output::{note, writing};

/// Arguments.
#[derive(Debug, Args)]
pub struct Cat {
    /// Files of a dataset, gzip or plain, follower lists as lines or packed.
    #[arg(value_name = "FILE", required_unless_present = "user", conflicts_with = "user")]
    files: Vec<PathBuf>,
    /// The folder of the dataset that has the account's files.
    #[arg(long, value_name = "DIR", requires = "user")]
    output: Option<PathBuf>,
    /// The account: its timeline and its followers, as far as they are there.
    #[arg(long, value_name = "ID", requires = "output")]
    user: Option<UserId>,
    /// Of an account, only the timeline.
    #[arg(short = 'T', long, requires = "user")]
    timeline: bool,
    /// Of an account, only the followers.
    #[arg(short = 'F', long, requires = "user")]
    followers: bool,
}

impl Cat {
    /// Prints the lines. A damaged file is printed up to where it breaks, and is an error at the end.
    pub fn run(&self) -> Result<(), CtlError> {
        let mut out = BufWriter::new(io::stdout().lock());
        match (&self.output, &self.user) {
            (Some(output), Some(user)) => self.cat_user(output, user, &mut out)?,
            _ => self.cat_files(&mut out)?,
        }
        out.flush().map_err(writing)
    }

    fn cat_files(&self, out: &mut impl Write) -> Result<(), CtlError> {
        let mut failed = 0;
        for path in &self.files {
            match cat_file(path, out) {
                Err(CtlError::Failed(why)) => {
                    note(format!("twm-ctl: {why}"));
                    failed += 1;
                }
                other => other?,
            }
        }
        if failed == 0 {
            return Ok(());
        }
        out.flush().map_err(writing)?;
        Err(CtlError::Failed(format!(
            "{failed} of {} files could not be read to their ends",
            self.files.len()
        )))
    }

    fn cat_user(&self, output: &Path, user: &UserId, out: &mut impl Write) -> Result<(), CtlError> {
        // Opening a dataset makes its folders; a mistyped one shall not come into being.
        if !output.is_dir() {
            return Err(CtlError::Failed(format!("--output: {} is no folder", output.display())));
        }
        let temporary = Some(output.to_owned());
        let dataset =
            FilesDataset::open(FilesOptions { temporary, ..FilesOptions::new(output) }).map_err(failed)?;
        let both = self.timeline == self.followers;
        let mut found = false;
        if both || self.timeline {
            if let Some(lines) = dataset.open_timeline(user).map_err(failed)? {
                found = true;
                print(lines, out)?;
            }
        }
        if both || self.followers {
            if let Some(ids) = dataset.open_followers(user).map_err(failed)? {
                found = true;
                print(ids, out)?;
            }
        }
        if found {
            return Ok(());
        }
        Err(CtlError::Failed(format!("{} has no such file of account {user}", output.display())))
    }
}

fn cat_file(path: &Path, out: &mut impl Write) -> Result<(), CtlError> {
    match kind(path)? {
        FileKind::Timeline => print(TimelineReader::open(path).map_err(failed)?, out),
        FileKind::Followers => print(FollowersReader::open(path).map_err(failed)?, out),
    }
}

/// What a file holds: by its name, or where that says nothing (a file that was set aside) by its
/// first byte.
fn kind(path: &Path) -> Result<FileKind, CtlError> {
    if let Some(key) = FileKey::of_path(path) {
        return Ok(key.kind);
    }
    let name = path.display();
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Err(CtlError::Failed(format!(
            "{name} is a folder; name a file, or an account with --user and --output"
        )));
    }
    let mut decoded = open_decoded(path).map_err(failed)?;
    let start = decoded.bytes.fill_buf().map_err(|error| CtlError::Failed(format!("{name}: {error}")))?;
    Ok(if start.first() == Some(&b'{') { FileKind::Timeline } else { FileKind::Followers })
}

/// Prints the good items, up to an error.
fn print<Item: Display>(
    items: impl IntoIterator<Item = dataset::Result<Item>>,
    out: &mut impl Write,
) -> Result<(), CtlError> {
    for item in items {
        writeln!(out, "{}", item.map_err(failed)?).map_err(writing)?;
    }
    Ok(())
}

fn failed(error: dataset::DatasetError) -> CtlError {
    CtlError::Failed(error.to_string())
}
