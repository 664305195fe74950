//! The lines of a file of profiles, and their reader.
//!
//! ```text
//! {"at":"2026-11-30T15:47:29Z","source":"twitter","crawl":7,"profile":{...}}
//! ```

use std::fs::File;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::published::stamp;
use super::{Result, SourceName, TimelineReader};
use crate::durable::Naming;
use crate::ids::PostId;

/// A profile, as a line of a file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// When it was looked up, RFC 3339 in UTC.
    at: String,
    /// Where.
    #[serde(borrow)]
    source: std::borrow::Cow<'a, str>,
    /// For which crawl.
    crawl: u64,
    /// The object as the source sent it.
    #[serde(borrow)]
    profile: &'a RawValue,
}

/// The line of a profile that was looked up at `at`, the time since 1970, for a crawl.
pub fn profile_line(at: Duration, source: &SourceName, crawl: u64, profile: &RawValue) -> String {
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + at).to_string();
    let line = Line { at, source: source.to_string().into(), crawl, profile };
    // It has no map with other keys than texts, and writing to a text cannot fail.
    serde_json::to_string(&line).unwrap_or_default()
}

/// Distinguishes a line of such a file from all others; `None` if it is none.
pub fn profile_id(json: &str) -> Option<PostId> {
    let line: Line<'_> = serde_json::from_str(json).ok()?;
    line.profile.get().starts_with('{').then(|| PostId::Number(stamp(json.bytes())))
}

/// Reads the lines of a file of profiles, compressed or plain, newest analysis first.
///
/// # Errors
/// No such file, or one that cannot be read.
pub fn open_profiles(path: &Path) -> Result<TimelineReader> {
    of_file(path, File::open(path).naming("open", path)?)
}

pub(super) fn of_file(path: &Path, file: File) -> Result<TimelineReader> {
    TimelineReader::of_file(path, file, profile_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_profile_as_it_was_sent_with_when_and_where() {
        let raw: Box<RawValue> = serde_json::from_str(r#"{"id":7, "name":"a b"}"#).unwrap();
        let line = profile_line(Duration::from_millis(1_700_000_000_900), &SourceName::default(), 3, &raw);
        assert_eq!(
            line,
            r#"{"at":"2023-11-14T22:13:20Z","source":"twitter","crawl":3,"profile":{"id":7, "name":"a b"}}"#
        );
        assert!(profile_id(&line).is_some());
        assert_ne!(profile_id(&line), profile_id(&line.replace("20Z", "21Z")));
        for other in ["", "{}", r#"{"id":5}"#, &line.replace("\"profile\":{", "\"profile\":[{"), &line[..60]]
        {
            assert_eq!(profile_id(other), None, "{other}");
        }
    }
}
