//! Drafts in the keyspace: which versions a lease has written, and whether they are finished.

use uuid::Uuid;

use super::super::FileKey;
use super::super::spool::DraftId;
use super::CassandraStore;
use super::blocks::{columns, deletion_time, key_of};
use crate::env::Clock;
use crate::net::cassandra::CassandraError;

/// Partitions of the drafts of an epoch.
const SHARDS: i32 = 256;
/// Partitions that are read at a time.
const SHARDS_AT_A_TIME: usize = 16;

/// A finished version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FinishedVersion {
    pub(super) version: Uuid,
    pub(super) blocks: i32,
    pub(super) bytes: u64,
    pub(super) items: u64,
    /// Id of the first post.
    pub(super) newest: Option<String>,
    /// The published version that an update has appended.
    pub(super) based_on: Option<Uuid>,
}

/// A version of a draft.
#[derive(Debug, Clone)]
pub(super) struct DraftVersion {
    pub(super) version: Uuid,
    begun: i64,
    pub(super) finished: Option<FinishedVersion>,
}

impl CassandraStore {
    /// Writes down that a version of a draft is begun, before its first block.
    pub(super) fn begin_version(
        &self,
        epoch: u64,
        draft: &DraftId,
        version: Uuid,
        clock: &dyn Clock,
    ) -> Result<(), CassandraError> {
        let begun = i64::try_from(clock.wall().as_millis()).unwrap_or(i64::MAX);
        let (source, account, kind) = columns(&draft.key);
        let (shard, lease) = (shard(&draft.key), draft.lease as i64);
        let values = (epoch as i64, shard, source, account, kind, lease, version, begun);
        self.keyspace.write(&format!("begin {}", draft.key), &self.statements.begin_draft, values)
    }

    /// Writes down that a version is complete, after its last block.
    pub(super) fn finish_version(
        &self,
        epoch: u64,
        draft: &DraftId,
        finished: &FinishedVersion,
    ) -> Result<(), CassandraError> {
        let FinishedVersion { version, blocks, bytes, items, newest, based_on } = finished.clone();
        let (source, account, kind) = columns(&draft.key);
        let (shard, lease) = (shard(&draft.key), draft.lease as i64);
        let what = (blocks, bytes as i64, items as i64, newest, based_on);
        let values = (
            what.0,
            what.1,
            what.2,
            what.3,
            what.4,
            epoch as i64,
            shard,
            source,
            account,
            kind,
            lease,
            version,
        );
        self.keyspace.write(&format!("finish {}", draft.key), &self.statements.finish_draft, values)
    }

    /// The versions of a draft, the oldest first.
    pub(super) fn versions(&self, epoch: u64, draft: &DraftId) -> Result<Vec<DraftVersion>, CassandraError> {
        type Row = (Uuid, Option<i64>, Option<i32>, Option<i64>, Option<i64>, Option<String>, Option<Uuid>);
        let (source, account, kind) = columns(&draft.key);
        let values = (epoch as i64, shard(&draft.key), source, account, kind, draft.lease as i64);
        let doing = format!("read the draft of {}", draft.key);
        let rows: Vec<Row> = self.keyspace.rows(&doing, &self.statements.read_draft, values)?;
        let version = |(version, begun, blocks, bytes, items, newest, based_on): Row| {
            let counted = blocks.zip(bytes).zip(items);
            let finished = counted.map(|((blocks, bytes), items)| FinishedVersion {
                version,
                blocks,
                bytes: bytes as u64,
                items: items as u64,
                newest,
                based_on,
            });
            DraftVersion { version, begun: begun.unwrap_or_default(), finished }
        };
        let mut versions: Vec<_> = rows.into_iter().map(version).collect();
        versions.sort_by_key(|version| version.begun);
        Ok(versions)
    }

    /// Forgets a version of a draft, after its blocks were deleted or published.
    pub(super) fn forget_version(
        &self,
        epoch: u64,
        draft: &DraftId,
        version: Uuid,
        clock: &dyn Clock,
    ) -> Result<(), CassandraError> {
        let (source, account, kind) = columns(&draft.key);
        let (shard, lease) = (shard(&draft.key), draft.lease as i64);
        let values = (deletion_time(clock), epoch as i64, shard, source, account, kind, lease, version);
        self.keyspace.write(
            &format!("forget the draft of {}", draft.key),
            &self.statements.remove_draft,
            values,
        )
    }

    /// All drafts of an epoch, several times if they have several versions.
    pub(super) fn all_drafts(&self, epoch: u64) -> Result<Vec<(FileKey, u64)>, CassandraError> {
        let shards = (0..SHARDS).map(|shard| (epoch as i64, shard)).collect();
        let rows: Vec<(String, String, String, i64)> = self.keyspace.rows_of_all(
            "list drafts",
            &self.statements.list_drafts,
            shards,
            SHARDS_AT_A_TIME,
        )?;
        let draft = |(source, account, kind, lease): (String, String, String, i64)| {
            Some((key_of(&source, &account, &kind)?, lease as u64))
        };
        Ok(rows.into_iter().filter_map(draft).collect())
    }
}

/// The partition of a file's drafts: a hash, so that none has many.
fn shard(key: &FileKey) -> i32 {
    let (source, account, _) = columns(key);
    (crc32fast::hash(format!("{source}/{account}").as_bytes()) % SHARDS as u32) as i32
}
