//! `dataset cat`.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use storage::dataset::store::{Folder, Store};
use storage::dataset::{
    self, Account, FileKey, FileKind, FollowersReader, ItemId, TimelineReader, open_profiles, post_id,
    profile_id,
};
use storage::ids::UserId;

use super::fields::Fields;
use super::files::{failure, kind};
use super::place::{self, Fetched, Named, connect, url};
use crate::ctl::output::{note, writing};
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Cat {
    /// Files of a dataset, paths or URLs: compressed or plain, follower lists as lines or packed.
    #[arg(value_name = "FILE", required_unless_present = "user", conflicts_with = "user")]
    files: Vec<PathBuf>,
    /// The dataset that has the account's files: a folder or a URL.
    #[arg(long, value_name = "PLACE", requires = "user")]
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
    /// Of an account, only the profiles of its followers that were looked up.
    #[arg(long, requires = "user")]
    profiles: bool,
    /// Of each tweet or profile, only these fields, with tabs between; `/` leads into an object or an array.
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
        out.out.flush().map_err(writing)?;
        Err(CtlError::Failed(format!(
            "{failed} of {} files could not be read to their ends",
            self.files.len()
        )))
    }

    fn cat_user(&self, output: &Path, user: &UserId, out: &mut Printer) -> Result<(), CtlError> {
        let both = self.timeline == self.followers && !self.profiles;
        let account = Account::from(user);
        let mut wanted = Vec::new();
        if both || self.timeline {
            wanted.push(account.timeline());
        }
        if (both && self.fields.is_none()) || self.followers {
            wanted.push(account.followers());
        }
        if self.profiles {
            wanted.push(account.profiles());
        }
        let mut found = false;
        for key in wanted {
            found |= cat_key(output, &key, out)?;
        }
        if found {
            return Ok(());
        }
        Err(CtlError::Failed(format!("{} has no such file of account {user}", output.display())))
    }
}

/// Prints the file that an argument names.
fn cat_file(argument: &Path, out: &mut Printer) -> Result<(), CtlError> {
    let Some(url) = url(argument) else { return out.file(argument) };
    let Named { place, file: Some(name) } = connect(url)? else {
        return Err(CtlError::Failed(format!(
            "{url} is no file of a dataset; name one like {url}/22/22013880.twt, or an account with --user and --output"
        )));
    };
    let file = place.lookup(&name).map_err(failure)?;
    let file = file.ok_or_else(|| CtlError::Failed(format!("{url} does not exist")))?;
    cat_fetched(&Fetched::new(&place, file)?, out)
}

/// Prints a file of a dataset; returns whether it exists.
fn cat_key(dataset: &Path, key: &FileKey, out: &mut Printer) -> Result<bool, CtlError> {
    if let Some(url) = url(dataset) {
        let place = place::dataset(url)?;
        let Some(file) = place.find(key).map_err(failure)? else { return Ok(false) };
        cat_fetched(&Fetched::new(&place, file)?, out)?;
        return Ok(true);
    }
    if !dataset.is_dir() {
        return Err(CtlError::Failed(format!("--output: {} is no folder", dataset.display())));
    }
    let folder = Folder::new(dataset);
    let Some(file) = folder.find(key).map_err(failure)? else { return Ok(false) };
    out.file_of(key.kind, &dataset.join(file.name))?;
    Ok(true)
}

fn cat_fetched(fetched: &Fetched, out: &mut Printer) -> Result<(), CtlError> {
    out.file_of(fetched.file.key.kind, &fetched.path()).map_err(|error| fetched.failure(error))
}

/// Prints items to standard output.
struct Printer<'a> {
    out: BufWriter<StdoutLock<'static>>,
    fields: Option<&'a Fields>,
    output: Output,
}

impl Printer<'_> {
    fn file(&mut self, path: &Path) -> Result<(), CtlError> {
        self.file_of(kind(path)?, path)
    }

    fn file_of(&mut self, kind: FileKind, path: &Path) -> Result<(), CtlError> {
        match kind {
            FileKind::Timeline => {
                self.objects(path, post_id, "tweet", TimelineReader::open(path).map_err(failure)?)
            }
            FileKind::Profiles => {
                self.objects(path, profile_id, "profile", open_profiles(path).map_err(failure)?)
            }
            FileKind::Followers if self.fields.is_some() => {
                Err(CtlError::Failed(format!("{} is a follower list, which has no fields", path.display())))
            }
            FileKind::Followers => self.items(FollowersReader::open(path).map_err(failure)?),
        }
    }

    /// Prints JSON objects, one per line, or their fields.
    fn objects(
        &mut self,
        file: &Path,
        id: ItemId,
        what: &str,
        lines: impl IntoIterator<Item = dataset::Result<String>>,
    ) -> Result<(), CtlError> {
        let Some(fields) = self.fields else { return self.items(lines) };
        let mut line = String::new();
        for (n, object) in (1..).zip(lines) {
            let object = object.map_err(failure)?;
            if id(&object).is_none() {
                return Err(CtlError::Failed(format!(
                    "{}: line {} is no {what}; try `twm-ctl dataset recover`",
                    file.display(),
                    count(n)
                )));
            }
            line.clear();
            if self.output.is_json() {
                fields.write_json(&object, &mut line);
            } else {
                fields.write_tabbed(&object, &mut line);
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
