//! Published files for tools, which have no lease and no spool.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use uuid::Uuid;

use super::super::published::Fence;
use super::super::{DatasetError, FileKey, Result};
use super::CassandraStore;
use super::blocks::{BLOCK_BYTES, Piece, columns, key_of, pieces};
use super::drafts::FinishedVersion;
use super::heads::Head;
use crate::dataset::members::Member;
use crate::durable::Naming;
use crate::env::Clock;
use crate::net::cassandra::{CassandraError, Transaction};

type Listed = (String, String, String, String, Option<Uuid>, Option<i32>, Option<i64>);

/// Most names tried for a file that is kept aside.
const MAX_ASIDE: u32 = 10_000;

impl CassandraStore {
    /// All published files and those that were set aside, in no order. One that is published meanwhile may be missing. Reads
    /// the whole table of files, in pages.
    pub(super) fn all_files(&self) -> impl Iterator<Item = Result<(FileKey, Head)>> + use<> {
        let (store, mut from, mut ended) = (self.clone(), None, false);
        let mut rows = VecDeque::new();
        std::iter::from_fn(move || {
            loop {
                if let Some(row) = rows.pop_front() {
                    match listed(row) {
                        Some(file) => return Some(Ok(file)),
                        None => continue,
                    }
                }
                if ended {
                    return None;
                }
                let page = store.keyspace.page("list files", &store.statements.list_files, (), from.take());
                match page {
                    Ok(page) => {
                        rows.extend(page.rows);
                        ended = page.next.is_none();
                        from = page.next;
                    }
                    Err(error) => {
                        ended = true;
                        return Some(Err(error.into()));
                    }
                }
            }
        })
    }

    /// Reads the bytes of a version as stored. A version that is deleted while it is read ends with an error of
    /// [`io::ErrorKind::InvalidData`], as does one whose blocks are lost.
    pub(super) fn reader(&self, key: &FileKey, head: Head) -> Box<dyn Read + Send> {
        let (store, key) = (self.clone(), key.clone());
        let (next, read, block) = (0, 0, io::Cursor::new(Vec::new()));
        Box::new(VersionReader { store, key, head, next, read, ready: VecDeque::new(), block })
    }

    /// Publishes a local file as it is, if there is none yet; returns whether it did. A file that was set aside does not
    /// count. What is published has the fence of no storage, as files that a tool put there.
    ///
    /// # Errors
    /// The file cannot be read, or the keyspace cannot be written.
    pub(super) fn create(&self, key: &FileKey, file: &Path, clock: &dyn Clock) -> Result<bool> {
        key.name()?;
        let before = self.settled_head(key)?;
        if before.as_ref().is_some_and(Head::is_file) {
            return Ok(false);
        }
        self.put(key, file, before.as_ref(), clock)
    }

    /// Publishes a local file as it is in place of a version, as an operator may who repairs it. Returns whether it did: not
    /// if the version was replaced meanwhile.
    pub(super) fn replace_version(
        &self,
        key: &FileKey,
        before: &Head,
        file: &Path,
        clock: &dyn Clock,
    ) -> Result<bool> {
        let done = self.put(key, file, Some(before), clock)?;
        if done {
            self.remove_blocks(key, before.version, before.blocks, clock)?;
        }
        Ok(done)
    }

    /// Removes a published version; returns whether it was still there.
    pub(super) fn remove_published(&self, key: &FileKey, found: &Head, clock: &dyn Clock) -> Result<bool> {
        // Its place is taken by an empty head with the same fence, as if it had been set aside.
        let empty = Head {
            version: Uuid::new_v4(),
            blocks: 0,
            bytes: 0,
            items: 0,
            newest: None,
            replaced: None,
            ..found.clone()
        };
        let done = self.swap_surely(key, Some(found.version), &empty)?;
        if done {
            self.remove_blocks(key, found.version, found.blocks, clock)?;
        }
        Ok(done)
    }

