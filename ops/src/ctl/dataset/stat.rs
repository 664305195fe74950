//! `dataset stat`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use storage::dataset::store::{Folder, Store, StoredFile};
use storage::dataset::{Codec, Edge, FileKey, FileKind, Verification, verify};

use super::dates::normal;
use super::files::{DatasetFile, FileSelection, each, failure, is_folder};
use super::place::{Named, connect, url};
use super::provenance::{self, Publications};
use super::verify::why;
use crate::ctl::output::note;
use crate::ctl::render::{count, printable};
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Stat {
    /// Datasets, or single files: folders, paths or URLs.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only the totals.
    #[arg(short, long)]
    summary: bool,
    /// When, for which crawl and how far the files were crawled, instead of their contents.
    #[arg(long, conflicts_with = "summary")]
    provenance: bool,
}

/// Totals of one kind of file.
#[derive(Debug, Default)]
struct Totals {
    files: u64,
    items: u64,
    bytes: u64,
    plain_bytes: u64,
    not_sound: u64,
    oldest: Option<String>,
    newest: Option<String>,
}

impl Stat {
    /// Prints the contents of each file as it is read, and the totals.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        if self.provenance {
            return self.publications(output);
        }
        let [mut timelines, mut followers, mut profiles] = [(); 3].map(|()| Totals::default());
        if !self.summary && !output.is_json() {
            output.line(row(
                ["KIND", "ITEMS", "BYTES", "PLAIN", "FORM", "FIRST", "LAST", "FROM", "TO"],
                "FILE",
            ))?;
        }
        let failed = each(&self.paths, FileSelection::Published, |file| {
            let bytes = fs::metadata(&file.path)
                .map_err(|error| CtlError::Failed(format!("{}: {error}", file.shown())))?
                .len();
            let found = verify(&file.path, file.key.kind).map_err(failure)?;
            let totals = match file.key.kind {
                FileKind::Timeline => &mut timelines,
                FileKind::Followers => &mut followers,
                FileKind::Profiles => &mut profiles,
            };
            totals.add(&found, bytes);
            if self.summary { Ok(()) } else { tell(file, bytes, &found, output) }
        })?;
        let mut publications = Publications::default();
        for path in self.paths.iter().filter(|path| url(path).is_some() || is_folder(path)) {
            let (place, file) = dataset(path)?;
            if file.is_none() {
                publications.read(&*place, None, &report, &mut |_| Ok(()))?;
            }
        }
        if output.is_json() {
            output.json(&json!({
                "provenance": publications.json(),
                "timelines": timelines.json(),
                "followers": followers.json(),
                "profiles": profiles.json(),
                "failed": failed,
            }))?;
        } else {
            output.line(timelines.line("timelines", "tweets"))?;
            output.line(followers.line("follower lists", "followers"))?;
            output.line(profiles.line("files of profiles", "profiles"))?;
            publications.tell(output)?;
        }
        match failed {
            0 => unread(&publications),
            n => Err(CtlError::Failed(format!(
                "{} files could not be looked at; they are named above",
                count(n)
            ))),
        }
    }
}

impl Stat {
    /// Prints each publication, and the sums of the crawls.
    fn publications(&self, output: Output) -> Result<(), CtlError> {
        if !output.is_json() {
            output.line(provenance::head())?;
        }
        let mut publications = Publications::default();
        for path in &self.paths {
            let (place, file) = dataset(path)?;
            publications
                .read(&*place, file.as_ref(), &report, &mut |record| provenance::tell(record, output))?;
        }
        match output.is_json() {
            true => output.json(&json!({ "provenance": publications.json() }))?,
            false => publications.tell(output)?,
        }
        unread(&publications)
    }
}

