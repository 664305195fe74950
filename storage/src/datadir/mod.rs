//! A node's data folder: whose it is, and that only one process uses it.
//!
//! ```text
//! DIR/
//!   PID         the process that uses the folder, for people; the folder itself is locked (flock) meanwhile
//!   IDENTITY    whose data this is, see [`Identity`]
//!   log/        the Raft log and vote
//!   state/      the applied state
//!   snapshots/  snapshots, whole and on their way
//!   budgets     the rate budgets of this node's addresses
//! ```

mod identity;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use identity::{Identity, Stage};

use crate::durable::{self, FileError, Naming};

const PROCESS: &str = "PID";
const IDENTITY: &str = "IDENTITY";
/// Free space required before anything is opened, bytes.
const NEEDED: u64 = 16 << 20;

/// Why a node cannot use a folder.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process holds the lock.
    #[error("{} is in use: another node runs there{}; stop it, or give this node its own --data-dir", path.display(), holder(.pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that wrote the lock file last.
        pid: Option<u32>,
    },
    /// The folder belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}; start with --id {found}, or give another --data-dir", path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// The node that created it.
        found: u64,
        /// The node that tries to use it.
        expected: u64,
    },
    /// The folder belongs to a cluster with another name.
    #[error("{} belongs to cluster {found:?}, not to {expected:?}; give the --data-dir of this cluster, or an empty one", path.display())]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// The name of the cluster in which it was created.
        found: String,
        /// The name of the node's cluster.
        expected: String,
    },
    /// Written by a release in which clusters had no ids.
    #[error("{} has format {found}, which this release cannot read: its clusters had no ids. Finish its crawls with the release that wrote it, export their frontiers, and start a new cluster with an empty --data-dir and with --adopt-output; datasets stay as they are", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Written by a newer program.
    #[error("{} has format {found}, this program knows {supported}; start the newer twm-node again", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version this program reads.
        supported: u64,
    },
    /// The identity is not what this program writes.
    #[error("{} is damaged: {why}; move the data directory away, run `twm-ctl member replace` for this node and start it again", path.display())]
    DamagedIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The folder contains other data.
    #[error("{} holds {found:?} and no {IDENTITY}: it is no data folder; give an empty one", path.display())]
    ForeignData {
        /// The folder.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// Too little free space to open what is in it. Opening the state writes: on a full disk that left it
    /// unreadable.
    #[error("the volume of {} has {free} bytes free, and a node needs {NEEDED} to start; free space there", path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
    /// The name of a cluster does not fit into the identity.
    #[error("{0:?} is no name for a cluster; take 1 to 255 visible characters")]
    BadClusterName(String),
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

/// What was found in place of a node's data folder.
#[derive(Debug)]
pub enum Found {
    /// Nothing, or an empty folder.
    Vacant(Vacant),
    /// A data folder of this node.
    Ours(DataDir),
}

/// A place for a data folder. Nothing was written there: an empty folder may be an unmounted volume.
#[derive(Debug)]
pub struct Vacant {
    root: PathBuf,
    /// Absent if there is no folder yet.
    lock: Option<File>,
}

impl Vacant {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Creates the data folder, durably.
    ///
    /// # Errors
    /// The folder cannot be created or is no longer empty, or the cluster's name does not fit into an identity.
    pub fn claim(self, identity: Identity) -> Result<DataDir, DataDirError> {
        if !identity::is_cluster_name(&identity.name) {
            return Err(DataDirError::BadClusterName(identity.name));
        }
        durable::create_folder(&self.root)?;
        require_room(&self.root)?;
        let lock = match self.lock {
            Some(lock) => lock,
            None => lock(&self.root)?,
        };
        refuse_foreign_data(&self.root)?;
        identity.write(&self.root.join(IDENTITY))?;
        note_process(&self.root)?;
        Ok(DataDir { root: self.root, identity, _lock: lock })
    }
}

/// A data folder that this process holds until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    identity: Identity,
    /// The open folder. The lock ends when its last handle is closed, and thus with the process at the
    /// latest.
    _lock: File,
}

impl DataDir {
    /// Examines `root` for a node of a cluster with this name. Writes nothing unless it is this node's.
    ///
    /// # Errors
    /// The folder is in use, belongs to another node or cluster, has another format, is damaged, or is not a data
    /// folder.
    pub fn look(root: &Path, name: &str, node: u64) -> Result<Found, DataDirError> {
        if !identity::is_cluster_name(name) {
            return Err(DataDirError::BadClusterName(name.to_owned()));
        }
        if !root.try_exists().naming("look for", root)? {
            return Ok(Found::Vacant(Vacant { root: root.to_owned(), lock: None }));
        }
        let lock = lock(root)?;
        let Some(identity) = Identity::read(&root.join(IDENTITY))? else {
            refuse_foreign_data(root)?;
            return Ok(Found::Vacant(Vacant { root: root.to_owned(), lock: Some(lock) }));
        };
        let root = root.to_owned();
        if identity.node != node {
            return Err(DataDirError::OtherNode { path: root, found: identity.node, expected: node });
        }
        if identity.name != name {
            let (found, expected) = (identity.name, name.to_owned());
            return Err(DataDirError::OtherCluster { path: root, found, expected });
        }
        require_room(&root)?;
        note_process(&root)?;
        Ok(Found::Ours(Self { root, identity, _lock: lock }))
    }

    /// Changes the owner of the folder, durably.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), DataDirError> {
        identity.write(&self.root.join(IDENTITY))?;
        self.identity = identity;
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The owner of the folder.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Folder of the Raft log and vote.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Folder of the applied state.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Folder of the snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// File of the rate budgets.
    pub fn budgets(&self) -> PathBuf {
        self.root.join("budgets")
    }
}

fn require_room(root: &Path) -> Result<(), DataDirError> {
    let volume = rustix::fs::statvfs(root).map_err(io::Error::from).naming("look at", root)?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    if free < NEEDED { Err(DataDirError::NoRoom { path: root.to_owned(), free }) } else { Ok(()) }
}

/// A folder without an identity must be empty, except for what an interrupted first start leaves.
fn refuse_foreign_data(root: &Path) -> Result<(), DataDirError> {
    for entry in fs::read_dir(root).naming("list", root)? {
        let name = entry.naming("list", root)?.file_name();
        let ours = ["IDENTITY.new", "lost+found"];
        if !ours.iter().any(|ours| name == *ours) {
            let found = name.to_string_lossy().into_owned();
            return Err(DataDirError::ForeignData { path: root.to_owned(), found });
        }
    }
    Ok(())
}

/// Locks the folder itself: a lock file would have to be created first.
fn lock(root: &Path) -> Result<File, DataDirError> {
    let folder = File::open(root).naming("open", root)?;
    match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let text = durable::read_small(&root.join(PROCESS), 64)?.unwrap_or_default();
            let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            Err(DataDirError::InUse { path: root.to_owned(), pid })
        }
        other => {
            other.map_err(io::Error::from).naming("lock", root)?;
            Ok(folder)
        }
    }
}

/// Records which process holds the folder, for people.
fn note_process(root: &Path) -> Result<(), DataDirError> {
    let path = root.join(PROCESS);
    Ok(fs::write(&path, format!("{}\n", std::process::id())).naming("write", &path)?)
}

#[cfg(test)]
mod tests;
