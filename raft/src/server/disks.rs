//! Where a tracker keeps its log and its state: in folders of this machine, or in a simulation's memory.

use std::path::Path;
use std::sync::Arc;

use storage::state::{SledStore, StateError, StateStore};

use crate::consensus::{Folders, LogHome};

/// Opens the state in a folder.
pub(crate) type OpenState = dyn Fn(&Path) -> Result<Arc<dyn StateStore>, StateError> + Send + Sync;

/// Where logs and states are kept. Clones share it.
#[derive(Clone)]
pub struct Disks {
    pub(crate) logs: Arc<dyn LogHome>,
    pub(crate) states: Arc<OpenState>,
}

impl Default for Disks {
    /// The folders of this machine.
    fn default() -> Self {
        let open = |folder: &Path| Ok(Arc::new(SledStore::open(folder)?) as Arc<dyn StateStore>);
        Self { logs: Arc::new(Folders), states: Arc::new(open) }
    }
}