/// The dataset of an argument; with a file, if the argument is one.
fn dataset(path: &Path) -> Result<(Box<dyn Store>, Option<FileKey>), CtlError> {
    let file_of = |name: &str| Some(StoredFile::of_name(name, 0, String::new())?.key);
    if let Some(url) = url(path) {
        let Named { place, file } = connect(url)?;
        return Ok((Box::new(place), file.as_deref().and_then(file_of)));
    }
    if is_folder(path) {
        return Ok((Box::new(Folder::new(path)), None));
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // Below the folder of its account, which that of another source than the default one has.
    for root in path.ancestors().skip(2).take(2) {
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        let name = name.map(|name| name.strip_suffix(".gz").unwrap_or(name));
        if let Some(file) = name.and_then(file_of) {
            return Ok((Box::new(Folder::new(root)), Some(file)));
        }
    }
    Err(CtlError::Failed(format!("{} is no file in the folders of a dataset", path.display())))
}

fn report(why: String) {
    note(format!("twm-ctl: {why}"));
}

fn unread(publications: &Publications) -> Result<(), CtlError> {
    match publications.unreadable() {
        0 => Ok(()),
        n => Err(CtlError::Failed(format!(
            "{} batches of provenance could not be read to their ends; they are named above",
            count(n)
        ))),
    }
}

impl Totals {
    fn add(&mut self, found: &Verification, bytes: u64) {
        self.files += 1;
        self.items += found.items.saturating_sub(found.duplicates);
        self.bytes += bytes;
        self.plain_bytes += found.plain_bytes;
        self.not_sound += u64::from(!found.is_sound());
        for date in [date(&found.first), date(&found.last)].into_iter().flatten() {
            if self.oldest.as_ref().is_none_or(|oldest| date < *oldest) {
                self.oldest = Some(date.clone());
            }
            if self.newest.as_ref().is_none_or(|newest| date > *newest) {
                self.newest = Some(date);
            }
        }
    }

    fn json(&self) -> Value {
        json!({
            "files": self.files,
            "items": self.items,
            "bytes": self.bytes,
            "plain_bytes": self.plain_bytes,
            "not_sound": self.not_sound,
            "oldest": self.oldest,
            "newest": self.newest,
        })
    }

    fn line(&self, files: &str, items: &str) -> String {
        let [number, held, bytes, plain] = [self.files, self.items, self.bytes, self.plain_bytes].map(count);
        let mut line = format!("{number} {files}, {held} {items}, {bytes} bytes ({plain} plain)");
        if let (Some(oldest), Some(newest)) = (&self.oldest, &self.newest) {
            line += &format!(", from {} to {}", printable(oldest), printable(newest));
        }
        if self.not_sound > 0 {
            line += &format!(", {} not sound", count(self.not_sound));
        }
        line
    }
}

fn date(edge: &Option<Edge>) -> Option<String> {
    edge.as_ref().and_then(|edge| edge.created_at.as_deref()).map(normal)
}

fn tell(file: &DatasetFile, bytes: u64, found: &Verification, output: Output) -> Result<(), CtlError> {
    if output.is_json() {
        let edge = |edge: &Option<Edge>| {
            edge.as_ref().map(|edge| json!({ "id": edge.id, "created_at": edge.created_at }))
        };
        return output.json(&json!({
            "file": file.shown(),
            "user": file.key.account.user.to_string(),
            "kind": kind(file.key.kind),
            "items": found.items,
            "bytes": bytes,
            "plain_bytes": found.plain_bytes,
            "gzip": found.codec == Codec::Gzip,
            "compression": found.codec.to_string(),
            "packed": found.packed,
            "first": edge(&found.first),
            "last": edge(&found.last),
            "duplicates": found.duplicates,
            "out_of_order": found.out_of_order,
            "unreadable": found.unreadable,
        }));
    }
    let id = |edge: &Option<Edge>| edge.as_ref().map_or("-".to_owned(), |edge| printable(&edge.id));
    let day = |edge: &Option<Edge>| {
        date(edge).map_or("-".to_owned(), |date| printable(&date.chars().take(10).collect::<String>()))
    };
    let mut form = if found.packed { "packed" } else { "lines" }.to_owned();
    if found.codec.is_compressed() {
        form += &format!(", {}", found.codec);
    }
    let (items, bytes, plain) = (count(found.items), count(bytes), count(found.plain_bytes));
    let (first, last) = (id(&found.first), id(&found.last));
    let (from, to) = (day(&found.last), day(&found.first));
    let fields = [kind(file.key.kind), &items, &bytes, &plain, &form, &first, &last, &from, &to];
    let mut name = file.shown();
    if !found.is_sound() {
        name += &format!(": {}", printable(&why(found)));
    }
    output.line(row(fields, &name))
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Timeline => "timeline",
        FileKind::Followers => "followers",
        FileKind::Profiles => "profiles",
    }
}

/// A row of the table. Its columns have fixed widths, since it is printed while files are read.
fn row([kind, items, bytes, plain, form, first, last, from, to]: [&str; 9], name: &str) -> String {
    format!(
        "{kind:<9} {items:>10} {bytes:>13} {plain:>14}  {form:<12}  {first:>19} {last:>19}  {from:<10}  {to:<10}  {name}"
    )
}
