//! Looking through a file of the dataset, for operators.

use std::path::Path;

use super::duplicates::{DuplicateFilter, FILTER_BYTES};
use super::{DatasetError, FileKind, FollowersReader, Result, TimelineReader};
use crate::ids::UserId;

/// What a whole reading of a file shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Items up to the end, or to where the file became unreadable.
    pub items: u64,
    /// Items that were there before.
    pub duplicates: u64,
    /// Tweets that are newer than the one before them.
    pub out_of_order: u64,
    /// Whether the file is gzip.
    pub compressed: bool,
    /// Whether it is a packed follower list.
    pub packed: bool,
    /// Why the rest cannot be read: torn or damaged gzip, a line that is none.
    pub unreadable: Option<String>,
}

impl Verification {
    /// Whether the file is as this program writes it.
    pub fn is_sound(&self) -> bool {
        self.duplicates == 0 && self.out_of_order == 0 && self.unreadable.is_none()
    }
}

/// Reads a file through and counts what is wrong with it. Memory is bounded; for lists of more than a
/// million items a temporary file (without a name) lies beside it.
///
/// # Errors
/// Only for a file that cannot be opened or a disk that fails: damage is part of the answer.
pub fn verify(path: &Path, kind: FileKind) -> Result<Verification> {
    let mut found = Verification::default();
    let mut filter = DuplicateFilter::new(path, FILTER_BYTES);
    let read = match kind {
        FileKind::Timeline => verify_timeline(path, &mut found, &mut filter),
        FileKind::Followers => verify_followers(path, &mut found, &mut filter),
    };
    match read {
        Err(DatasetError::Unreadable { item, why, .. }) => {
            found.unreadable = Some(format!("item {item}: {why}"))
        }
        other => other?,
    }
    found.duplicates += filter.into_wrong()?.count;
    Ok(found)
}

fn verify_timeline(path: &Path, found: &mut Verification, filter: &mut DuplicateFilter) -> Result<()> {
    let mut tweets = TimelineReader::open(path)?;
    found.compressed = tweets.compressed();
    let mut last = None;
    while let Some((id, _)) = tweets.next_tweet()? {
        let new = filter.admit(&UserId::Number(id), found.items)?;
        found.items += 1;
        found.duplicates += u64::from(!new);
        found.out_of_order += u64::from(new && last.is_some_and(|last| id > last));
        last = Some(id);
    }
    Ok(())
}

fn verify_followers(path: &Path, found: &mut Verification, filter: &mut DuplicateFilter) -> Result<()> {
    let mut followers = FollowersReader::open(path)?;
    (found.compressed, found.packed) = (followers.compressed(), followers.packed());
    while let Some(id) = followers.next().transpose()? {
        let new = filter.admit(&id, found.items)?;
        found.items += 1;
        found.duplicates += u64::from(!new);
    }
    Ok(())
}
