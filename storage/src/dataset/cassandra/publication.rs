//! Publication, fenced by light transactions.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::published::{Fence, Published, PublishedFiles, Version};
use super::super::spool::DraftId;
use super::super::{DatasetError, FileKey, Result};
use super::Inner;
use super::blocks::{BlockError, CopyError};
use super::drafts::FinishedVersion;
use super::heads::Head;
use crate::durable::FileError;
use crate::net::cassandra::Transaction;
use crate::planted::{Bug, planted};

/// How often a publication is tried that finds another version than the one looked at.
const ATTEMPTS: u32 = 8;
/// How often it is tried without a clear answer; the caller tries again later.
const UNCLEAR: u32 = 2;
/// How often a file is read that is replaced meanwhile.
const READS: u32 = 4;
/// Most names tried for an unreadable file.
const MAX_SET_ASIDE: u32 = 10_000;

impl Inner {
    /// Publishes a finished draft. May be repeated: the head says which publication was the last.
    pub(super) fn publish(&self, draft: &DraftId) -> Result<()> {
        let (key, fence) = (&draft.key, self.fence(draft.lease));
        let lost = || DatasetError::DraftLost { key: key.clone(), lease: draft.lease };
        let Some(finished) = self.finished(draft)? else {
            let there = self.store.settled_head(key)?;
            let is_published = there.is_some_and(|there| there.fence.includes(&fence));
            return if is_published || planted(Bug::LostDraftPublished) { Ok(()) } else { Err(lost()) };
        };
        let known = self.drafts().get(draft).and_then(|own| own.appended.clone());
        // What was appended may be later than the draft: then the servers say what is there now.
        let mut from = known.filter(|known| is_replaceable(&known.fence, &fence));
        let mut unclear = 0;
        for _ in 0..ATTEMPTS {
            let to = Head::publishing(&finished, fence, from.as_ref());
            match self.swap(key, from.as_ref(), &to) {
                Ok(Transaction::Applied) => {
                    self.published(draft, to.replaced);
                    return Ok(());
                }
                Ok(Transaction::Refused) => {}
                Err(error) if error.is_temporary() && unclear < UNCLEAR => {
                    tracing::info!("whether it was published is not known yet: {error}");
                    unclear += 1;
                }
                Err(error) => return Err(error),
            }
            let Some(there) = self.store.settled_head(key)? else {
                from = None;
                continue;
            };
            if there.version == finished.version {
                // By us, with an answer that was lost, or by another node.
                self.published(draft, there.replaced);
                return Ok(());
            }
            if there.fence.includes(&fence) {
                // The cluster has granted a later lease since, so it knows of ours.
                tracing::info!(file = %key, found = ?there.fence, "not published again: a later file is there");
                return Ok(());
            }
            if there.is_file() && finished.based_on.is_some_and(|based_on| based_on != there.version) {
                // The draft contains another version than the one that an operator has put there meanwhile.
                return Err(lost());
            }
            if there.fence.storage != fence.storage {
                // Copied from elsewhere, or of an owner before; unless it is this process that is no owner any more.
                self.read_owner()?;
            }
            from = Some(there);
        }
        Err(DatasetError::Changed { path: self.store.place_of(key)? })
    }

    fn swap(&self, key: &FileKey, from: Option<&Head>, to: &Head) -> Result<Transaction> {
        // The one before the last: the new head does not name it any more.
        if let Some((version, blocks)) = from.and_then(|from| from.replaced) {
            self.store.remove_blocks(key, version, blocks, &*self.clock)?;
        }
        Ok(self.store.swap_head(key, from.map(|from| from.version), to)?)
    }

    fn published(&self, draft: &DraftId, replaced: Option<(uuid::Uuid, i32)>) {
        // Of a draft of another process, not all versions are known.
        if let Some(own) = self.drafts().get_mut(draft) {
            own.published = Some(replaced);
        }
    }

    /// A finished draft, written by any node; `None` if there is none.
    fn finished(&self, draft: &DraftId) -> Result<Option<FinishedVersion>> {
        if let Some(finished) = self.drafts().get(draft).and_then(|own| own.finished.clone()) {
            return Ok(Some(finished));
        }
        let versions = self.store.versions(self.owner.epoch, draft)?;
        Ok(versions.into_iter().rev().find_map(|version| version.finished))
    }

    /// Removes a draft. Blocks that are a published file, or one that was set aside, stay; those that its file has replaced
    /// are deleted with it.
    pub(super) fn discard(&self, draft: &DraftId) -> Result<()> {
        self.spool.remove(draft)?;
        let (key, epoch) = (&draft.key, self.owner.epoch);
        let own = self.drafts().get(draft).cloned();
        let versions = match &own {
            Some(own) => own.versions.clone(),
            None => {
                let found = self.store.versions(epoch, draft)?;
                found.into_iter().map(|version| version.version).collect()
            }
        };
        let (used, replaced) = match own.and_then(|own| Some((own.finished?, own.published?))) {
            Some((finished, replaced)) => (vec![finished.version], replaced),
            None if versions.is_empty() => (Vec::new(), None),
            None => {
                let heads = self.store.heads(key)?;
                let was_published = heads.iter().any(|head| versions.contains(&head.version));
                // The head is ours, or the empty one in its place.
                let ours = |head: &&Head| {
                    head.name.is_empty() && (versions.contains(&head.version) || !head.is_file())
                };
                let replaced = heads.iter().find(ours).and_then(|head| head.replaced);
                (heads.iter().map(|head| head.version).collect(), replaced.filter(|_| was_published))
            }
        };
        if let Some((version, blocks)) = replaced {
            self.store.remove_blocks(key, version, blocks, &*self.clock)?;
        }
        for version in versions {
            if !used.contains(&version) {
                self.store.remove_version(key, version, &*self.clock)?;
            }
            // Last, because the cleanup finds the blocks by it.
            self.store.forget_version(epoch, draft, version, &*self.clock)?;
        }
        self.drafts().remove(draft);
        Ok(())
    }

