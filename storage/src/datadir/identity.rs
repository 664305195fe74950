//! The owner of a data folder.

use std::path::Path;

use super::DataDirError;
use crate::durable;

/// Newest version of the file, and of the layout of the whole data folder.
const FORMAT: u64 = 3;
const MAX_FILE: u64 = 4096;

/// The content of the file `IDENTITY`, seven lines:
///
/// ```text
/// twm-data 3                                 the version of the data folder's layout
/// name main                                  the cluster's name, for people
/// cluster 5b0e6a3f9d1c47e28a90b1c2d3e4f506   the cluster's id, 32 hex digits
/// node 1                                     the node's id
/// disk 3f2a9c01d4e5b677                      a random number, 16 hex digits: tells this folder from any other
/// stage member                               see [`Stage`]
/// check 9b1c02aa                             CRC-32 of the lines above, 8 hex digits
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name, for people.
    pub name: String,
    /// The cluster's id.
    pub cluster: u128,
    /// The node's id.
    pub node: u64,
    /// Drawn when the folder was first used. A member of Raft is a pair of node and disk.
    pub disk: u64,
    /// The stage of the folder.
    pub stage: Stage,
}

/// The stage of a data folder on its way to a member's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Promised to a cluster that is being formed. There is no Raft log yet, so nothing that it acknowledged can be
    /// lost, and it may be promised again.
    Forming,
    /// It has a Raft log, which may hold votes and acknowledged entries.
    Member,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Forming => "forming",
            Self::Member => "member",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Forming, Self::Member].into_iter().find(|stage| stage.name() == name)
    }
}

/// Whether a name fits into its line.
pub(super) fn is_cluster_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

impl Identity {
    /// Reads the file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DataDirError> {
        let Some(bytes) = durable::read_small(path, MAX_FILE)? else { return Ok(None) };
        let damaged = |why| DataDirError::DamagedIdentity { path: path.to_owned(), why };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;

        // The version comes first: a file of another version may differ in everything else.
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
        let name = lines.next()?.strip_prefix("name ")?.to_owned();
        let cluster = u128::from_str_radix(lines.next()?.strip_prefix("cluster ")?, 16).ok()?;
        let node = lines.next()?.strip_prefix("node ")?.parse().ok()?;
        let disk = u64::from_str_radix(lines.next()?.strip_prefix("disk ")?, 16).ok()?;
        let stage = Stage::named(lines.next()?.strip_prefix("stage ")?)?;
        Some(Self { name, cluster, node, disk, stage })
    }

    fn to_text(&self) -> String {
        let Self { name, cluster, node, disk, stage } = self;
        let stage = stage.name();
        let lines = format!(
            "twm-data {FORMAT}\nname {name}\ncluster {cluster:032x}\nnode {node}\ndisk {disk:016x}\nstage {stage}\n"
        );
        let check = crc32fast::hash(lines.as_bytes());
        format!("{lines}check {check:08x}\n")
    }
}
