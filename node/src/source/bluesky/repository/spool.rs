//! Where a repository is kept while it is read: in memory if it is small, else in an unnamed file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size up to which a repository stays in memory.
pub(super) const IN_MEMORY: usize = 4 << 20;

/// A repository's bytes. All calls block.
#[derive(Debug)]
pub(super) enum Spool {
    Memory(Vec<u8>),
    File(File),
}

impl Spool {
    pub(super) fn new() -> Self {
        Self::Memory(Vec::new())
    }

    /// Appends; moves to a file in `folder` if it becomes too large for memory.
    pub(super) fn append(&mut self, bytes: &[u8], folder: &Path) -> io::Result<()> {
        match self {
            Self::Memory(held) if held.len() + bytes.len() <= IN_MEMORY => held.extend_from_slice(bytes),
            Self::Memory(held) => {
                let mut file = unnamed(folder)?;
                file.write_all(held)?;
                file.write_all(bytes)?;
                *self = Self::File(file);
            }
            Self::File(file) => file.write_all(bytes)?,
        }
        Ok(())
    }

    /// Reads `into.len()` bytes at `offset`.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(held) => {
                let start = usize::try_from(offset).ok();
                let bytes = start.and_then(|start| held.get(start..)?.get(..into.len()));
                into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(into, offset),
        }
    }
}

/// A file that is gone once it is closed, also by a crash.
fn unnamed(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".repository-{}-{number}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
