//! Stores what a duplicate filter cannot hold in memory, in unnamed files.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::duplicates::Item;
use super::{Result, layout};
use crate::durable::{self, FileError, Naming};
use crate::ids::IdHash;

/// Number of files over which the ids are spread by their hashes. One is read at a time: with a hundred
/// million followers, 1.6 million ids.
const PARTS: usize = 64;
const BUFFER_BYTES: usize = 8 * 1024;

/// Ids with their positions in a list, in unnamed files.
///
/// A record is the position (8 bytes), the length of a text id or 0 (1 byte), and the text or the number (8
/// bytes).
pub(super) struct Spill {
    path: PathBuf,
    parts: Vec<BufWriter<File>>,
    hash: IdHash,
}

impl Spill {
    /// Creates files next to `file`, which are unlinked as soon as they are open.
    pub(super) fn create(file: &Path) -> Result<Self> {
        let path = layout::spill(file);
        let mut parts = Vec::with_capacity(PARTS);
        for _ in 0..PARTS {
            durable::remove_file(&path)?;
            let options = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
            let file = options.naming("create", &path)?;
            durable::remove_file(&path)?;
            parts.push(BufWriter::with_capacity(BUFFER_BYTES, file));
        }
        Ok(Self { path, parts, hash: IdHash::default() })
    }

    /// Stores an id for [`duplicates`](Self::duplicates).
    pub(super) fn put(&mut self, id: Item<'_>, position: u64) -> Result<()> {
        let mut hasher = self.hash.build_hasher();
        let text = match id {
            Item::Number(number) => {
                hasher.write_u64(number);
                ""
            }
            Item::Text(text) => {
                hasher.write(text.as_bytes());
                text
            }
        };
        let part = &mut self.parts[hasher.finish() as usize % PARTS];
        let mut write = || {
            part.write_all(&position.to_le_bytes())?;
            part.write_all(&[text.len() as u8])?;
            match id {
                Item::Number(number) => part.write_all(&number.to_le_bytes()),
                Item::Text(text) => part.write_all(text.as_bytes()),
            }
        };
        Ok(write().naming("write", &self.path)?)
    }

    /// Calls `found` with the position of each repeated id.
    pub(super) fn duplicates(self, mut found: impl FnMut(u64)) -> Result<()> {
        let failed = |source| FileError { action: "read", path: self.path.clone(), source };
        for part in self.parts {
            let mut file = part.into_inner().map_err(|error| failed(error.into_error()))?;
            file.rewind().map_err(failed)?;
            let mut input = BufReader::with_capacity(8 * BUFFER_BYTES, file);
            let mut numbers: HashSet<u64, IdHash> = HashSet::default();
            let mut texts: HashSet<Box<[u8]>> = HashSet::new();
            while let Some((position, id)) = read(&mut input).map_err(failed)? {
                let new = match id {
                    Record::Number(number) => numbers.insert(number),
                    Record::Text(text) => texts.insert(text),
                };
                if !new {
                    found(position);
                }
            }
        }
        Ok(())
    }
}

enum Record {
    Number(u64),
    Text(Box<[u8]>),
}

fn read(input: &mut BufReader<File>) -> io::Result<Option<(u64, Record)>> {
    use std::io::BufRead;
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut word = [0; 8];
    let mut length = [0];
    input.read_exact(&mut word)?;
    input.read_exact(&mut length)?;
    let position = u64::from_le_bytes(word);
    let id = match length {
        [0] => {
            input.read_exact(&mut word)?;
            Record::Number(u64::from_le_bytes(word))
        }
        [length] => {
            let mut text = vec![0; usize::from(length)];
            input.read_exact(&mut text)?;
            Record::Text(text.into())
        }
    };
    Ok(Some((position, id)))
}