    /// Opens a published file. `lost`: what to do with one whose blocks are not there.
    fn open_or(
        &self,
        key: &FileKey,
        lost: impl Fn(&Head, DatasetError) -> Result<DatasetError>,
    ) -> Result<Option<(Published, Head)>> {
        for _ in 0..READS {
            let Some(head) = self.store.head(key)?.filter(Head::is_file) else { return Ok(None) };
            let place = self.store.place_of(key)?;
            let (mut file, path) = self.spool.unnamed()?;
            let why = match self.store.copy_version((key, head.version), head.blocks, &mut file) {
                Ok(members) => {
                    let bytes = members.last().map_or(0, |member| member.to);
                    if bytes == head.bytes {
                        let version = Version::Blocks { version: head.version, members: members.into() };
                        return Ok(Some((Published { path: place, file, version }, head)));
                    }
                    format!("it has {bytes} bytes, and not {}", head.bytes)
                }
                Err(CopyError::Blocks(BlockError::Missing(number))) => {
                    format!("block {number} of {} is missing", head.blocks)
                }
                Err(CopyError::Blocks(BlockError::Other(error))) => return Err(error.into()),
                Err(CopyError::File(source)) => {
                    return Err(FileError { action: "copy to", path, source }.into());
                }
            };
            // Its blocks are deleted once a later version is published.
            if self.store.settled_head(key)?.is_some_and(|now| now.version == head.version) {
                return Err(lost(&head, DatasetError::Unreadable { path: place, item: 1, why })?);
            }
        }
        Err(DatasetError::Changed { path: self.store.place_of(key)? })
    }

    /// Opens a published file for an update; returns also its head. One whose blocks are not there is set aside.
    pub(super) fn open_for_update(&self, key: &FileKey) -> Result<Option<(Published, Head)>> {
        self.open_or(key, |head, unreadable| {
            Ok(super::super::layout::report_set_aside(unreadable, self.set_head_aside(key, head)?))
        })
    }

    /// Sets a version aside, unless it is not the published one any more. Returns its new place.
    pub(super) fn set_head_aside(&self, key: &FileKey, found: &Head) -> Result<Option<PathBuf>> {
        let mut unclear = 0;
        loop {
            let heads = self.store.heads(key)?;
            let place = |name: &str| -> Result<PathBuf> {
                Ok(format!("{}.{name}", self.store.place_of(key)?.display()).into())
            };
            // By us, with an answer that was lost, or by another node.
            if let Some(aside) =
                heads.iter().find(|head| !head.name.is_empty() && head.version == found.version)
            {
                return Ok(Some(place(&aside.name)?));
            }
            if !heads.iter().any(|head| head.name.is_empty() && head.version == found.version) {
                return Ok(None);
            }
            let names = (1..MAX_SET_ASIDE).map(|n| match n {
                1 => "unreadable".to_owned(),
                n => format!("unreadable-{n}"),
            });
            let free = names.into_iter().find(|name| heads.iter().all(|head| head.name != *name));
            let name = free.ok_or(DatasetError::Exists { path: self.store.place_of(key)? })?;
            match self.store.move_head(key, found, &name) {
                Ok(Transaction::Applied) => {
                    let (path, to) = (self.store.place_of(key)?, place(&name)?);
                    tracing::warn!(path = %path.display(), to = %to.display(), "unreadable file set aside");
                    return Ok(Some(to));
                }
                Ok(Transaction::Refused) => {}
                Err(error) if error.is_temporary() && unclear < UNCLEAR => unclear += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a version that was read earlier may be replaced without another look.
fn is_replaceable(known: &Fence, by: &Fence) -> bool {
    known.storage == by.storage && !known.includes(by)
}

impl PublishedFiles for Inner {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        Ok(self.open_or(key, |_, unreadable| Ok(unreadable))?.map(|(file, _)| file))
    }

    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        let Version::Blocks { version, .. } = &found.version else { return Ok(None) };
        match self.store.settled_head(key)?.filter(|head| head.version == *version) {
            Some(head) => self.set_head_aside(key, &head),
            None => Ok(None),
        }
    }
}

/// The published files as an update sees them: which version a draft appends is remembered.
pub(super) struct Updating {
    pub(super) inner: Arc<Inner>,
    /// `None`: nothing is appended.
    pub(super) draft: Option<DraftId>,
}

impl Updating {
    fn appends(&self, head: Option<Head>) {
        let Some(draft) = &self.draft else { return };
        self.inner.drafts().entry(draft.clone()).or_default().appended = head;
    }
}

impl PublishedFiles for Updating {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        let found = self.inner.open_for_update(key)?;
        self.appends(found.as_ref().map(|(_, head)| head.clone()));
        Ok(found.map(|(file, _)| file))
    }

    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        self.appends(None);
        self.inner.set_aside(key, found)
    }
}
