//! Drafts that are written to HDFS at their save points.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::followers_draft::{Completed, FileFollowersDraft};
use super::super::profiles_draft::FileProfilesDraft;
use super::super::resuming::missing;
use super::super::spool::DraftId;
use super::super::timeline_draft::FileTimelineDraft;
use super::super::{
    Appended, DatasetError, Finished, FollowersDraft, ProfilesDraft, Result, SavePoint, TimelineDraft,
};
use super::Inner;
use super::remote::DRAFT;
use crate::durable::Naming;
use crate::ids::{PostId, UserId};
use crate::net::hdfs::{HdfsWriter, RenameOutcome};

/// Bytes written at a time.
const PIECE_BYTES: u64 = 1 << 20;
/// Files that are begun for one save point: a name node may choose a datanode that has died since.
const FILES: u32 = 4;

/// Writes a draft's bytes to HDFS.
struct Upload {
    inner: Arc<Inner>,
    draft: DraftId,
    /// The file that is being written, with its folder, and the bytes in it.
    file: Option<(String, HdfsWriter)>,
    written: u64,
    /// Whether the draft was rewritten when it was finished.
    rewritten: bool,
}

impl Upload {
    fn new(inner: Arc<Inner>, draft: DraftId) -> Self {
        Self { inner, draft, file: None, written: 0, rewritten: false }
    }

    fn save(&mut self, saved: SavePoint) -> Result<SavePoint> {
        if saved.token > self.written || (saved.token > 0 && self.file.is_none()) {
            self.with_files(|upload| {
                upload.write_up_to(saved.token)?;
                match &mut upload.file {
                    Some((_, writer)) => Ok(writer.sync()?),
                    None => Ok(()),
                }
            })?;
        }
        Ok(saved)
    }

    fn finish(mut self, finished: Finished, rewritten: bool) -> Result<Finished> {
        if finished.items == 0 {
            return Ok(finished);
        }
        if rewritten {
            self.rewritten = true;
            self.give_up_file();
        }
        let name = self.with_files(|upload| {
            upload.write_up_to(finished.bytes)?;
            let Some((name, writer)) = upload.file.take() else {
                return Err(missing(&upload.draft.key, upload.draft.lease, "it has no bytes"));
            };
            writer.close()?;
            Ok(name)
        })?;
        self.inner.mark_finished(&self.draft, &name)?;
        Ok(finished)
    }

    /// Works with a file, and begins another one if it fails.
    fn with_files<T>(&mut self, work: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        for _ in 1..FILES {
            match work(self) {
                Err(DatasetError::Hdfs(error)) if error.is_of_the_writer() => {
                    tracing::info!("a draft goes on in another file: {error}");
                    self.give_up_file();
                }
                other => {
                    if other.is_err() {
                        self.give_up_file();
                    }
                    return other;
                }
            }
        }
        let last = work(self);
        if last.is_err() {
            self.give_up_file();
        }
        last
    }

    fn give_up_file(&mut self) {
        self.file = None;
        self.written = 0;
    }

    fn write_up_to(&mut self, end: u64) -> Result<()> {
        let path = self.inner.spool.path(&self.draft)?;
        let local = File::open(&path).naming("open", &path)?;
        if self.file.is_none() {
            let folder = self.inner.next_folder(&self.draft, self.rewritten)?;
            let writer = self.inner.hdfs.create(&format!("{folder}/{DRAFT}"))?;
            self.file = Some((folder, writer));
            self.written = 0;
        }
        let Some((_, writer)) = &mut self.file else { return Ok(()) };
        while self.written < end {
            let mut bytes = vec![0; PIECE_BYTES.min(end - self.written) as usize];
            local.read_exact_at(&mut bytes, self.written).naming("read", &path)?;
            let count = bytes.len() as u64;
            writer.write(bytes.into())?;
            self.written += count;
        }
        Ok(())
    }
}

impl Inner {
    /// Moves the folder of a draft's file, which is complete and closed, to the finished ones.
    fn mark_finished(&self, draft: &DraftId, folder: &str) -> Result<()> {
        let to = self.finished(draft)?;
        match self.hdfs.rename(folder, &to, false)? {
            RenameOutcome::Renamed => Ok(()),
            RenameOutcome::Taken => Err(DatasetError::Changed { path: self.place(&to) }),
            RenameOutcome::Missing => {
                self.ensure_entered()?;
                Err(missing(&draft.key, draft.lease, "it was discarded while it was finished"))
            }
        }
    }
}

/// A timeline.
pub(super) struct RemoteTimeline {
    upload: Upload,
    file: FileTimelineDraft,
}

impl RemoteTimeline {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileTimelineDraft) -> Self {
        Self { upload: Upload::new(inner, draft), file }
    }
}

impl TimelineDraft for RemoteTimeline {
    fn push(&mut self, id: &PostId, json: &str) -> Result<bool> {
        self.file.push(id, json)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        self.file.append_existing()
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.upload.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let finished = Box::new(self.file).finish()?;
        self.upload.finish(finished, false)
    }
}

/// A follower list.
pub(super) struct RemoteFollowers {
    upload: Upload,
    file: FileFollowersDraft,
}

impl RemoteFollowers {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileFollowersDraft) -> Self {
        Self { upload: Upload::new(inner, draft), file }
    }
}

impl FollowersDraft for RemoteFollowers {
    fn push(&mut self, follower: &UserId) -> Result<bool> {
        self.file.push(follower)
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.upload.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Completed { finished, rewritten, .. } = self.file.complete()?;
        self.upload.finish(finished, rewritten)
    }
}

/// Profiles.
pub(super) struct RemoteProfiles {
    upload: Upload,
    file: FileProfilesDraft,
}

impl RemoteProfiles {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileProfilesDraft) -> Self {
        Self { upload: Upload::new(inner, draft), file }
    }
}

impl ProfilesDraft for RemoteProfiles {
    fn push(&mut self, line: &str) -> Result<()> {
        self.file.push(line)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        self.file.append_existing()
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.upload.save(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let finished = Box::new(self.file).finish()?;
        self.upload.finish(finished, false)
    }
}
