//! `dataset cat`.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use storage::dataset::{
    self, Account, Dataset, FileKind, FilesDataset, FilesOptions, FollowersReader, TimelineReader, post_id,
};
use storage::ids::UserId;

use super::fields::Fields;
use super::files::{failure, kind};
use crate::ctl::output::{note, writing};
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

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
    /// Of each tweet, only these fields, with tabs between; `/` leads into an object or an array.
    #[arg(short = 'e', long, value_name = "FIELD,...", conflicts_with = "followers")]
    fields: Option<Fields>,
}

impl Cat {
    /// Prints the lines. A damaged file is printed up to the damage, and is an error at the end.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let mut out =
            Printer { out: BufWriter::new(io::stdout().lock()), fields: self.fields.as_ref(), output };
        match (&self.output, &self.user) {
            (Some(output), Some(user)) => self.cat_user(output, user, &mut out)?,
            _ => self.cat_files(&mut out)?,
        }
        out.out.flush().map_err(writing)
    }

    fn cat_files(&self, out: &mut Printer) -> Result<(), CtlError> {
        let mut failed = 0;
        for path in &self.files {
            match out.file(path) {
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
        out.out.flush().map_err(writing)?;
        Err(CtlError::Failed(format!(
            "{failed} of {} files could not be read to their ends",
            self.files.len()
        )))
    }

    fn cat_user(&self, output: &Path, user: &UserId, out: &mut Printer) -> Result<(), CtlError> {
        // Opening a dataset creates its folders, which a mistyped one should not.
        if !output.is_dir() {
            return Err(CtlError::Failed(format!("--output: {} is no folder", output.display())));
        }
        let temporary = Some(output.to_owned());
        let dataset =
            FilesDataset::open(FilesOptions { temporary, ..FilesOptions::new(output) }).map_err(failure)?;
        let account = Account::from(user);
        let both = self.timeline == self.followers;
        let mut found = false;
        if both || self.timeline {
            if let Some(lines) = dataset.open_timeline(&account).map_err(failure)? {
                found = true;
                out.tweets(output, lines)?;
            }
        }
        if (both && self.fields.is_none()) || self.followers {
            if let Some(ids) = dataset.open_followers(&account).map_err(failure)? {
                found = true;
                out.items(ids)?;
            }
        }
        if found {
            return Ok(());
        }
        Err(CtlError::Failed(format!("{} has no such file of account {user}", output.display())))
    }
}

/// Prints items to standard output.
struct Printer<'a> {
    out: BufWriter<StdoutLock<'static>>,
    fields: Option<&'a Fields>,
    output: Output,
}

impl Printer<'_> {
    fn file(&mut self, path: &Path) -> Result<(), CtlError> {
        match kind(path)? {
            FileKind::Timeline => self.tweets(path, TimelineReader::open(path).map_err(failure)?),
            FileKind::Followers if self.fields.is_some() => {
                Err(CtlError::Failed(format!("{} is a follower list, which has no fields", path.display())))
            }
            FileKind::Followers => self.items(FollowersReader::open(path).map_err(failure)?),
        }
    }

    /// Prints tweets, or their fields.
    fn tweets(
        &mut self,
        file: &Path,
        lines: impl IntoIterator<Item = dataset::Result<String>>,
    ) -> Result<(), CtlError> {
        let Some(fields) = self.fields else { return self.items(lines) };
        let mut line = String::new();
        for (n, tweet) in (1..).zip(lines) {
            let tweet = tweet.map_err(failure)?;
            if post_id(&tweet).is_none() {
                return Err(CtlError::Failed(format!(
                    "{}: line {} is no tweet; try `twm-ctl dataset recover`",
                    file.display(),
                    count(n)
                )));
            }
            line.clear();
            if self.output.is_json() {
                fields.write_json(&tweet, &mut line);
            } else {
                fields.write_tabbed(&tweet, &mut line);
            }
            line.push('\n');
            self.out.write_all(line.as_bytes()).map_err(writing)?;
        }
        Ok(())
    }

    /// Prints the intact items, up to an error.
    fn items<Item: Display>(
        &mut self,
        items: impl IntoIterator<Item = dataset::Result<Item>>,
    ) -> Result<(), CtlError> {
        for item in items {
            writeln!(self.out, "{}", item.map_err(failure)?).map_err(writing)?;
        }
        Ok(())
    }
}
