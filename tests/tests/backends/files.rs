//! On files.

use std::fs;

use storage::dataset::{Dataset, FileKey, FilesDataset, FilesOptions};
use tempfile::TempDir;

use super::contract::Backend;
use super::keeps_the_contract;

/// A folder that all nodes share.
struct Folder(TempDir);

impl Backend for Folder {
    fn node(&self) -> Box<dyn Dataset> {
        Box::new(FilesDataset::open(FilesOptions::new(self.0.path())).unwrap())
    }

    fn put(&self, key: &FileKey, bytes: &[u8]) {
        let path = key.path_under(self.0.path()).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn store(&self) -> Box<dyn storage::dataset::store::Store> {
        Box::new(storage::dataset::store::Folder::new(self.0.path()))
    }
}

fn folder() -> Folder {
    Folder(TempDir::new().unwrap())
}

keeps_the_contract!(folder());
