//! Writes a draft, compressed or plain, with positions at which it can be resumed.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compression::Encoder;
use super::members::{Member, Members};
use super::{Codec, Compression, Result};
use crate::durable::{self, Naming};
use crate::folder_sync::FolderSync;

/// Bytes passed to the compressor at a time.
const CHUNK_BYTES: usize = 32 * 1024;
/// Compressed bytes written to the file at a time.
const WRITE_BYTES: usize = 64 * 1024;

/// An append-only file. What was written before a [`sync`](Self::sync) is complete by itself, because each
/// sync ends a gzip member or a zstd frame.
pub(super) struct Sink {
    path: PathBuf,
    /// Of `path`.
    folder: Arc<FolderSync>,
    file: File,
    compression: Compression,
    /// The member or frame being written, and its output so far.
    member: Option<Encoder>,
    /// Bytes not yet compressed.
    pending: Vec<u8>,
    /// Length of the file.
    written: u64,
    /// Whether the file's name is durable.
    named: bool,
    /// Whether the file need not survive a power cut.
    volatile: bool,
    /// Where members begin and end, if somebody wants to know.
    members: Option<Members>,
}

impl Sink {
    /// Creates a draft; an older file with that name is unlinked, never written to.
    pub(super) fn create(path: &Path, compression: Compression, folder: &Arc<FolderSync>) -> Result<Self> {
        let create = || OpenOptions::new().write(true).create_new(true).open(path);
        let file = match create() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                durable::remove_file(path)?;
                create()
            }
            other => other,
        };
        Ok(Self::over(path, file.naming(durable::CREATE, path)?, compression, folder))
    }

    /// Writes to an empty file that is already open.
    pub(super) fn over(path: &Path, file: File, compression: Compression, folder: &Arc<FolderSync>) -> Self {
        let (path, folder) = (path.to_owned(), Arc::clone(folder));
        Self {
            path,
            folder,
            file,
            compression,
            member: None,
            pending: Vec::new(),
            written: 0,
            named: false,
            volatile: false,
            members: None,
        }
    }

    /// Creates a draft that starts with the first `bytes` of `old`; `None` if `old` is shorter.
    pub(super) fn copy_of(
        path: &Path,
        old: File,
        bytes: u64,
        compression: Compression,
        folder: &Arc<FolderSync>,
    ) -> Result<Option<Self>> {
        let mut sink = Self::create(path, compression, folder)?;
        sink.written = io::copy(&mut old.take(bytes), &mut sink.file).naming("copy a draft to", path)?;
        if sink.written == bytes {
            return Ok(Some(sink));
        }
        sink.remove()?;
        Ok(None)
    }

    /// The same, without syncs: its bytes are made durable elsewhere.
    #[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
    pub(super) fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// The same, as durable as another one, and with members as small.
    pub(super) fn with_syncs_of(self, other: &Self) -> Self {
        let members = other.members.as_ref().map(Members::empty);
        Self { volatile: other.volatile, members, ..self }
    }

    /// The same, with members that end once they have some bytes, and that are listed.
    #[cfg(feature = "cassandra")]
    pub(super) fn with_members(self, members: Members) -> Self {
        Self { members: Some(members), ..self }
    }

    /// Where members begin and end; empty, unless they are listed.
    pub(super) fn members(&self) -> &[Member] {
        self.members.as_ref().map(Members::list).unwrap_or_default()
    }

    /// Says that an item begins here, and ends a member that has become large.
    pub(super) fn item(&mut self, id: &dyn Display) -> Result<()> {
        let Some(members) = &self.members else { return Ok(()) };
        let inside = self.member.as_mut().map_or(0, |member| member.output().len()) + self.pending.len();
        if members.is_full(self.written + inside as u64) {
            self.end_member()?;
        }
        if let Some(members) = &mut self.members {
            members.item(id);
        }
        Ok(())
    }

    /// Appends bytes as they are to a file to which nothing else was written.
    #[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
    pub(super) fn append_raw(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.written += io::copy(from, &mut self.file)?;
        Ok(())
    }

    /// Continues a file that is written with this codec.
    #[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
    pub(super) fn continue_with(&mut self, codec: Codec) {
        self.compression = self.compression.with(codec);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    pub(super) fn codec(&self) -> Codec {
        self.compression.codec()
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.pending.len() + bytes.len() > CHUNK_BYTES {
            self.encode()?;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends the encoded contents of a file with the same codec, from its start, with its members if they are known.
    pub(super) fn append_encoded(&mut self, file: &mut File, members: &[Member]) -> Result<()> {
        let from = self.end_member()?;
        self.written += io::copy(file, &mut self.file).naming("append to", &self.path)?;
        if let Some(list) = &mut self.members {
            list.append(members, from, self.written);
        }
        Ok(())
    }

    /// Ends the member or frame, so that the file can be read up to here; returns its length.
    pub(super) fn end_member(&mut self) -> Result<u64> {
        self.encode()?;
        if let Some(member) = self.member.take() {
            let rest = member.finish().naming("compress", &self.path)?;
            self.file.write_all(&rest).naming("write", &self.path)?;
            self.written += rest.len() as u64;
        }
        if let Some(members) = &mut self.members {
            members.end(self.written);
        }
        Ok(self.written)
    }

    /// Makes everything so far durable, including the file's name; returns its length.
    pub(super) fn sync(&mut self) -> Result<u64> {
        let bytes = self.end_member()?;
        if self.volatile {
            return Ok(bytes);
        }
        self.file.sync_data().naming("sync", &self.path)?;
        if !self.named {
            self.folder.sync()?;
            self.named = true;
        }
        Ok(bytes)
    }

    /// Renames the draft within its folder, replacing an existing file.
    pub(super) fn rename(&mut self, to: &Path) -> Result<()> {
        fs::rename(&self.path, to).naming("rename", &self.path)?;
        self.path = to.to_owned();
        self.named = false;
        Ok(())
    }

    /// Removes the file.
    pub(super) fn remove(self) -> Result<()> {
        durable::remove_file(&self.path)?;
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.member.is_none() {
            self.member = Encoder::begin(self.compression, WRITE_BYTES).naming("compress", &self.path)?;
        }
        let Some(member) = &mut self.member else {
            self.file.write_all(&self.pending).naming("write", &self.path)?;
            self.written += self.pending.len() as u64;
            self.pending.clear();
            return Ok(());
        };
        member.write_all(&self.pending).naming("compress", &self.path)?;
        self.pending.clear();
        let compressed = member.output();
        if compressed.len() >= WRITE_BYTES / 2 {
            self.file.write_all(compressed).naming("write", &self.path)?;
            self.written += compressed.len() as u64;
            compressed.clear();
        }
        Ok(())
    }
}
