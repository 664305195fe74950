//! Verifies a file of the dataset, for operators.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::duplicates::{DuplicateFilter, FILTER_BYTES};
use super::{Codec, DatasetError, FileKind, FollowersReader, Result, TimelineReader, open_profiles, post_id};
use crate::ids::PostId;

/// The result of reading a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Items up to the end, or to where the file becomes unreadable.
    pub items: u64,
    /// Repeated items.
    pub duplicates: u64,
    /// Tweets that are newer than the one before them.
    pub out_of_order: u64,
    /// How the file is compressed.
    pub codec: Codec,
    /// Whether it is a packed follower list.
    pub packed: bool,
    /// Size of the readable part, decompressed, bytes.
    pub plain_bytes: u64,
    /// The item at the head of the file.
    pub first: Option<Edge>,
    /// The item at its end, or before the position where it becomes unreadable.
    pub last: Option<Edge>,
    /// Why the rest cannot be read: truncated or damaged compressed data, an invalid line.
    pub unreadable: Option<String>,
}

/// The first or the last item of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Id of the tweet, the follower or the profile's account.
    pub id: String,
    /// When a tweet was written, as its network spells it, or a profile looked up; `None` for followers, and for tweets
    /// without a time.
    pub created_at: Option<String>,
}

impl Verification {
    /// Whether the file is as this program writes it.
    pub fn is_sound(&self) -> bool {
        self.duplicates == 0 && self.out_of_order == 0 && self.unreadable.is_none()
    }
}

/// Reads a file and counts its defects. Memory is bounded; for lists of more than a million items an unnamed
/// temporary file is stored next to it.
///
/// # Errors
/// Only if the file cannot be opened or the disk fails: damage is part of the result.
pub fn verify(path: &Path, kind: FileKind) -> Result<Verification> {
    let mut found = Verification::default();
    let mut filter = DuplicateFilter::new(path, FILTER_BYTES);
    let read = match kind {
        FileKind::Timeline => verify_timeline(path, &mut found, &mut filter),
        FileKind::Profiles => verify_profiles(path, &mut found, &mut filter),
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
    found.codec = tweets.codec();
    let mut last: Option<(PostId, String)> = None;
    let read = loop {
        let (id, line) = match tweets.next_tweet() {
            Ok(Some(tweet)) => tweet,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let new = filter.admit((&id).into(), found.items)?;
        found.items += 1;
        found.duplicates += u64::from(!new);
        match &mut last {
            None => {
                found.first = Some(Edge::of_tweet(&id, line));
                last = Some((id, line.to_owned()));
            }
            Some((before, text)) => {
                found.out_of_order += u64::from(new && id > *before);
                *before = id;
                text.clear();
                text.push_str(line);
            }
        }
    };
    found.plain_bytes = tweets.bytes();
    found.last = last.map(|(id, line)| Edge::of_tweet(&id, &line));
    read
}

fn verify_profiles(path: &Path, found: &mut Verification, filter: &mut DuplicateFilter) -> Result<()> {
    let mut lines = open_profiles(path)?;
    found.codec = lines.codec();
    let read = loop {
        let (id, line) = match lines.next_tweet() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        found.duplicates += u64::from(!filter.admit((&id).into(), found.items)?);
        found.items += 1;
        // The first is of the newest analysis, but within one the last is the newest.
        let edge = Edge::of_profile(line);
        if found.first.is_none() {
            found.first.clone_from(&edge);
        }
        found.last = edge;
    };
    found.plain_bytes = lines.bytes();
    read
}

fn verify_followers(path: &Path, found: &mut Verification, filter: &mut DuplicateFilter) -> Result<()> {
    let mut followers = FollowersReader::open(path)?;
    (found.codec, found.packed) = (followers.codec(), followers.packed());
    let read = loop {
        let id = match followers.next() {
            Some(Ok(id)) => id,
            None => break followers.check_end(),
            Some(Err(error)) => break Err(error),
        };
        let new = filter.admit((&id).into(), found.items)?;
        found.items += 1;
        found.duplicates += u64::from(!new);
        let edge = Edge { id: id.to_string(), created_at: None };
        if found.first.is_none() {
            found.first = Some(edge.clone());
        }
        found.last = Some(edge);
    };
    found.plain_bytes = followers.bytes();
    read
}

impl Edge {
    fn of_profile(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kept<'a> {
            at: String,
            #[serde(borrow)]
            profile: &'a RawValue,
        }
        let kept: Kept<'_> = serde_json::from_str(line).ok()?;
        let id = post_id(kept.profile.get())?.to_string();
        Some(Self { id, created_at: Some(kept.at) })
    }

    fn of_tweet(id: &PostId, line: &str) -> Self {
        #[derive(Deserialize)]
        struct Dated {
            created_at: Option<String>,
        }
        let dated: Option<Dated> = serde_json::from_str(line).ok();
        Self { id: id.to_string(), created_at: dated.and_then(|dated| dated.created_at) }
    }
}
