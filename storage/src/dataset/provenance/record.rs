//! One record of provenance.
//!
//! ```text
//! {"source":"twitter","account":"22013880","kind":"twt","crawl":7,"operation":"T","begun":"2026-11-30T15:47:29Z",
//!  "ended":"2026-11-30T15:47:31Z","published":"2026-11-30T15:47:31Z","items":1200,"node":1,"lease":4711,"epoch":0,
//!  "complete":true,"cut_short":[],"resumed":false}
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::{Account, FileKey, FileKind, SourceName};
use crate::ids::UserId;

/// A reason why a file is cut short: it has as many items as the source gives of any account.
pub const CAPPED: &str = "capped";
/// A reason why a file is cut short: items without a usable id, or longer than any line, were left out.
pub const LEFT_OUT: &str = "left_out";
/// A reason why a file is cut short: profiles that an earlier lease had looked up were lost with their draft.
pub const PROFILES_LOST: &str = "profiles_lost";
/// A reason why a file is cut short: what was published before was unreadable and was set aside.
pub const FILE_LOST: &str = "file_lost";

/// How far a file was crawled, as the node knows that crawled it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extent {
    /// Why it is cut short; without reasons, the walk met its end, and all that the source gave is in the file.
    pub cut_short: Vec<String>,
    /// Whether the walk continued one of an earlier lease: what it then had was fetched before [`Record::begun`].
    pub resumed: bool,
}

/// A publication. Times are those since 1970, in whole seconds, by the clock of the node.
///
/// A node that only finishes the publication of another one, which died, does not know when the file was crawled and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The file.
    pub key: FileKey,
    /// The crawl, if it is known.
    pub crawl: Option<u64>,
    /// `T`, `F`, `A` or `U`.
    pub operation: char,
    /// When its job began under this lease, if that is known.
    pub begun: Option<Duration>,
    /// When its draft was finished, if that is known.
    pub ended: Option<Duration>,
    /// When it was published, by the node that made this record.
    pub published: Duration,
    /// Posts, followers or profiles that the job fetched, if that is known: of an update, the new posts.
    pub items: Option<u64>,
    /// The node that published it.
    pub node: u64,
    /// The lease of the draft.
    pub lease: u64,
    /// How often the output had been taken over: leases of different owners may have the same numbers.
    pub epoch: u64,
    /// How far it was crawled, if that is known.
    pub extent: Option<Extent>,
}

/// A record as a line.
#[derive(Serialize, Deserialize)]
struct Line {
    source: String,
    account: String,
    kind: String,
    crawl: Option<u64>,
    operation: char,
    begun: Option<String>,
    ended: Option<String>,
    published: String,
    items: Option<u64>,
    node: u64,
    lease: u64,
    epoch: u64,
    complete: Option<bool>,
    #[serde(default)]
    cut_short: Vec<String>,
    #[serde(default)]
    resumed: Option<bool>,
}

impl Extent {
    /// Whether the file is complete.
    pub fn is_complete(&self) -> bool {
        self.cut_short.is_empty()
    }
}

impl Record {
    /// Whether the node that made it had crawled the file itself.
    pub fn is_full(&self) -> bool {
        self.extent.is_some()
    }

    /// Distinguishes the publication from all others of an output.
    pub fn identity(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        (&self.key, self.epoch, self.lease).hash(&mut hash);
        hash.finish()
    }

