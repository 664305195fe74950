//! `frontier export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use api::client::ClientError;
use api::model::CrawlId;
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::ctl::output::{note, writing};
use crate::ctl::render::count;
use crate::ctl::{Cluster, CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Export {
    /// The crawl.
    crawl: CrawlId,
    /// Where to: a gzip file, replaced if it is there, or `-` for plain lines on standard output.
    /// `frontier-<crawl>.gz` when not given.
    #[arg(short = 'O', long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Export {
    /// Writes the frontier, in order of discovery.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        cluster.crawl(self.crawl).await?;
        let path = self.file.clone().unwrap_or_else(|| format!("frontier-{}.gz", self.crawl).into());
        if path == Path::new("-") {
            let mut out = BufWriter::new(io::stdout().lock());
            self.write(cluster, &mut out, writing).await?;
            return out.flush().map_err(writing);
        }
        let failed = |error| CtlError::Io { what: format!("writing {}", path.display()), source: error };
        let mut draft = Draft::create(&path).map_err(failed)?;
        let accounts = self.write(cluster, &mut draft.encoder, failed).await?;
        draft.publish().map_err(failed)?;
        if output.is_json() {
            return output.json(&json!({ "crawl": self.crawl.0, "file": path, "accounts": accounts }));
        }
        note(format!("{}: {} accounts", path.display(), count(accounts)));
        Ok(())
    }

    async fn write(
        &self,
        cluster: &Cluster,
        out: &mut impl Write,
        failed: impl Fn(io::Error) -> CtlError,
    ) -> Result<u64, CtlError> {
        let (mut from, mut accounts) = (0, 0);
        loop {
            let page = cluster.frontier(self.crawl, from).await?;
            for user in &page.users {
                writeln!(out, "{user}").map_err(&failed)?;
            }
            accounts += page.users.len() as u64;
            match page.next {
                None => return Ok(accounts),
                Some(next) if next > from => from = next,
                // A page that leads back would never end.
                Some(_) => return Err(ClientError::UnexpectedResponse { asked: "frontier query" }.into()),
            }
        }
    }
}

/// The file under a temporary name until it is complete. Removed if dropped before.
struct Draft {
    encoder: GzEncoder<BufWriter<File>>,
    draft: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Draft {
    fn create(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let draft = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create(&draft)?;
        let encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Self { encoder, draft, path: path.to_owned(), published: false })
    }

    fn publish(&mut self) -> io::Result<()> {
        self.encoder.try_finish()?;
        self.encoder.get_mut().flush()?;
        self.encoder.get_ref().get_ref().sync_all()?;
        fs::rename(&self.draft, &self.path)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // The original error is the one to report.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ctl::targets::{Entry, TargetList};

    use super::*;

    #[test]
    fn a_published_export_is_a_list_that_submit_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frontier-7.gz");
        let mut draft = Draft::create(&path).unwrap();
        writeln!(draft.encoder, "12\ndid:plc:abc").unwrap();
        draft.publish().unwrap();
        drop(draft);
        let entries: Vec<_> = TargetList::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(entries, [Entry::Account(12.into()), Entry::Account("did:plc:abc".parse().unwrap())]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unfinished_export_leaves_nothing_and_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.gz");
        fs::write(&path, "old").unwrap();
        let mut draft = Draft::create(&path).unwrap();
        writeln!(draft.encoder, "12").unwrap();
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
