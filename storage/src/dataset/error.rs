//! Errors of a dataset.

use std::io;
use std::path::{Path, PathBuf};

use super::FileKey;
use crate::durable::FileError;
#[cfg(feature = "cassandra")]
use crate::net::cassandra::CassandraError;
#[cfg(feature = "hdfs")]
use crate::net::hdfs::HdfsError;
#[cfg(feature = "s3")]
use crate::net::s3::S3Error;

impl DatasetError {
    /// Why bytes could not be copied to `to`: the reader, which may be a remote object, or the file failed.
    pub(super) fn of_copy(error: io::Error, to: &Path) -> Self {
        #[cfg(feature = "hdfs")]
        if let Some(remote) = error.get_ref().and_then(|inner| inner.downcast_ref::<HdfsError>()) {
            return remote.clone().into();
        }
        #[cfg(feature = "s3")]
        if let Some(remote) = error.get_ref().and_then(|inner| inner.downcast_ref::<S3Error>()) {
            return remote.clone().into();
        }
        #[cfg(feature = "cassandra")]
        if let Some(remote) = error.get_ref().and_then(|inner| inner.downcast_ref::<CassandraError>()) {
            return remote.clone().into();
        }
        FileError { action: "copy to", path: to.to_owned(), source: error }.into()
    }

