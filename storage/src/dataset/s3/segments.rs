//! Segments of drafts in the bucket.
//!
//! ```text
//! .drafts/EPOCH/22013880.twt.LEASE/000000000000-000000012c40       bytes from the first number up to the second, hex
//! .drafts/EPOCH/22013880.twt.LEASE/000000012c40-00000001f00a.end   the last ones of a finished draft
//! .drafts/EPOCH/22013880.fws.LEASE/r000000000000-00000001f00a.end  of a list that was rewritten when it was finished
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::layout::{draft_name, parse_draft};
use super::super::sink::Sink;
use super::super::spool::DraftId;
use super::super::{DatasetError, FileKey, Result};
use super::Inner;
use crate::durable::Naming;
use crate::net::s3::{Attributes, Condition, PutOutcome};

/// Folder of all drafts.
const DRAFTS: &str = ".drafts";
/// Largest segment, bytes; it is held in memory while it is uploaded.
const SEGMENT_BYTES: u64 = 4 << 20;
const END: &str = ".end";
const REWRITTEN: char = 'r';
/// Uploads that were begun this long ago belong to processes that died.
const OLD_UPLOAD: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Part of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) key: String,
    from: u64,
    to: u64,
    rewritten: bool,
    end: bool,
}

impl Inner {
    /// Uploads the bytes of a draft from one position up to another.
    pub(super) fn upload(&self, draft: &DraftId, file: &Path, part: Part) -> Result<()> {
        let folder = self.folder(draft)?;
        let open = File::open(file).naming("open", file)?;
        let mut from = part.from;
        while from < part.to {
            let to = part.to.min(from + SEGMENT_BYTES);
            let mut bytes = vec![0; (to - from) as usize];
            open.read_exact_at(&mut bytes, from).naming("read", file)?;
            let end = part.end && to == part.to;
            let key = format!("{folder}{}", name(Part { from, to, end, ..part }));
            // Known before it is there: an upload whose answer is lost may have succeeded.
            self.drafts().entry(draft.clone()).or_default().segments.push(key.clone());
            if self.bucket.put(&key, bytes.into(), &Attributes::new(), &Condition::Any)?
                == PutOutcome::Refused
            {
                return Err(DatasetError::Changed { path: self.place(&key) });
            }
            from = to;
        }
        Ok(())
    }

    /// The segments that make up the first `bytes` of a draft; `None` if some are missing.
    pub(super) fn segments_to(&self, draft: &DraftId, bytes: u64) -> Result<Option<Vec<Segment>>> {
        Ok(chain(&self.segments(draft)?, bytes, false))
    }

    /// The segments of a finished draft; `None` if it is not finished, or not here.
    pub(super) fn finished_segments(&self, draft: &DraftId) -> Result<Option<Vec<Segment>>> {
        let segments = self.segments(draft)?;
        let end = segments.iter().filter(|segment| segment.end).max_by_key(|segment| segment.rewritten);
        Ok(end.and_then(|end| chain(&segments, end.to, end.rewritten)))
    }

    /// The keys of all segments of a draft.
    pub(super) fn segment_keys(&self, draft: &DraftId) -> Result<Vec<String>> {
        let listed = self.bucket.list(&self.folder(draft)?, None);
        Ok(listed.map(|object| object.map(|object| object.key)).collect::<Result<_, _>>()?)
    }

