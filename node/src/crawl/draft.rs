//! Drafts and pages of either kind.

use api::model::DraftProgress;
use storage::dataset::{
    Account, Dataset, DatasetError, FileKey, Finished, FollowersDraft, SavePoint, TimelineDraft,
};

use crate::source::{FollowersPage, MorePosts, TimelinePage};

/// The files that are walked page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    Timeline,
    Followers,
}

impl Pages {
    /// The file of an account.
    pub(super) fn file(self, account: &Account) -> FileKey {
        match self {
            Self::Timeline => account.timeline(),
            Self::Followers => account.followers(),
        }
    }
}

/// A file being written.
pub(super) enum Draft {
    Timeline(Box<dyn TimelineDraft>),
    Followers(Box<dyn FollowersDraft>),
}

/// What has become of a page.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// New items.
    pub(super) new: u64,
    /// Whether an item was left out that no reader would accept.
    pub(super) left_out: bool,
}

/// The result of one request of a walk.
pub(super) enum Page {
    Timeline(TimelinePage),
    Followers(FollowersPage),
}

impl Draft {
    pub(super) fn begin(
        dataset: &dyn Dataset,
        pages: Pages,
        account: &Account,
        lease: u64,
    ) -> Result<Self, DatasetError> {
        Ok(match pages {
            Pages::Timeline => Self::Timeline(dataset.begin_timeline(account, lease)?),
            Pages::Followers => Self::Followers(dataset.begin_followers(account, lease)?),
        })
    }

    pub(super) fn resume(
        dataset: &dyn Dataset,
        pages: Pages,
        account: &Account,
        from: &DraftProgress,
        lease: u64,
    ) -> Result<Self, DatasetError> {
        let saved = SavePoint { token: from.token, items: from.items };
        let old = from.lease.0;
        Ok(match pages {
            Pages::Timeline => Self::Timeline(dataset.resume_timeline(account, saved, old, lease)?),
            Pages::Followers => Self::Followers(dataset.resume_followers(account, saved, old, lease)?),
        })
    }

    /// Writes a page.
    pub(super) fn push(&mut self, page: &Page) -> Result<Pushed, DatasetError> {
        let mut pushed = Pushed::default();
        match (self, page) {
            (Self::Timeline(draft), Page::Timeline(page)) => {
                for (id, json) in page.posts() {
                    pushed.add(draft.push(id, json))?;
                }
            }
            (Self::Followers(draft), Page::Followers(page)) => {
                for follower in &page.ids {
                    pushed.add(draft.push(follower))?;
                }
            }
            // A walk requests only pages of its draft's kind.
            (Self::Timeline(_), Page::Followers(_)) | (Self::Followers(_), Page::Timeline(_)) => {}
        }
        Ok(pushed)
    }

    pub(super) fn save_point(&mut self) -> Result<SavePoint, DatasetError> {
        match self {
            Self::Timeline(draft) => draft.save_point(),
            Self::Followers(draft) => draft.save_point(),
        }
    }

    pub(super) fn finish(self) -> Result<Finished, DatasetError> {
        match self {
            Self::Timeline(draft) => draft.finish(),
            Self::Followers(draft) => draft.finish(),
        }
    }
}

impl Pushed {
    /// An item that no reader accepts is left out, which is no reason to lose the others.
    fn add(&mut self, pushed: Result<bool, DatasetError>) -> Result<(), DatasetError> {
        match pushed {
            Err(error @ DatasetError::ItemTooLarge { .. }) => {
                tracing::warn!("left out: {error}");
                self.left_out = true;
            }
            other => self.new += u64::from(other?),
        }
        Ok(())
    }
}

impl Page {
    /// What the page's answer has beyond it.
    pub(super) fn take_rest(&mut self) -> Option<Box<dyn MorePosts>> {
        match self {
            Self::Timeline(page) => page.rest.take(),
            Self::Followers(_) => None,
        }
    }

    pub(super) fn next(&self) -> Option<&str> {
        match self {
            Self::Timeline(page) => page.next.as_deref(),
            Self::Followers(page) => page.next.as_deref(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Timeline(page) => page.items().is_empty(),
            Self::Followers(page) => page.ids.is_empty(),
        }
    }

    pub(super) fn unusable(&self) -> usize {
        match self {
            Self::Timeline(page) => page.unusable,
            Self::Followers(page) => page.unusable,
        }
    }
}
