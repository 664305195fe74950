//! A whole repository, as `com.atproto.sync.getRepo` sends it.
//!
//! A CAR is a heap of blocks in any order. It is spooled as it arrives, and read from its tree, whose records are in the
//! order of their keys. Each block that is read is compared with the hash by which it was asked for, from the root on, so
//! that nothing else than what the root stands for is ever returned. Blocks that nobody asks for (likes, follows) cost
//! their bytes and 16 bytes of memory each.
//!
//! The signature of the root is not checked: the server that was asked is the one that the account's DID names.

mod car;
mod cbor;
mod cid;
mod room;
mod spool;
#[cfg(test)]
pub(super) mod tests;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use car::{Index, Scanner};
use cbor::Decoder;
use cid::Cid;
pub(super) use room::Room;
use room::Taken;
use spool::{IN_MEMORY, Spool};
use tree::Walk;

/// Where accounts describe themselves.
const PROFILE: &str = "app.bsky.actor.profile";

/// Why a repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RepositoryError {
    /// It exceeds a limit.
    #[error("the repository is too large: {what}")]
    TooLarge { what: String },
    /// Others take the room.
    #[error("the repositories that are read now take {} MiB, as much as they may", .limit >> 20)]
    NoRoom { limit: u64 },
    /// It is not what it should be.
    #[error("the repository is damaged: {0}")]
    Damaged(String),
    /// This host's disk.
    #[error("the repository cannot be spooled in {folder}: {source}; check the folder and its space", folder = .folder.display())]
    Spool { folder: PathBuf, source: io::Error },
}

/// A repository that arrives. All calls block.
pub(super) struct Incoming {
    scanner: Scanner,
    spool: Spool,
    folder: PathBuf,
    bytes: u64,
    limit: u64,
    room: Room,
    taken: Taken,
}

impl Incoming {
    /// One of at most `limit` bytes, spooled in `folder` if it is not small and there is room.
    pub(super) fn new(folder: &Path, limit: u64, room: &Room) -> Self {
        let (scanner, spool, taken) = (Scanner::new(), Spool::new(), room.nothing());
        Self { scanner, spool, folder: folder.to_owned(), bytes: 0, limit, room: room.clone(), taken }
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), RepositoryError> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.limit {
            return Err(RepositoryError::TooLarge { what: format!("more than {} bytes", self.limit) });
        }
        if self.bytes > IN_MEMORY as u64 && !self.taken.grow_to(self.bytes) {
            return Err(RepositoryError::NoRoom { limit: self.room.limit() });
        }
        self.scanner.feed(piece)?;
        let spooled = self.spool.append(piece, &self.folder);
        spooled.map_err(|source| RepositoryError::Spool { folder: self.folder.clone(), source })
    }

    /// Opens it: it must be that of `did`.
    pub(super) fn finish(self, did: &str) -> Result<Repository, RepositoryError> {
        let (root, index) = self.scanner.finish()?;
        let blocks = Blocks { spool: self.spool, index, folder: self.folder, _taken: self.taken };
        let damaged = |what: &str| RepositoryError::Damaged(format!("its root: {what}"));
        let commit = blocks.load(&root)?;
        let (owner, tree) = commit_of(&commit).map_err(damaged)?;
        if owner != did {
            return Err(damaged("it is that of another account"));
        }
        Ok(Repository { blocks, tree: tree.ok_or_else(|| damaged("it has no tree"))? })
    }
}

/// The account and the tree of a commit.
fn commit_of(block: &[u8]) -> Result<(&str, Option<Cid>), cbor::Fault> {
    let mut decoder = Decoder::new(block);
    let (mut did, mut tree) = ("", None);
    for _ in 0..decoder.map()? {
        match decoder.text()? {
            "did" => did = decoder.text()?,
            "data" => tree = decoder.link()?,
            _ => decoder.skip()?,
        }
    }
    Ok((did, tree))
}

struct Blocks {
    spool: Spool,
    index: Index,
    folder: PathBuf,
    _taken: Taken,
}

impl Blocks {
    fn load(&self, cid: &Cid) -> Result<Vec<u8>, RepositoryError> {
        for place in self.index.places(cid) {
            let mut block = vec![0; place.bytes];
            let read = self.spool.read(place.offset, &mut block);
            read.map_err(|source| RepositoryError::Spool { folder: self.folder.clone(), source })?;
            if cid.is_of(&block) {
                return Ok(block);
            }
        }
        Err(RepositoryError::Damaged(format!("the block {cid} is not there, or is not what its hash says")))
    }
}

/// A repository that has arrived.
pub(super) struct Repository {
    blocks: Blocks,
    tree: Cid,
}

/// A record of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its collection, as a place in the list that was asked for.
    pub(super) collection: usize,
    /// Its key within the collection.
    pub(super) key: Box<str>,
    /// Its CID.
    pub(super) cid: String,
    /// Its value as JSON; `None` if it is not what records are.
    pub(super) value: Option<String>,
}

impl Repository {
    /// The values of the labels that the account gave itself.
    pub(super) fn own_labels(&self) -> Result<Vec<String>, RepositoryError> {
        let mut profiles = Walk::new(self.tree, PROFILE);
        while let Some((key, cid)) = profiles.next(|cid| self.blocks.load(cid))? {
            if &*key == "self" {
                let value = json(&self.blocks.load(&cid)?);
                return Ok(value.map(|value| super::labels::own(&value)).unwrap_or_default());
            }
        }
        Ok(Vec::new())
    }

    /// The records of some collections, the highest key first over all of them.
    pub(super) fn into_records(self, collections: &[String]) -> Records {
        let walks =
            collections.iter().map(|collection| Stream::new(Walk::new(self.tree, collection))).collect();
        Records { blocks: self.blocks, streams: walks }
    }
}

fn json(block: &[u8]) -> Option<String> {
    let (mut decoder, mut value) = (Decoder::new(block), String::with_capacity(block.len() * 5 / 4));
    let is_map = block.first().is_some_and(|first| first >> 5 == 5);
    (is_map && decoder.json(&mut value).is_ok() && decoder.is_at_end()).then_some(value)
}

/// The records of several collections in one order. Reading blocks.
pub(super) struct Records {
    blocks: Blocks,
    streams: Vec<Stream>,
}

struct Stream {
    walk: Walk,
    /// What it yields next.
    ahead: Option<(Box<str>, Cid)>,
    begun: bool,
}

impl Stream {
    fn new(walk: Walk) -> Self {
        Self { walk, ahead: None, begun: false }
    }
}

impl Records {
    /// The next record, below all that were returned before. Of equal keys, that of the later collection comes first.
    pub(super) fn next(&mut self) -> Result<Option<Record>, RepositoryError> {
        let Self { blocks, streams } = self;
        for stream in &mut *streams {
            if !stream.begun {
                stream.begun = true;
                stream.ahead = stream.walk.next(|cid| blocks.load(cid))?;
            }
        }
        let heads = streams.iter().enumerate();
        let heads = heads.filter_map(|(place, stream)| Some((&*stream.ahead.as_ref()?.0, place)));
        let Some((_, collection)) = heads.max() else { return Ok(None) };
        let stream = &mut streams[collection];
        let Some((key, cid)) = stream.ahead.take() else { return Ok(None) };
        stream.ahead = stream.walk.next(|cid| blocks.load(cid))?;
        let value = json(&blocks.load(&cid)?);
        Ok(Some(Record { collection, key, cid: cid.to_string(), value }))
    }
}
