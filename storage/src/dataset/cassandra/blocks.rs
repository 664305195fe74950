//! The blocks of a file's versions.
//!
//! A *version* is what one writer has written, once, as its blocks. It has a random id of its own, so that no block is ever
//! written twice with other bytes, nor again after it was deleted.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::super::members::Member;
use super::super::{FileKey, Result};
use super::CassandraStore;
use crate::durable::Naming;
use crate::env::Clock;
use crate::net::cassandra::CassandraError;

/// Largest block, in bytes.
pub(super) const BLOCK_BYTES: u64 = 256 << 10;
/// Blocks of a partition: 64 MiB at most.
pub(super) const BUCKET_BLOCKS: i32 = 256;
/// Blocks that are held in memory at a time.
const BLOCKS_AT_A_TIME: i32 = 8;
/// Deletions are dated this far ahead, so that they also delete what a server with a fast clock has dated, and what a
/// writer adds that was frozen meanwhile.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// The file that a row belongs to: source, account, kind.
pub(super) type FileColumns = (String, String, &'static str);

/// The columns that name a file.
pub(super) fn columns(key: &FileKey) -> FileColumns {
    (key.account.source.to_string(), key.account.user.to_string(), key.kind.suffix())
}

/// The file that columns name; `None` if none of ours has written them.
pub(super) fn key_of(source: &str, account: &str, kind: &str) -> Option<FileKey> {
    let mut key = FileKey::of_name(&format!("1.{kind}"))?;
    key.account.source = source.parse().ok()?;
    key.account.user = account.parse().ok()?;
    Some(key)
}

/// A piece of a draft that becomes a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    from: u64,
    to: u64,
    /// Which part of its member it is, from 0.
    part: i32,
    ids: Option<(String, String)>,
}

/// The pieces of members between two positions at which members begin and end. A member that is larger than a block has
/// several.
pub(super) fn pieces(members: &[Member], from: u64, to: u64, most: u64) -> Vec<Piece> {
    let within = members.iter().filter(|member| member.from >= from && member.to <= to);
    let of_member = |member: &Member| {
        let (end, ids) = (member.to, member.ids.clone());
        let starts = (member.from..end).step_by(most as usize);
        let piece =
            move |(part, from): (i32, u64)| Piece { from, to: end.min(from + most), part, ids: ids.clone() };
        (0..).zip(starts).map(piece).collect::<Vec<_>>()
    };
    within.flat_map(of_member).collect()
}

/// A block that was read.
pub(super) struct Block {
    pub(super) number: i32,
    part: i32,
    ids: Option<(String, String)>,
    pub(super) data: Vec<u8>,
}

/// Why blocks are not a file.
pub(super) enum BlockError {
    /// A block is not there.
    Missing(i32),
    Other(CassandraError),
}

impl CassandraStore {
    /// Writes pieces of a draft as blocks, from a number on.
    pub(super) fn write_blocks(
        &self,
        (key, version): (&FileKey, Uuid),
        draft: &Path,
        pieces: &[Piece],
        first: i32,
    ) -> Result<()> {
        let file = File::open(draft).naming("open", draft)?;
        let doing = format!("write {key}");
        let (source, account, kind) = columns(key);
        for (place, group) in (0..).zip(pieces.chunks(BLOCKS_AT_A_TIME as usize)) {
            let mut rows = Vec::with_capacity(group.len());
            for (number, piece) in (first + place * BLOCKS_AT_A_TIME..).zip(group) {
                let mut data = vec![0; (piece.to - piece.from) as usize];
                file.read_exact_at(&mut data, piece.from).naming("read", draft)?;
                let (first_id, last_id) = piece.ids.clone().unzip();
                let bucket = number / BUCKET_BLOCKS;
                rows.push((
                    source.clone(),
                    account.clone(),
                    kind,
                    version,
                    bucket,
                    number,
                    piece.part,
                    first_id,
                    last_id,
                    data,
                ));
            }
            self.keyspace.write_all(&doing, &self.statements.write_block, rows)?;
        }
        Ok(())
    }

    /// Blocks from a number on, up to another one or to the end of what may be held in memory. Stops at the first that is
    /// missing.
    pub(super) fn blocks(
        &self,
        key: &FileKey,
        version: Uuid,
        from: i32,
        to: i32,
    ) -> Result<Vec<Block>, CassandraError> {
        type Row = (i32, i32, Option<String>, Option<String>, Vec<u8>);
        let bucket = from / BUCKET_BLOCKS;
        let to = to.min(from + BLOCKS_AT_A_TIME).min((bucket + 1) * BUCKET_BLOCKS);
        let (source, account, kind) = columns(key);
        let values = (source, account, kind, version, bucket, from, to);
        let rows: Vec<Row> =
            self.keyspace.rows(&format!("read {key}"), &self.statements.read_blocks, values)?;
        let follow = (from..).zip(rows).take_while(|(expected, row)| row.0 == *expected);
        let block = |(_, (number, part, first, last, data)): (i32, Row)| {
            let ids = first.zip(last);
            Block { number, part, ids, data }
        };
        Ok(follow.map(block).collect())
    }