    /// Keeps a local file as one that was set aside; returns how that ends its name.
    pub(super) fn add_aside(&self, key: &FileKey, file: &Path, clock: &dyn Clock) -> Result<String> {
        let (finished, pieces) = self.whole(file)?;
        self.write_blocks((key, finished.version), file, &pieces, 0)?;
        let heads = self.heads(key)?;
        let names = (1..MAX_ASIDE).map(|n| match n {
            1 => "unreadable".to_owned(),
            n => format!("unreadable-{n}"),
        });
        for name in names.filter(|name| heads.iter().all(|head| head.name != *name)) {
            let (source, account, kind) = columns(key);
            let FinishedVersion { version, blocks, bytes, items, .. } = finished;
            let row = (source, account, kind, name.clone(), version, blocks, bytes as i64, items as i64);
            let doing = format!("keep {key} aside");
            if self.keyspace.transact(&doing, &self.statements.add_aside, row)? == Transaction::Applied {
                return Ok(name);
            }
            // Ours, if an answer was lost.
            if self.heads(key)?.iter().any(|head| head.version == version) {
                return Ok(name);
            }
        }
        self.remove_blocks(key, finished.version, finished.blocks, clock)?;
        Err(DatasetError::Exists { path: self.place_of(key)? })
    }

    /// A local file as a version, which is not decoded: one member of unknown items.
    fn whole(&self, file: &Path) -> Result<(FinishedVersion, Vec<Piece>)> {
        let bytes = File::open(file).and_then(|file| file.metadata()).naming("open", file)?.len();
        let pieces = pieces(&[Member { from: 0, to: bytes, ids: None }], 0, bytes, BLOCK_BYTES);
        let blocks = i32::try_from(pieces.len()).unwrap_or(i32::MAX);
        let version = Uuid::new_v4();
        Ok((FinishedVersion { version, blocks, bytes, items: 0, newest: None, based_on: None }, pieces))
    }

    fn put(&self, key: &FileKey, file: &Path, before: Option<&Head>, clock: &dyn Clock) -> Result<bool> {
        let (finished, pieces) = self.whole(file)?;
        let FinishedVersion { version, blocks, .. } = finished;
        let mut head = Head::publishing(&finished, Fence::default(), before);
        head.replaced = head.replaced.or(before.and_then(|before| before.replaced));
        let written = self.write_blocks((key, version), file, &pieces, 0);
        let swapped = written.and_then(|()| self.swap_surely(key, before.map(|head| head.version), &head));
        if !matches!(swapped, Ok(true)) {
            // Not if it may still be published; then its blocks stay as waste.
            let unclear = swapped.as_ref().is_err_and(DatasetError::is_temporary);
            if !unclear {
                self.remove_blocks(key, version, blocks, clock)?;
            }
        }
        swapped
    }

    /// A transaction whose result is known, or an error that says that it is not.
    fn swap_surely(&self, key: &FileKey, from: Option<Uuid>, to: &Head) -> Result<bool> {
        match self.swap_head(key, from, to) {
            Ok(done) => Ok(done == Transaction::Applied),
            Err(error) if error.is_temporary() => {
                let there = self.settled_head(key)?.map(|there| there.version);
                if there == Some(to.version) {
                    Ok(true)
                } else if there == from {
                    Err(error.into())
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn listed((source, account, kind, name, version, blocks, bytes): Listed) -> Option<(FileKey, Head)> {
    let blocks = blocks.filter(|blocks| *blocks > 0)?;
    let (key, bytes) = (key_of(&source, &account, &kind)?, bytes.unwrap_or_default() as u64);
    let (fence, items, newest, replaced) = (Fence::default(), 0, None, None);
    Some((key, Head { name, version: version?, fence, blocks, bytes, items, newest, replaced }))
}

/// Reads a version, some blocks at a time.
struct VersionReader {
    store: CassandraStore,
    key: FileKey,
    head: Head,
    /// The next block.
    next: i32,
    /// Bytes of the blocks that were taken.
    read: u64,
    ready: VecDeque<Vec<u8>>,
    block: io::Cursor<Vec<u8>>,
}

impl VersionReader {
    fn fill(&mut self) -> Result<(), CassandraError> {
        let read = self.store.blocks(&self.key, self.head.version, self.next, self.head.blocks)?;
        self.next += read.len() as i32;
        self.ready.extend(read.into_iter().map(|block| block.data));
        Ok(())
    }
}

impl Read for VersionReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.block.read(to)?;
            if bytes > 0 || to.is_empty() {
                return Ok(bytes);
            }
            if self.ready.is_empty() && self.next < self.head.blocks {
                self.fill()?;
            }
            let Some(block) = self.ready.pop_front() else {
                let whole = self.next == self.head.blocks && self.read == self.head.bytes;
                let cut = "the file was replaced while it was read, or its blocks are lost; read it again";
                return if whole { Ok(0) } else { Err(io::Error::new(io::ErrorKind::InvalidData, cut)) };
            };
            self.read += block.len() as u64;
            self.block = io::Cursor::new(block);
        }
    }
}
