//! Which storage a shared output folder is.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use api::model::StorageId;
use storage::env::Entropy;

/// The file that names it: one line of 16 hex digits.
const FILE: &str = ".twm-storage";

/// Why a shared folder has no id.
#[derive(Debug, thiserror::Error)]
pub enum StorageIdError {
    /// The file cannot be made or read.
    #[error("cannot {verb} {}: {source}; check --output, its owner and the file system", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is damaged: {found:?} is no storage id; put back its line of 16 hex digits, which `twm-ctl status` of a node that still runs shows", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
}

/// The id of an output folder that several nodes share. The first node to ask draws it.
pub fn shared_storage_id(output: &Path, entropy: &dyn Entropy) -> Result<StorageId, StorageIdError> {
    let path = output.join(FILE);
    let failed = |verb, path: &Path| {
        let path = path.to_owned();
        move |source| StorageIdError::File { verb, path, source }
    };
    fs::create_dir_all(output).map_err(failed("make", output))?;
    if !path.try_exists().map_err(failed("look for", &path))? {
        let own = output.join(format!("{FILE}.{:016x}", entropy.next_u64()));
        write_synced(&own, entropy.next_u64()).map_err(failed("write", &own))?;
        // A link appears with its content, and only one of several nodes can make it.
        let linked = match fs::hard_link(&own, &path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", &path)(e)),
            _ => Ok(()),
        };
        fs::remove_file(&own).map_err(failed("remove", &own))?;
        linked?;
        fs::File::open(output).and_then(|folder| folder.sync_all()).map_err(failed("sync", output))?;
    }
    let found = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let digits = found.trim();
    match u64::from_str_radix(digits, 16) {
        Ok(id) if digits.len() == 16 => Ok(StorageId(id)),
        _ => Err(StorageIdError::Damaged { path, found: found.chars().take(64).collect() }),
    }
}

fn write_synced(path: &Path, id: u64) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    writeln!(file, "{id:016x}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use storage::env::SeededEntropy;

    use super::*;

    #[test]
    fn all_nodes_that_share_a_folder_get_the_same_id() {
        let temp = tempfile::tempdir().unwrap();
        let output = temp.path().join("dataset");
        let ids: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8)
                .map(|seed| {
                    let output = &output;
                    scope.spawn(move || shared_storage_id(output, &SeededEntropy::new(seed)).unwrap())
                })
                .collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let left: Vec<_> = fs::read_dir(&output).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [FILE]);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(FILE), "hello").unwrap();
        let error = shared_storage_id(temp.path(), &SeededEntropy::new(1)).unwrap_err();
        assert!(error.to_string().contains(".twm-storage is damaged"), "{error}");
    }
}
