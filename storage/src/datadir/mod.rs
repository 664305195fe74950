//! A node's data folder: whose it is, and that only one process uses it.
//!
//! ```text
//! DIR/
//!   LOCK        locked (flock) while a node runs; holds its process id, for people
//!   IDENTITY    whose data this is, see [`Identity`]
//!   log/        the Raft log and vote
//!   state/      the applied state
//!   snapshots/  snapshots, whole and on their way
//!   budgets     the rate budgets of this node's addresses
//! ```

mod identity;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use identity::Identity;

use crate::durable::{self, FileError, Naming};
use crate::env::Entropy;

const LOCK: &str = "LOCK";
const IDENTITY: &str = "IDENTITY";
/// Bytes that have to be free before anything is opened.
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
        /// The node it was made by.
        found: u64,
        /// The node that wants it.
        expected: u64,
    },
    /// The folder belongs to another cluster.
    #[error("{} belongs to cluster {found:?}, not to {expected:?}; give the --data-dir of this cluster, or an empty one", path.display())]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// The cluster it was made in.
        found: String,
        /// The cluster the node wants to be in.
        expected: String,
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
    /// Written by an older release.
    #[error("{} has format {found}, which this release cannot read. Finish its crawls with the release that wrote it, export their frontiers, and start the cluster with empty data directories; datasets stay as they are", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The identity is not what this program writes.
    #[error("{} is damaged: {why}; remove the node's data folder and add the node again", path.display())]
    DamagedIdentity {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: &'static str,
    },
    /// Something else lies in the folder.
    #[error("{} holds {found:?} and no {IDENTITY}: it is no data folder; give an empty one", path.display())]
    ForeignData {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// Too little room to open what is in it. Opening the state writes: on a full disk that left it unreadable.
    #[error("the volume of {} has {free} bytes free, and a node needs {NEEDED} to start; free space there", path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
    /// A cluster's name that the identity cannot hold.
    #[error("{0:?} is no name for a cluster; take 1 to 255 visible characters")]
    BadClusterName(String),
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

/// A data folder that this process holds until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    identity: Identity,
    /// The lock ends when the last handle on it is closed, so with the process at the latest.
    _lock: File,
}