    fn segments(&self, draft: &DraftId) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for object in self.bucket.list(&self.folder(draft)?, None) {
            let object = object?;
            // A segment that is not as long as its name says is none of ours.
            segments.extend(parse(object.key).filter(|segment| segment.to - segment.from == object.bytes));
        }
        Ok(segments)
    }

    /// Appends segments to an empty file; `None` if one was removed meanwhile.
    pub(super) fn download(&self, segments: &[Segment], mut sink: Sink) -> Result<Option<Sink>> {
        for segment in segments {
            let Some(mut object) = self.bucket.get(&segment.key)? else {
                sink.remove()?;
                return Ok(None);
            };
            sink.append_raw(&mut object).map_err(|error| DatasetError::of_copy(error, sink.path()))?;
        }
        Ok(Some(sink))
    }

    /// All drafts of this epoch in the bucket.
    pub(super) fn uploaded_drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        let folder = self.drafts_folder();
        let mut drafts: Vec<(FileKey, u64)> = Vec::new();
        for object in self.bucket.list(&folder, None) {
            let object = object?;
            let name = object.key.strip_prefix(&folder).and_then(|rest| rest.split_once('/'));
            let Some(draft) = name.and_then(|(name, _)| parse_draft(name)) else { continue };
            // Segments of one draft follow each other.
            if drafts.last() != Some(&draft) {
                drafts.push(draft);
            }
        }
        Ok(drafts)
    }

    /// Aborts uploads of processes that died in the middle: they cost space, and no list of objects has them.
    pub(super) fn abort_old_uploads(&self) -> Result<()> {
        for upload in self.bucket.unfinished_uploads("") {
            let upload = upload?;
            let age = upload.begun.and_then(|begun| begun.elapsed().ok());
            // The bucket may have objects of other programs.
            let ours = FileKey::of_stored_name(&upload.key).is_some();
            if ours && age.is_some_and(|age| age > OLD_UPLOAD) {
                self.bucket.abort(&upload)?;
                tracing::info!(object = %upload.key, "aborted an upload that nobody has ended for a day");
            }
        }
        Ok(())
    }

    fn drafts_folder(&self) -> String {
        format!("{DRAFTS}/{}/", self.owner.epoch)
    }

    fn folder(&self, draft: &DraftId) -> Result<String> {
        Ok(format!("{}{}/", self.drafts_folder(), draft_name(&draft.key, draft.lease)?))
    }
}

/// Bytes of a draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether the draft is finished with them.
    pub(super) end: bool,
    /// Whether the draft was rewritten when it was finished: earlier segments are not part of it.
    pub(super) rewritten: bool,
}

fn name(part: Part) -> String {
    let mark = if part.rewritten { "r" } else { "" };
    let end = if part.end { END } else { "" };
    format!("{mark}{:012x}-{:012x}{end}", part.from, part.to)
}

fn parse(key: String) -> Option<Segment> {
    let name = key.rsplit_once('/')?.1;
    let (name, end) = name.strip_suffix(END).map_or((name, false), |name| (name, true));
    let (name, rewritten) = name.strip_prefix(REWRITTEN).map_or((name, false), |name| (name, true));
    let (from, to) = name.split_once('-')?;
    let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
    (from < to).then_some(Segment { key, from, to, rewritten, end })
}

/// Segments from 0 up to `bytes`. An upload that failed may have left one that a longer one with the same beginning
/// replaces; both have the same bytes.
fn chain(segments: &[Segment], bytes: u64, rewritten: bool) -> Option<Vec<Segment>> {
    let mut chain = Vec::new();
    let mut position = 0;
    while position < bytes {
        let fits = |segment: &&Segment| {
            segment.rewritten == rewritten && segment.from == position && segment.to <= bytes
        };
        let next = segments.iter().filter(fits).max_by_key(|segment| segment.to)?;
        position = next.to;
        chain.push(next.clone());
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(from: u64, to: u64) -> Segment {
        let part = Part { from, to, end: false, rewritten: false };
        parse(format!(".drafts/0/7.twt.3/{}", name(part))).unwrap()
    }

    #[test]
    fn a_name_has_all_that_is_needed_of_a_segment() {
        for (end, rewritten) in [(false, false), (true, false), (true, true)] {
            let key = format!(".drafts/0/7.fws.3/{}", name(Part { from: 5, to: 1 << 40, end, rewritten }));
            let expected = Segment { key: key.clone(), from: 5, to: 1 << 40, rewritten, end };
            assert_eq!(parse(key), Some(expected));
        }
        for bad in ["a/0-0", "a/5-4", "a/x-y", "a/7", "5-9"] {
            assert_eq!(parse(bad.to_owned()), None, "{bad}");
        }
    }

    #[test]
    fn segments_are_chained_to_the_save_point_and_not_beyond() {
        let all = [segment(0, 10), segment(10, 15), segment(10, 20), segment(20, 30)];
        let to =
            |bytes| chain(&all, bytes, false).map(|chain| chain.iter().map(|s| s.to).collect::<Vec<_>>());
        assert_eq!(to(20), Some(vec![10, 20]));
        assert_eq!(to(15), Some(vec![10, 15]));
        assert_eq!(to(30), Some(vec![10, 20, 30]));
        assert_eq!(to(0), Some(vec![]));
        assert_eq!((to(12), to(31)), (None, None));
        assert_eq!(chain(&all, 10, true), None);
    }
}
