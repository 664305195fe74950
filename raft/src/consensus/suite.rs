//! openraft's own storage test suite, run on ours.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use storage::env::Work;
use storage::state::SledStore;
use tempfile::TempDir;

use crate::model::CLUSTER_VERSION;

use super::log_store::LogStore;
use super::machine::{Machine, Replica};
use super::types::TypeConfig;

struct Stores;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("snapshots")).unwrap();
        let store = SledStore::open(&dir.path().join("state")).unwrap();
        let replica = Replica::open(
            Arc::new(store),
            dir.path().join("snapshots"),
            Default::default(),
            CLUSTER_VERSION,
            Work::default(),
        )
        .unwrap();
        let log = LogStore::create(&dir.path().join("log"), "suite").unwrap();
        Ok((dir, log, Machine::of(replica)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes_on_the_log_and_the_replica() {
    Suite::test_all(Stores).await.unwrap();
}