impl DataDir {
    /// Opens `root` for one node of one cluster; creates it on first use, with a storage id drawn from
    /// `entropy`.
    ///
    /// # Errors
    /// A folder that is in use, is another node's or cluster's, is newer, damaged, or not ours at all.
    pub fn open(root: &Path, cluster: &str, node: u64, entropy: &dyn Entropy) -> Result<Self, DataDirError> {
        if !identity::is_cluster_name(cluster) {
            return Err(DataDirError::BadClusterName(cluster.to_owned()));
        }
        durable::create_folder(root)?;
        require_room(root)?;
        let path = root.join(IDENTITY);
        let found = Identity::read(&path)?;
        if found.is_none() {
            refuse_foreign_data(root)?;
        }
        let lock = lock(root)?;
        // Read again: another process may have created it between the look above and the lock.
        let identity = match Identity::read(&path)? {
            Some(identity) => identity,
            None => {
                let identity = Identity { cluster: cluster.into(), node, storage: entropy.next_u64() };
                identity.write(&path)?;
                identity
            }
        };
        let root = root.to_owned();
        if identity.node != node {
            return Err(DataDirError::OtherNode { path: root, found: identity.node, expected: node });
        }
        if identity.cluster != cluster {
            let (found, expected) = (identity.cluster, cluster.to_owned());
            return Err(DataDirError::OtherCluster { path: root, found, expected });
        }
        Ok(Self { root, identity, _lock: lock })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whose folder it is.
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

/// A folder without an identity must be empty, but for what an interrupted first start leaves.
fn refuse_foreign_data(root: &Path) -> Result<(), DataDirError> {
    for entry in fs::read_dir(root).naming("list", root)? {
        let name = entry.naming("list", root)?.file_name();
        let ours = [LOCK, "IDENTITY.new", "IDENTITY", "lost+found"];
        if !ours.iter().any(|ours| name == *ours) {
            let found = name.to_string_lossy().into_owned();
            return Err(DataDirError::ForeignData { path: root.to_owned(), found });
        }
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK);
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = options.naming("open", &path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let text = durable::read_small(&path, 64)?.unwrap_or_default();
            let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            return Err(DataDirError::InUse { path: root.to_owned(), pid });
        }
        other => other.map_err(io::Error::from).naming("lock", &path)?,
    }
    file.set_len(0).naming("write", &path)?;
    writeln!(file, "{}", std::process::id()).naming("write", &path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SeededEntropy;

    fn open(root: &Path, cluster: &str, node: u64) -> Result<DataDir, DataDirError> {
        DataDir::open(root, cluster, node, &SeededEntropy::new(5))
    }

    #[test]
    fn a_folder_is_made_once_and_known_again() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("a/b/data");
        let first = open(&root, "main", 3).unwrap();
        let identity = first.identity().clone();
        assert_eq!((identity.cluster.as_str(), identity.node), ("main", 3));
        assert_eq!(first.log(), root.join("log"));
        drop(first);
        let again = DataDir::open(&root, "main", 3, &SeededEntropy::new(99)).unwrap();
        assert_eq!(again.identity(), &identity, "the storage id is drawn once");
    }

    #[test]
    fn a_second_process_is_told_that_another_node_runs_there() {
        let temp = tempfile::tempdir().unwrap();
        let first = open(temp.path(), "main", 1).unwrap();
        // A lock belongs to an open file, so a second handle stands for a second process.
        let error = open(temp.path(), "main", 1).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&temp.path().display().to_string()), "{text}");
        assert!(
            text.contains(&format!("another node runs there (process {})", std::process::id())),
            "{text}"
        );
        drop(first);
        open(temp.path(), "main", 1).unwrap();
    }

    #[test]
    fn a_folder_of_another_node_or_cluster_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        drop(open(temp.path(), "main", 1).unwrap());
        let error = open(temp.path(), "main", 2).unwrap_err();
        assert!(matches!(error, DataDirError::OtherNode { found: 1, expected: 2, .. }), "{error}");
        let error = open(temp.path(), "test", 1).unwrap_err();
        assert!(matches!(error, DataDirError::OtherCluster { .. }), "{error}");
        assert!(matches!(open(temp.path(), "a\nb", 1), Err(DataDirError::BadClusterName(_))));
        open(temp.path(), "main", 1).unwrap();
    }

    #[test]
    fn a_newer_or_damaged_identity_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        drop(open(temp.path(), "main", 1).unwrap());
        let path = temp.path().join(IDENTITY);
        let good = fs::read_to_string(&path).unwrap();
        fs::write(&path, good.replace("twm-data 2", "twm-data 7")).unwrap();
        let error = open(temp.path(), "main", 1).unwrap_err();
        assert!(matches!(error, DataDirError::NewerFormat { found: 7, supported: 2, .. }), "{error}");
        fs::write(&path, good.replace("twm-data 2", "twm-data 1")).unwrap();
        let error = open(temp.path(), "main", 1).unwrap_err();
        assert!(matches!(error, DataDirError::OlderFormat { found: 1, .. }), "{error}");

        for bad in ["", "hello", &good[..good.len() - 4], &good.replace("node 1", "node 2"), "\u{0}\u{0}"] {
            fs::write(&path, bad).unwrap();
            let error = open(temp.path(), "main", 1).unwrap_err();
            assert!(matches!(error, DataDirError::DamagedIdentity { .. }), "{bad:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn foreign_data_is_refused_and_an_interrupted_first_start_is_not() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("LOCK"), "123\n").unwrap();
        fs::write(temp.path().join("IDENTITY.new"), "twm-da").unwrap();
        drop(open(temp.path(), "main", 1).unwrap());

        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("log")).unwrap();
        let error = open(other.path(), "main", 1).unwrap_err();
        assert!(matches!(&error, DataDirError::ForeignData { found, .. } if found == "log"), "{error}");
        assert!(!other.path().join(LOCK).exists(), "nothing is written into it");
    }
}