    /// The line of the record, without a line end.
    pub fn to_line(&self) -> String {
        let line = Line {
            source: self.key.account.source.to_string(),
            account: self.key.account.user.to_string(),
            kind: self.key.kind.suffix().to_owned(),
            crawl: self.crawl,
            operation: self.operation,
            begun: self.begun.map(utc),
            ended: self.ended.map(utc),
            published: utc(self.published),
            items: self.items,
            node: self.node,
            lease: self.lease,
            epoch: self.epoch,
            complete: self.extent.as_ref().map(Extent::is_complete),
            cut_short: self.extent.as_ref().map(|extent| extent.cut_short.clone()).unwrap_or_default(),
            resumed: self.extent.as_ref().map(|extent| extent.resumed),
        };
        // It has no map, and writing to a text cannot fail.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The record of a line. Fields of later versions are skipped.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn of_line(line: &str) -> Result<Self, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let kind = FileKind::ALL.into_iter().find(|kind| kind.suffix() == line.kind);
        let kind = kind.ok_or_else(|| format!("there are no files of the kind {:?}", line.kind))?;
        let source = line.source.parse::<SourceName>().map_err(|error| error.to_string())?;
        let user = line.account.parse::<UserId>().map_err(|error| error.to_string())?;
        let extent = line.complete.map(|complete| {
            let mut cut_short = line.cut_short;
            if !complete && cut_short.is_empty() {
                cut_short.push("unknown".to_owned());
            }
            Extent { cut_short, resumed: line.resumed.unwrap_or_default() }
        });
        Ok(Self {
            key: FileKey { account: Account { source, user }, kind },
            crawl: line.crawl,
            operation: line.operation,
            begun: line.begun.as_deref().map(time).transpose()?,
            ended: line.ended.as_deref().map(time).transpose()?,
            published: time(&line.published)?,
            items: line.items,
            node: line.node,
            lease: line.lease,
            epoch: line.epoch,
            extent,
        })
    }
}

/// A time since 1970 as it is written in records, such as `2026-11-30T15:47:29Z`.
pub fn utc(at: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + at).to_string()
}

fn time(text: &str) -> Result<Duration, String> {
    let at: SystemTime = humantime::parse_rfc3339(text).map_err(|error| format!("{text:?}: {error}"))?;
    at.duration_since(UNIX_EPOCH).map_err(|_| format!("{text:?} is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lease: u64) -> Record {
        let extent = Extent { cut_short: vec![CAPPED.to_owned()], resumed: true };
        Record {
            key: FileKey::timeline(&22_013_880.into()),
            crawl: Some(7),
            operation: 'T',
            begun: Some(Duration::from_secs(1_700_000_000)),
            ended: Some(Duration::from_secs(1_700_000_002)),
            published: Duration::from_secs(1_700_000_003),
            items: Some(3_200),
            node: 1,
            lease,
            epoch: 2,
            extent: Some(extent),
        }
    }

    #[test]
    fn a_line_has_all_that_is_known_of_a_publication() {
        let line = record(9).to_line();
        assert_eq!(
            line,
            "{\"source\":\"twitter\",\"account\":\"22013880\",\"kind\":\"twt\",\"crawl\":7,\"operation\":\"T\",\
             \"begun\":\"2023-11-14T22:13:20Z\",\"ended\":\"2023-11-14T22:13:22Z\",\"published\":\"2023-11-14T22:13:23Z\",\
             \"items\":3200,\"node\":1,\"lease\":9,\"epoch\":2,\"complete\":false,\"cut_short\":[\"capped\"],\"resumed\":true}"
        );
        assert_eq!(Record::of_line(&line).unwrap(), record(9));
        let account = Account { source: "bluesky".parse().unwrap(), user: "did:plc:a.b".parse().unwrap() };
        let (key, crawl) = (account.profiles(), None);
        let short = Record { key, crawl, begun: None, ended: None, items: None, extent: None, ..record(9) };
        assert_eq!(Record::of_line(&short.to_line()).unwrap(), short);
    }

    #[test]
    fn fields_of_later_versions_are_skipped_and_what_is_wrong_is_said() {
        let line = record(9).to_line();
        let later = line.replace("\"crawl\":7", "\"crawl\":7,\"later\":{\"a\":1}");
        assert_eq!(Record::of_line(&later).unwrap(), record(9));
        for (bad, what) in [
            (line.replace("twt", "xyz"), "xyz"),
            (line.replace("2023", "never"), "never"),
            (line.replace("\"lease\":9,", ""), "lease"),
            (line[..60].to_owned(), "EOF"),
        ] {
            let said = Record::of_line(&bad).unwrap_err();
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn a_publication_is_distinguished_by_its_file_its_lease_and_the_epoch() {
        let mut others = vec![record(9), record(10), Record { epoch: 3, ..record(9) }];
        others.push(Record { key: FileKey::followers(&22_013_880.into()), ..record(9) });
        let identities: std::collections::BTreeSet<u64> = others.iter().map(Record::identity).collect();
        assert_eq!(identities.len(), others.len());
        assert_eq!(record(9).identity(), Record { extent: None, node: 4, ..record(9) }.identity());
    }
}
