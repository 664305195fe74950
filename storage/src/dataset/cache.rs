//! Files of a store that this node has read.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::FileKey;
use super::published::Published;
#[cfg(feature = "s3")]
use super::published::Version;

/// Most files that are kept for a second reader.
const CACHED: usize = 64;

/// Files that were read and will probably be read again: an update reads the newest post first, and all others after its
/// walk.
#[derive(Default)]
pub(super) struct Cache(VecDeque<(FileKey, Published)>);

impl Cache {
    /// Keeps a file for the next reader.
    pub(super) fn keep(&mut self, key: &FileKey, file: Published) {
        self.forget(key);
        if self.0.len() >= CACHED {
            self.0.pop_front();
        }
        self.0.push_back((key.clone(), file));
    }

    /// The version of a file that is kept.
    #[cfg(feature = "s3")]
    pub(super) fn version(&self, key: &FileKey) -> Option<Version> {
        let (_, file) = self.0.iter().find(|(cached, _)| cached == key)?;
        Some(file.version.clone())
    }

    /// Takes a file out.
    pub(super) fn take(&mut self, key: &FileKey) -> Option<Published> {
        let place = self.0.iter().position(|(cached, _)| cached == key)?;
        self.0.remove(place).map(|(_, file)| file)
    }

    pub(super) fn forget(&mut self, key: &FileKey) {
        self.0.retain(|(cached, _)| cached != key);
    }
}

/// A path of an open file without a name.
pub(super) fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
