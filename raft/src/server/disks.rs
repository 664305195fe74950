//! Where a tracker stores its log and its state: in folders, or in memory in a simulation.

use std::path::Path;
use std::sync::Arc;

use storage::state::{SledStore, StateError, StateStore};

use crate::consensus::{Folders, LogHome};

/// Opens the state in a folder.
pub(crate) type OpenState = dyn Fn(&Path) -> Result<Arc<dyn StateStore>, StateError> + Send + Sync;

/// Where logs and states are stored. Clones share it.
#[derive(Clone)]
pub struct Disks {
    pub(crate) logs: Arc<dyn LogHome>,
    pub(crate) states: Arc<OpenState>,
}

impl Default for Disks {
    /// Folders of the file system.
    fn default() -> Self {
        let open = |folder: &Path| Ok(Arc::new(SledStore::open(folder)?) as Arc<dyn StateStore>);
        Self { logs: Arc::new(Folders), states: Arc::new(open) }
    }
}
