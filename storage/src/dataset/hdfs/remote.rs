//! Drafts on HDFS.

use std::io::Read;
use std::sync::atomic::Ordering;

use super::super::layout::{draft_name, parse_draft};
use super::super::sink::Sink;
use super::super::spool::DraftId;
use super::super::{Compression, DatasetError, FileKey, Result};
use super::Inner;
use crate::net::hdfs::HdfsProblem;

/// Folder of all drafts.
pub(super) const DRAFTS: &str = ".tmp";
/// Folder of finished drafts, in that of their owner.
pub(super) const DONE: &str = "done";
/// The file of a draft, in a folder of its own.
pub(super) const DRAFT: &str = "draft";

impl Inner {
    /// The folder of a draft that is being written.
    pub(super) fn unfinished(&self, draft: &DraftId) -> Result<String> {
        Ok(format!("{}/{}", self.drafts_folder(), draft_name(&draft.key, draft.lease)?))
    }

    /// The folder of a finished draft.
    pub(super) fn finished(&self, draft: &DraftId) -> Result<String> {
        Ok(format!("{}/{DONE}/{}", self.drafts_folder(), draft_name(&draft.key, draft.lease)?))
    }

    /// Begins a draft: what an earlier attempt of the same lease wrote must not be mixed with it.
    pub(super) fn begin(&self, draft: &DraftId) -> Result<()> {
        if self.drafts().contains(draft) {
            self.discard(draft)?;
        }
        Ok(())
    }

    /// Removes a draft, and the proof of its publication.
    pub(super) fn discard(&self, draft: &DraftId) -> Result<()> {
        // In this order: a frozen writer may finish it in between.
        self.hdfs.delete(&self.unfinished(draft)?)?;
        self.hdfs.delete(&self.finished(draft)?)?;
        self.drafts().remove(draft);
        Ok(())
    }

    /// All drafts of this owner.
    pub(super) fn remote_drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        let folder = self.drafts_folder();
        let mut drafts = Vec::new();
        // In this order: a draft that is finished meanwhile moves from the former to the latter.
        for folder in [folder.clone(), format!("{folder}/{DONE}")] {
            for found in self.hdfs.list(&folder)?.into_iter().flatten() {
                drafts.extend(parse_draft(&found?.0));
            }
        }
        Ok(drafts)
    }

    /// A folder for a draft's next file.
    pub(super) fn next_folder(&self, draft: &DraftId, rewritten: bool) -> Result<String> {
        // Known before it is there: a creation whose answer is lost may have succeeded.
        self.drafts().insert(draft.clone());
        let mark = if rewritten { "r" } else { "" };
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        Ok(format!("{}/{mark}{number}", self.unfinished(draft)?))
    }

    /// Downloads the first bytes of a draft into the file of a new one; `None` if it has fewer.
    pub(super) fn copy_up_to(
        &self,
        old: &DraftId,
        bytes: u64,
        new: &DraftId,
        compression: Compression,
    ) -> Result<Option<Sink>> {
        for name in self.files_of(old)? {
            let copied = self.read_twice(|| {
                let mut sink = self.spool.create(new, compression)?;
                match self.append(&name, bytes, &mut sink) {
                    Ok(true) => Ok(Some(sink)),
                    other => {
                        sink.remove()?;
                        other.map(|_| None)
                    }
                }
            });
            match copied {
                Ok(None) => {}
                // It is better to repeat some requests than to wait for ever for datanodes that may not come back.
                Err(DatasetError::Hdfs(error)) if matches!(error.problem, HdfsProblem::Lost(_)) => {
                    tracing::warn!("{error}");
                }
                other => return other,
            }
        }
        Ok(None)
    }

    /// The files with a draft's bytes, the latest first. It is the longest, unless its writer died while it repeated the one
    /// before.
    fn files_of(&self, draft: &DraftId) -> Result<Vec<String>> {
        let unfinished = self.unfinished(draft)?;
        let mut numbers = Vec::new();
        for found in self.hdfs.list(&unfinished)?.into_iter().flatten() {
            // Rewritten ones have other bytes, and other names.
            numbers.extend(found?.0.parse::<u64>());
        }
        numbers.sort_unstable();
        let written = numbers.into_iter().rev().map(|number| format!("{unfinished}/{number}/{DRAFT}"));
        Ok(written.chain([format!("{}/{DRAFT}", self.finished(draft)?)]).collect())
    }

    /// Appends the first bytes of a file, which nobody writes any more; `false` if it has fewer.
    fn append(&self, name: &str, bytes: u64, sink: &mut Sink) -> Result<bool> {
        if !self.hdfs.end_writing(name)? {
            return Ok(false);
        }
        match self.hdfs.open_file(name)? {
            Some(file) if file.length() >= bytes => {
                let copied = sink.append_raw(&mut file.take(bytes));
                copied.map_err(|error| DatasetError::of_copy(error, sink.path()))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
