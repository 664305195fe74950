//! The marker of an output folder's owner.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{DatasetError, Result};
use crate::durable::{self, Naming};

/// The file.
pub(super) const FILE: &str = ".twm-output";
const FORMAT: &str = "twm-output 1";
pub(super) const LONGEST: u64 = 4096;

/// The owner of an output: a cluster, and the id of the storage in it. The content of the file `.twm-output`:
///
/// ```text
/// twm-output 1                               the version of this file
/// cluster 5b0e6a3f9d1c47e28a90b1c2d3e4f506   the cluster's id, 32 hex digits
/// storage 3f2a9c01d4e5b677                   the storage's id, 16 hex digits
/// epoch 1                                    only if the output was taken over from another owner: how often
/// check 9b1c02aa                             CRC-32 of the lines above, 8 hex digits
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The cluster.
    pub cluster: u128,
    /// The storage.
    pub storage: u64,
    /// How often the output was taken over: leases of different owners may have the same numbers.
    pub epoch: u64,
}

/// The state of an output folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    /// It does not exist or is empty: it may be a mount point.
    Empty,
    /// It contains something, but has no marker.
    Unmarked,
    /// It has an owner.
    Marked(Marker),
}

impl Marker {
    /// Examines an output folder. Writes nothing.
    ///
    /// # Errors
    /// The folder cannot be read, or its marker is damaged or of a newer program.
    pub fn look(output: &Path) -> Result<OutputState> {
        if let Some(marker) = Self::read(output)? {
            return Ok(OutputState::Marked(marker));
        }
        let entries = match fs::read_dir(output) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(OutputState::Empty),
            other => other.naming("list", output)?,
        };
        for entry in entries {
            let name = entry.naming("list", output)?.file_name();
            let name = name.to_string_lossy();
            // Entries created by file systems, and by a node that was interrupted while claiming the folder.
            if name != "lost+found" && !name.starts_with(FILE) {
                return Ok(OutputState::Unmarked);
            }
        }
        Ok(OutputState::Empty)
    }

    /// The marker of an output folder, if it has one.
    ///
    /// # Errors
    /// It cannot be read, is damaged or of a newer program.
    pub fn read(output: &Path) -> Result<Option<Self>> {
        let path = output.join(FILE);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.naming("open", &path)?,
        };
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).naming("read", &path)?;
        Self::parse(&String::from_utf8_lossy(&text))
            .map(Some)
            .map_err(|why| DatasetError::BadMarker { path, why })
    }

    /// Marks a folder that has no marker, creating it if necessary. If several nodes share the folder, the first one
    /// marks it. Returns the effective marker.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn claim(self, output: &Path) -> Result<Self> {
        durable::create_shared_folder(output)?;
        let path = output.join(FILE);
        let own = self.draft(output)?;
        // A link appears with its content, and only one of several nodes can create it.
        let linked = match fs::hard_link(&own, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.naming("make", &path),
        };
        durable::remove_file(&own)?;
        linked?;
        durable::sync_folder(output)?;
        Self::read(output)?.ok_or_else(|| DatasetError::BadMarker { path, why: "it vanished".to_owned() })
    }

    /// Takes a folder over from its owner. Drafts in it belong to the former owner, whose leases may have the same
    /// numbers as ours: `temporary`, their folder, is set aside.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn replace(self, output: &Path, temporary: &Path) -> Result<Self> {
        durable::create_shared_folder(output)?;
        let empty = match fs::read_dir(temporary) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            other => other.naming("list", temporary)?.next().is_none(),
        };
        if !empty {
            let name = temporary.as_os_str().to_string_lossy().into_owned();
            let free = (1..).map(|n| PathBuf::from(format!("{name}.of-former-owner-{n}")));
            let to = free.into_iter().find(|to| fs::symlink_metadata(to).is_err()).unwrap_or_default();
            fs::rename(temporary, &to).naming("set aside", temporary)?;
            durable::sync_parent(temporary)?;
            tracing::warn!(path = %temporary.display(), to = %to.display(), "drafts of the former owner set aside");
        }
        // That of a damaged marker is not known: nothing on files depends on it.
        let before = Self::read(output).ok().flatten().map_or(0, |before| before.epoch);
        let replaced = Self { epoch: before + 1, ..self };
        replaced.put(output)?;
        Ok(replaced)
    }

    /// Replaces a folder's marker, and leaves everything else as it is.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put(self, output: &Path) -> Result<()> {
        let own = self.draft(output)?;
        let path = output.join(FILE);
        fs::rename(&own, &path).naming("name", &path)?;
        Ok(durable::sync_folder(output)?)
    }

    /// The marker under a unique name, durable.
    fn draft(self, output: &Path) -> Result<PathBuf> {
        let own = output.join(format!("{FILE}.{:016x}", self.storage));
        let write = || {
            let mut file = File::create(&own)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()
        };
        write().naming("write", &own)?;
        Ok(own)
    }

    pub(super) fn text(self) -> String {
        let mut body = format!("{FORMAT}\ncluster {:032x}\nstorage {:016x}\n", self.cluster, self.storage);
        if self.epoch > 0 {
            body += &format!("epoch {}\n", self.epoch);
        }
        format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let format = text.lines().next().unwrap_or_default();
        if format != FORMAT {
            return Err(match format.strip_prefix("twm-output ") {
                Some(newer) => format!("it has format {newer:?} of a newer twm-node; start that one"),
                None => "it is none of twm's".to_owned(),
            });
        }
        let (body, check) = text.split_at(text.rfind("check ").unwrap_or(0));
        if check.trim_end() != format!("check {:08x}", crc32fast::hash(body.as_bytes())) {
            return Err("its checksum does not fit".to_owned());
        }
        let field = |name: &str| body.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let cluster = field("cluster ").and_then(|hex| u128::from_str_radix(hex, 16).ok());
        let storage = field("storage ").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let epoch = field("epoch ").map_or(Some(0), |number| number.parse().ok());
        match (cluster, storage, epoch) {
            (Some(cluster), Some(storage), Some(epoch)) => Ok(Self { cluster, storage, epoch }),
            _ => Err("a line is missing".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Marker = Marker { cluster: 7 << 90, storage: 5, epoch: 0 };

    #[test]
    fn a_look_writes_nothing_and_tells_a_mount_point_from_a_dataset() {
        let temp = tempfile::tempdir().unwrap();
        let output = temp.path().join("dataset");
        assert_eq!(Marker::look(&output).unwrap(), OutputState::Empty);
        assert!(!output.exists());
        fs::create_dir(&output).unwrap();
        fs::create_dir(output.join("lost+found")).unwrap();
        assert_eq!(Marker::look(&output).unwrap(), OutputState::Empty);
        fs::create_dir(output.join("22")).unwrap();
        assert_eq!(Marker::look(&output).unwrap(), OutputState::Unmarked);
        OURS.claim(&output).unwrap();
        assert_eq!(Marker::look(&output).unwrap(), OutputState::Marked(OURS));
    }

    #[test]
    fn of_all_nodes_that_claim_a_folder_at_once_one_draws_the_id() {
        let temp = tempfile::tempdir().unwrap();
        let output = temp.path().join("a/dataset");
        let claimed: Vec<_> = std::thread::scope(|scope| {
            let output = &output;
            let claim = |storage| scope.spawn(move || Marker { storage, ..OURS }.claim(output).unwrap());
            let threads: Vec<_> = (1..=8).map(claim).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(claimed.iter().all(|marker| *marker == claimed[0]), "{claimed:?}");
        assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
    }

    #[test]
    fn a_new_owner_sets_the_drafts_of_the_former_one_aside() {
        let temp = tempfile::tempdir().unwrap();
        OURS.claim(temp.path()).unwrap();
        let drafts = temp.path().join(".tmp");
        fs::create_dir(&drafts).unwrap();
        fs::write(drafts.join("7.twt.12"), "draft").unwrap();
        let theirs = Marker { cluster: 8, storage: 9, epoch: 0 }.replace(temp.path(), &drafts).unwrap();
        assert_eq!(theirs, Marker { cluster: 8, storage: 9, epoch: 1 });
        assert_eq!(Marker::look(temp.path()).unwrap(), OutputState::Marked(theirs));
        let kept = temp.path().join(".tmp.of-former-owner-1/7.twt.12");
        assert!(kept.exists() && !drafts.exists());
    }

    #[test]
    fn a_damaged_or_newer_marker_is_named() {
        let temp = tempfile::tempdir().unwrap();
        OURS.claim(temp.path()).unwrap();
        let path = temp.path().join(FILE);
        let good = fs::read_to_string(&path).unwrap();
        let newer = good.replace("twm-output 1", "twm-output 2");
        for (bad, what) in [
            (newer.as_str(), "newer twm-node"),
            (&good.replace("storage 0", "storage 1"), "checksum"),
            ("hello", "none of twm's"),
            ("", "none of twm's"),
            (&"x".repeat(5000), "none of twm's"),
        ] {
            fs::write(&path, bad).unwrap();
            let error = Marker::look(temp.path()).unwrap_err().to_string();
            assert!(error.contains(".twm-output") && error.contains(what), "{error}");
        }
    }
}
