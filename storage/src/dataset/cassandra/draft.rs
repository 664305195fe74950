//! Drafts that are uploaded at their save points.

use std::sync::Arc;

use uuid::Uuid;

use super::super::followers_draft::{Completed, FileFollowersDraft};
use super::super::members::Member;
use super::super::profiles_draft::FileProfilesDraft;
use super::super::spool::DraftId;
use super::super::timeline_draft::FileTimelineDraft;
use super::super::{
    Appended, DatasetError, Finished, FollowersDraft, ProfilesDraft, Result, SavePoint, TimelineDraft,
};
use super::Inner;
use super::blocks::pieces;
use super::drafts::FinishedVersion;
use crate::ids::{PostId, UserId};

/// Uploads a draft as the blocks of one version.
struct Uploads {
    inner: Arc<Inner>,
    draft: DraftId,
    version: Uuid,
    /// Whether the version is written down.
    begun: bool,
    /// Bytes uploaded.
    uploaded: u64,
    /// Blocks uploaded.
    blocks: i32,
}

impl Uploads {
    fn new(inner: Arc<Inner>, draft: DraftId) -> Self {
        Self { inner, draft, version: Uuid::new_v4(), begun: false, uploaded: 0, blocks: 0 }
    }

    /// Uploads all members up to a position. After an error it may be repeated: the blocks are the same.
    fn upload(&mut self, to: u64, members: &[Member]) -> Result<()> {
        let Inner { store, owner, clock, .. } = &*self.inner;
        if !self.begun {
            // Known before it is there: a write whose answer is lost may have succeeded.
            let mut drafts = self.inner.drafts();
            let own = drafts.entry(self.draft.clone()).or_default();
            if !own.versions.contains(&self.version) {
                own.versions.push(self.version);
            }
            drop(drafts);
            store.begin_version(owner.epoch, &self.draft, self.version, &**clock)?;
            self.begun = true;
        }
        let pieces = pieces(members, self.uploaded, to, self.inner.block_bytes);
        let path = self.inner.spool.path(&self.draft)?;
        store.write_blocks((&self.draft.key, self.version), &path, &pieces, self.blocks)?;
        self.blocks += pieces.len() as i32;
        self.uploaded = to;
        Ok(())
    }

    fn finish(mut self, finished: Finished, members: &[Member]) -> Result<Finished> {
        if finished.items == 0 {
            self.inner.forget_empty(&self.draft);
            return Ok(finished);
        }
        self.upload(finished.bytes, members)?;
        let based_on = {
            let drafts = self.inner.drafts();
            drafts.get(&self.draft).and_then(|own| own.appended.as_ref()).map(|head| head.version)
        };
        let newest = members.first().and_then(|member| member.ids.clone()).map(|(first, _)| first);
        let Finished { items, bytes } = finished;
        let done =
            FinishedVersion { version: self.version, blocks: self.blocks, bytes, items, newest, based_on };
        self.inner.store.finish_version(self.inner.owner.epoch, &self.draft, &done)?;
        self.inner.drafts().entry(self.draft).or_default().finished = Some(done);
        Ok(finished)
    }
}

/// A timeline.
pub(super) struct RemoteTimeline {
    uploads: Uploads,
    file: FileTimelineDraft,
}

impl RemoteTimeline {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileTimelineDraft) -> Self {
        Self { uploads: Uploads::new(inner, draft), file }
    }
}

impl TimelineDraft for RemoteTimeline {
    fn push(&mut self, id: &PostId, json: &str) -> Result<bool> {
        self.file.push(id, json)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        reported(self.file.append_existing())
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.upload(saved.token, self.file.members())?;
        Ok(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Self { uploads, mut file } = *self;
        // Ends the last member.
        file.save_point()?;
        let members = file.members().to_vec();
        let finished = Box::new(file).finish()?;
        uploads.finish(finished, &members)
    }
}

/// A follower list.
pub(super) struct RemoteFollowers {
    uploads: Uploads,
    file: FileFollowersDraft,
}

impl RemoteFollowers {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileFollowersDraft) -> Self {
        Self { uploads: Uploads::new(inner, draft), file }
    }
}

impl FollowersDraft for RemoteFollowers {
    fn push(&mut self, follower: &UserId) -> Result<bool> {
        self.file.push(follower)
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.upload(saved.token, self.file.members())?;
        Ok(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Self { mut uploads, file } = *self;
        let Completed { finished, rewritten, members } = file.complete()?;
        if rewritten {
            // Save points refer to the blocks before.
            uploads = Uploads::new(uploads.inner, uploads.draft);
        }
        uploads.finish(finished, &members)
    }
}

/// Profiles.
pub(super) struct RemoteProfiles {
    uploads: Uploads,
    file: FileProfilesDraft,
}

impl RemoteProfiles {
    pub(super) fn new(inner: Arc<Inner>, draft: DraftId, file: FileProfilesDraft) -> Self {
        Self { uploads: Uploads::new(inner, draft), file }
    }
}

impl ProfilesDraft for RemoteProfiles {
    fn push(&mut self, line: &str) -> Result<()> {
        self.file.push(line)
    }

    fn append_existing(&mut self) -> Result<Appended> {
        reported(self.file.append_existing())
    }

    fn save_point(&mut self) -> Result<SavePoint> {
        let saved = self.file.save_point()?;
        self.uploads.upload(saved.token, self.file.members())?;
        Ok(saved)
    }

    fn items(&self) -> u64 {
        self.file.items()
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Self { uploads, mut file } = *self;
        // Ends the last member.
        file.save_point()?;
        let members = file.members().to_vec();
        let finished = Box::new(file).finish()?;
        uploads.finish(finished, &members)
    }
}

/// A file whose blocks are not there is set aside when it is opened.
fn reported(appended: Result<Appended>) -> Result<Appended> {
    match appended {
        Err(set_aside @ DatasetError::SetAside { .. }) => {
            Ok(Appended { items: 0, set_aside: Some(set_aside) })
        }
        other => other,
    }
}
