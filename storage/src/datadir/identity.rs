//! Whose data a folder holds.

use std::path::Path;

use super::DataDirError;
use crate::durable;

/// Newest version of the file, and of the layout of the whole data folder.
const FORMAT: u64 = 2;
const MAX_FILE: u64 = 4096;

/// The content of the file `IDENTITY`, five lines:
///
/// ```text
/// twm-data 2                 the version of the data folder's layout
/// cluster main               the cluster's name
/// node 1                     the node's id
/// storage 3f2a9c01d4e5b677   a random number, 16 hex digits: tells this folder from one made anew
/// check 9b1c02aa             CRC-32 of the lines above, 8 hex digits
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's id.
    pub node: u64,
    /// Drawn when the folder was made. A node that comes back with another one has lost its disk, and
    /// with it the votes it gave.
    pub storage: u64,
}

/// Whether a name fits into its line.
pub(super) fn is_cluster_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

impl Identity {
    /// Reads the file; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DataDirError> {
        let Some(bytes) = durable::read_small(path, MAX_FILE)? else { return Ok(None) };
        let damaged = |why| DataDirError::DamagedIdentity { path: path.to_owned(), why };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;

        // The version comes first: a newer file may look different in everything else.
        let version = text.lines().next().and_then(|line| line.strip_prefix("twm-data ")?.parse().ok());
        match version {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => {
                return Err(DataDirError::NewerFormat { path: path.to_owned(), found, supported: FORMAT });
            }
            Some(found) => return Err(DataDirError::OlderFormat { path: path.to_owned(), found }),
            None => return Err(damaged("the first line names no version")),
        }
        let identity = Self::parse(text).ok_or_else(|| damaged("a line is missing or is no such line"))?;
        if identity.to_text() != text {
            return Err(damaged("the checksum does not fit"));
        }
        Ok(Some(identity))
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), DataDirError> {
        Ok(durable::replace_file(path, self.to_text().as_bytes())?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let cluster = lines.next()?.strip_prefix("cluster ")?.to_owned();
        let node = lines.next()?.strip_prefix("node ")?.parse().ok()?;
        let storage = u64::from_str_radix(lines.next()?.strip_prefix("storage ")?, 16).ok()?;
        Some(Self { cluster, node, storage })
    }

    fn to_text(&self) -> String {
        let Self { cluster, node, storage } = self;
        let lines = format!("twm-data {FORMAT}\ncluster {cluster}\nnode {node}\nstorage {storage:016x}\n");
        let check = crc32fast::hash(lines.as_bytes());
        format!("{lines}check {check:08x}\n")
    }
}
