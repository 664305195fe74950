//! Which version of a file is published.
//!
//! All rows of one file are in one partition: the *head*, whose name is empty, and a row for each version that was set
//! aside. They change by light transactions alone, so that a head and what was set aside change at once.

use uuid::Uuid;

use super::super::FileKey;
use super::super::published::Fence;
use super::CassandraStore;
use super::blocks::columns;
use super::drafts::FinishedVersion;
use crate::net::cassandra::{CassandraError, Transaction};

type Row = (
    String,
    Option<Uuid>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i32>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<Uuid>,
    Option<i32>,
);

/// A published version, or one that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Empty for the published one, otherwise how it ends the name of a file that was set aside.
    pub(super) name: String,
    pub(super) version: Uuid,
    pub(super) fence: Fence,
    /// 0 in the place of a file that was set aside.
    pub(super) blocks: i32,
    pub(super) bytes: u64,
    pub(super) items: u64,
    pub(super) newest: Option<String>,
    /// The version before, whose blocks may still be there, and how many.
    pub(super) replaced: Option<(Uuid, i32)>,
}

impl Head {
    fn of(row: Row) -> Option<Self> {
        let (name, version, storage, epoch, lease, blocks, bytes, items, newest, replaced, replaced_blocks) =
            row;
        // A file that a tool put there has the fence of no storage.
        let storage = storage.and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or_default();
        let fence = Fence {
            storage,
            epoch: epoch.unwrap_or_default() as u64,
            lease: lease.unwrap_or_default() as u64,
        };
        Some(Self {
            name,
            version: version?,
            fence,
            blocks: blocks.unwrap_or_default(),
            bytes: bytes.unwrap_or_default() as u64,
            items: items.unwrap_or_default() as u64,
            newest,
            replaced: replaced.zip(replaced_blocks),
        })
    }

    /// The head that publishes a finished draft over another one.
    pub(super) fn publishing(finished: &FinishedVersion, fence: Fence, over: Option<&Self>) -> Self {
        Self {
            name: String::new(),
            version: finished.version,
            fence,
            blocks: finished.blocks,
            bytes: finished.bytes,
            items: finished.items,
            newest: finished.newest.clone(),
            replaced: over.filter(|over| over.blocks > 0).map(|over| (over.version, over.blocks)),
        }
    }

    /// Whether there is a file.
    pub(super) fn is_file(&self) -> bool {
        self.blocks > 0
    }
}

impl CassandraStore {
    /// The head of a file, as the last acknowledged transaction has left it, or a later one.
    pub(super) fn head(&self, key: &FileKey) -> Result<Option<Head>, CassandraError> {
        let doing = format!("read {key}");
        let rows: Vec<Row> = self.keyspace.rows(&doing, &self.statements.read_head, columns(key))?;
        Ok(rows.into_iter().find_map(Head::of))
    }

    /// The head and what was set aside, after all transactions that the servers know of.
    pub(super) fn heads(&self, key: &FileKey) -> Result<Vec<Head>, CassandraError> {
        let doing = format!("read {key}");
        let rows: Vec<Row> = self.keyspace.rows(&doing, &self.statements.read_files, columns(key))?;
        Ok(rows.into_iter().filter_map(Head::of).collect())
    }

    /// The head, after all transactions that the servers know of.
    pub(super) fn settled_head(&self, key: &FileKey) -> Result<Option<Head>, CassandraError> {
        Ok(self.heads(key)?.into_iter().find(|head| head.name.is_empty()))
    }

    /// Puts a head in the place of the one with a version, or of none.
    pub(super) fn swap_head(
        &self,
        key: &FileKey,
        from: Option<Uuid>,
        to: &Head,
    ) -> Result<Transaction, CassandraError> {
        let (source, account, kind) = columns(key);
        let (replaced, replaced_blocks) = to.replaced.unzip();
        let values = (
            to.version,
            format!("{:016x}", to.fence.storage),
            to.fence.epoch as i64,
            to.fence.lease as i64,
            to.blocks,
            to.bytes as i64,
            to.items as i64,
            to.newest.clone(),
            replaced,
            replaced_blocks,
            source,
            account,
            kind,
            from,
        );
        self.keyspace.transact(&format!("publish {key}"), &self.statements.swap_head, values)
    }

    /// Gives the published version a name of its own, and puts an empty one in its place, with the same fence. The empty
    /// one has a version as well: the condition of a delayed publication must not hold again.
    pub(super) fn move_head(
        &self,
        key: &FileKey,
        found: &Head,
        name: &str,
    ) -> Result<Transaction, CassandraError> {
        let (source, account, kind) = columns(key);
        let Head { version, blocks, bytes, items, .. } = found;
        let aside = (
            source.clone(),
            account.clone(),
            kind,
            name.to_owned(),
            *version,
            *blocks,
            *bytes as i64,
            *items as i64,
        );
        let empty = (Uuid::new_v4(), source, account, kind, *version);
        self.keyspace.transact_both(
            &format!("set {key} aside"),
            (&self.statements.add_aside, aside),
            (&self.statements.empty_head, empty),
        )
    }
}