    /// Copies a version of so many blocks to a file; returns its members.
    pub(super) fn copy_version(
        &self,
        (key, version): (&FileKey, Uuid),
        blocks: i32,
        to: &mut impl Write,
    ) -> Result<Vec<Member>, CopyError> {
        let mut members = MemberList::default();
        let mut next = 0;
        while next < blocks {
            let read = self.blocks(key, version, next, blocks).map_err(BlockError::Other)?;
            if read.is_empty() {
                return Err(BlockError::Missing(next).into());
            }
            for block in read {
                to.write_all(&block.data).map_err(CopyError::File)?;
                next = block.number + 1;
                members.add(block);
            }
        }
        Ok(members.0)
    }

    /// Copies the first bytes of a draft to a file; `None` if no block ends there.
    pub(super) fn copy_draft(
        &self,
        (key, version): (&FileKey, Uuid),
        bytes: u64,
        to: &mut impl Write,
    ) -> Result<Option<Vec<Member>>, CopyError> {
        let mut members = MemberList::default();
        let (mut next, mut copied) = (0, 0);
        while copied < bytes {
            let read = self.blocks(key, version, next, i32::MAX).map_err(BlockError::Other)?;
            if read.is_empty() {
                return Ok(None);
            }
            for block in read {
                if copied == bytes {
                    break;
                }
                copied += block.data.len() as u64;
                to.write_all(&block.data).map_err(CopyError::File)?;
                next = block.number + 1;
                members.add(block);
            }
        }
        Ok((copied == bytes).then_some(members.0))
    }

    /// Deletes all blocks of a version. A draft's writer may have been frozen: the bucket behind the last one is deleted as
    /// well, because its next blocks may go there.
    pub(super) fn remove_version(&self, key: &FileKey, version: Uuid, clock: &dyn Clock) -> Result<()> {
        let doing = format!("look for blocks of {key}");
        let mut end = 0;
        loop {
            let (source, account, kind) = columns(key);
            let values = (source, account, kind, version, end);
            let found: Vec<(i32,)> = self.keyspace.rows(&doing, &self.statements.find_block, values)?;
            if found.is_empty() {
                break;
            }
            end += 1;
        }
        self.remove_buckets(key, version, end + 1, clock)
    }

    /// Deletes a version of so many blocks.
    pub(super) fn remove_blocks(
        &self,
        key: &FileKey,
        version: Uuid,
        blocks: i32,
        clock: &dyn Clock,
    ) -> Result<()> {
        self.remove_buckets(key, version, (blocks + BUCKET_BLOCKS - 1) / BUCKET_BLOCKS, clock)
    }

    /// From the last one to the first: who is interrupted finds those that are left.
    fn remove_buckets(&self, key: &FileKey, version: Uuid, buckets: i32, clock: &dyn Clock) -> Result<()> {
        let doing = format!("delete blocks of {key}");
        for bucket in (0..buckets).rev() {
            let (source, account, kind) = columns(key);
            let values = (deletion_time(clock), source, account, kind, version, bucket);
            self.keyspace.write(&doing, &self.statements.remove_blocks, values)?;
        }
        Ok(())
    }
}

/// The date of a deletion, in microseconds since 1970.
pub(super) fn deletion_time(clock: &dyn Clock) -> i64 {
    i64::try_from((clock.wall() + AHEAD).as_micros()).unwrap_or(i64::MAX)
}

/// Why a version was not copied.
pub(super) enum CopyError {
    Blocks(BlockError),
    /// The file that it is copied to.
    File(std::io::Error),
}

impl From<BlockError> for CopyError {
    fn from(error: BlockError) -> Self {
        Self::Blocks(error)
    }
}

/// The members that blocks are made of.
#[derive(Default)]
struct MemberList(Vec<Member>);

impl MemberList {
    fn add(&mut self, block: Block) {
        let from = self.0.last().map_or(0, |member| member.to);
        let to = from + block.data.len() as u64;
        match self.0.last_mut().filter(|_| block.part > 0) {
            Some(member) => member.to = to,
            None => self.0.push(Member { from, to, ids: block.ids }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(from: u64, to: u64) -> Member {
        Member { from, to, ids: Some((from.to_string(), to.to_string())) }
    }

    #[test]
    fn members_become_blocks_and_blocks_members_again() {
        let members = [member(0, 10), member(10, 35), member(35, 36)];
        let all = pieces(&members, 0, 36, 10);
        let parts: Vec<_> = all.iter().map(|piece| (piece.from, piece.to, piece.part)).collect();
        assert_eq!(parts, [(0, 10, 0), (10, 20, 0), (20, 30, 1), (30, 35, 2), (35, 36, 0)]);
        assert_eq!(pieces(&members, 10, 35, 100).len(), 1);
        assert_eq!(pieces(&members, 36, 36, 100), []);
        let mut list = MemberList::default();
        for (number, Piece { from, to, part, ids }) in (0..).zip(all) {
            list.add(Block { number, part, ids, data: vec![0; (to - from) as usize] });
        }
        assert_eq!(list.0, members);
    }

    #[test]
    fn columns_lead_back_to_their_file() {
        for id in ["7", "did:plc:a.b", "é!@x.y"] {
            let mut key = FileKey::followers(&id.parse().unwrap());
            key.account.source = "bluesky".parse().unwrap();
            let (source, account, kind) = columns(&key);
            assert_eq!(key_of(&source, &account, kind), Some(key));
        }
        assert_eq!(key_of("twitter", "7", "what"), None);
        assert_eq!(key_of("No Source", "7", "twt"), None);
    }
}