    /// Whether the operation may succeed later although nobody changes anything: a store is away.
    pub fn is_temporary(&self) -> bool {
        match self {
            #[cfg(feature = "hdfs")]
            Self::Hdfs(error) => error.is_temporary(),
            #[cfg(feature = "s3")]
            Self::S3(error) => error.is_temporary(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(error) => error.is_temporary(),
            _ => false,
        }
    }

    /// Whether the error concerns the place rather than one file: jobs wait until it works again.
    pub fn is_of_the_place(&self) -> bool {
        match self {
            Self::File(file) => file.is_of_the_place(),
            Self::NotMounted { .. } | Self::BadMarker { .. } => true,
            #[cfg(feature = "hdfs")]
            Self::Hdfs(error) => !error.is_of_one_file(),
            #[cfg(feature = "s3")]
            Self::S3(error) => !error.is_of_one_object(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(error) => !error.is_of_one_file(),
            _ => false,
        }
    }
}

/// Why a dataset operation failed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file could not be read, written, renamed or synced.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no draft to continue; the walk starts over.
    #[error("the draft of {key} with lease {lease} cannot be resumed: {why}; start over")]
    DraftMissing {
        /// The file it was to become.
        key: FileKey,
        /// The lease it was written under.
        lease: u64,
        /// What is missing.
        why: String,
    },
    /// A finished draft neither exists nor was published; the job runs again.
    #[error(
        "the finished draft of {key} with lease {lease} is not there, and nothing proves that it was published: it was lost with its disk, or another volume is mounted"
    )]
    DraftLost {
        /// The file it was to become.
        key: FileKey,
        /// The lease it was written under.
        lease: u64,
    },
    /// The output's marker is invalid.
    #[error("{} does not say whose output this is: {why}; put the file back, or start twm-node with --adopt-output to make the output this cluster's", path.display())]
    BadMarker {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The output is not the one that was opened.
    #[error("the output {} is not the one that was opened: {why}; its volume may not be mounted", output.display())]
    NotMounted {
        /// The folder.
        output: PathBuf,
        /// What was found.
        why: &'static str,
    },
    /// A file of the dataset is damaged or has an unknown format.
    #[error("{0} is unreadable at item {item}: {why}; `twm-ctl dataset recover {0}` saves what is good of it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The item, counted from 1.
        item: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A batch of provenance is damaged or has an unknown format.
    #[error(
        "{place} is unreadable at record {record}: {why}; its other records count, so copy the batch from a good copy of the dataset, or delete it"
    )]
    UnreadableBatch {
        /// The batch.
        place: String,
        /// The record, counted from 1.
        record: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An unreadable file was set aside; the caller continues as if there had been none.
    #[error("{} was unreadable ({why}) and is now {1}; `twm-ctl dataset recover {1}` saves what is good of it", path.display(), to.display())]
    SetAside {
        /// Its name before.
        path: PathBuf,
        /// Its name now.
        to: PathBuf,
        /// Why it could not be read.
        why: String,
    },
    /// An HDFS could not be used.
    #[cfg(feature = "hdfs")]
    #[error(transparent)]
    Hdfs(#[from] HdfsError),
    /// An object store could not be used.
    #[cfg(feature = "s3")]
    #[error(transparent)]
    S3(#[from] S3Error),
    /// A Cassandra cluster could not be used.
    #[cfg(feature = "cassandra")]
    #[error(transparent)]
    Cassandra(#[from] CassandraError),
    /// Renaming needs one volume.
    #[error("the temporary folder {} is not on the volume of the output {}; choose a folder there, so that files can be renamed", temporary.display(), output.display())]
    OtherVolume {
        /// The temporary folder.
        temporary: PathBuf,
        /// The output folder.
        output: PathBuf,
    },
    /// An id that is too long for a file name.
    #[error(
        "the id {user:?} makes a file name of {bytes} bytes, which file systems do not take; drop this account"
    )]
    NameTooLong {
        /// The account.
        user: String,
        /// Length of the name.
        bytes: usize,
    },
    /// An item over the size limit of readers.
    #[error("an item of {bytes} bytes is too large for {key} ({limit} at most); skip it")]
    ItemTooLarge {
        /// The file.
        key: FileKey,
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// A follower that does not fit the list's format.
    #[error("the follower {follower:?} does not fit into {key}: {why}; write follower lists as text")]
    UnfitFollower {
        /// The file.
        key: FileKey,
        /// The id.
        follower: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A lease cannot resume its own draft: it would copy the file onto itself.
    #[error("lease {lease} of {key} cannot be resumed by itself; take a new lease")]
    SameLease {
        /// The file.
        key: FileKey,
        /// The lease.
        lease: u64,
    },
    /// The target exists.
    #[error("{} is there already and was not read; `twm-ctl dataset merge` joins files, --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another file is in the place of a copy.
    #[error("{} is there already, differs from what was to be copied, and is left as it is; remove it, or join the files with `twm-ctl dataset merge`", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// The file was replaced in the meantime.
    #[error("{} was changed by another process meanwhile and is left as it is; do it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes the file.
    #[error("{} is being written by another twm-ctl; wait for its end", path.display())]
    Busy {
        /// The temporary file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(kind: io::ErrorKind) -> DatasetError {
        FileError { action: "write", path: "out/7.twt".into(), source: kind.into() }.into()
    }

    #[test]
    fn a_full_disk_and_a_missing_volume_are_of_the_place_and_an_unreadable_file_is_not() {
        let path = PathBuf::from("out/7.twt");
        let of_the_place = [
            of_file(io::ErrorKind::StorageFull),
            DatasetError::NotMounted { output: "out".into(), why: "it is empty" },
            DatasetError::BadMarker { path: path.clone(), why: "it is empty".to_owned() },
        ];
        for error in of_the_place {
            assert!(error.is_of_the_place() && !error.is_temporary(), "{error}");
        }
        let unreadable = DatasetError::Unreadable { path, item: 1, why: "x".to_owned() };
        for error in [of_file(io::ErrorKind::InvalidData), unreadable] {
            assert!(!error.is_of_the_place() && !error.is_temporary(), "{error}");
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_store_that_is_away_is_waited_for_and_one_changed_object_holds_nothing_up() {
        use crate::net::s3::S3Problem;

        let error =
            |problem| DatasetError::S3(S3Error { doing: "read 7.twt".into(), place: "s3".into(), problem });
        let away = error(S3Problem::Unreachable("refused".to_owned()));
        assert!(away.is_of_the_place() && away.is_temporary(), "{away}");
        let changed = error(S3Problem::Changed);
        assert!(!changed.is_of_the_place() && !changed.is_temporary(), "{changed}");
    }
}
