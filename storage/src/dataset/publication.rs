//! Publishes a draft so that the publication can be proved later.
//!
//! Before a draft is renamed, it gets a second name in the temporary folder, its *proof*, which stays until the
//! cluster knows of the publication. A missing draft was published if its proof exists, because the proof is the file
//! itself. Without either, nothing indicates that the draft was ever published here: its volume may have been
//! unmounted.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::layout::Layout;
use super::{DatasetError, FileKey, Result};
use crate::durable::{self, Naming};
use crate::planted::{Bug, planted};

impl Layout {
    /// Publishes a draft; durable on return. Idempotent until the proof is removed.
    pub(super) fn publish(&self, key: &FileKey, lease: u64) -> Result<()> {
        let (draft, proof) = (self.draft(key, lease)?, self.proof(key, lease)?);
        let (published, folder) = (self.published(key)?, key.folder_under(&self.output));
        if prove(&draft, &proof)? {
            let mut renamed = fs::rename(&draft, &published);
            if renamed.as_ref().is_err_and(gone) && draft.try_exists().naming("look for", &draft)? {
                durable::create_folder(&folder)?;
                renamed = fs::rename(&draft, &published);
            }
            match renamed {
                // Another session of the storage was faster: the proof decides.
                Err(e) if gone(&e) => {}
                other => other.naming("publish", &draft)?,
            }
        }
        match (identity(&published)?, identity(&proof)?) {
            (Some(there), Some(proved)) if there == proved => {}
            // A power cut kept the proof and lost the new name.
            (_, Some(_)) => {
                durable::create_folder(&folder)?;
                fs::rename(&proof, &published).naming("publish", &proof)?;
            }
            (_, None) if planted(Bug::LostDraftPublished) => {}
            (_, None) => {
                // A draft that cannot be examined is not a missing one.
                fs::metadata(&self.temporary).naming("look into", &self.temporary)?;
                return Err(DatasetError::DraftLost { key: key.clone(), lease });
            }
        }
        // Also if the rename had happened before: a crash may have come between it and what follows. The twin
        // is older in any case.
        let twin = self.twin(key)?;
        if fs::symlink_metadata(&twin).is_ok() {
            durable::remove_file(&twin)?;
        }
        Ok(durable::sync_folder(&folder)?)
    }
}

/// Gives a draft its second name; returns whether there is a draft.
fn prove(draft: &Path, proof: &Path) -> Result<bool> {
    match fs::hard_link(draft, proof) {
        Ok(()) => Ok(true),
        // An earlier attempt was interrupted.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Ok(draft.try_exists().naming("look for", draft)?)
        }
        Err(e) if gone(&e) => Ok(false),
        Err(e) => Err(e).naming("link", draft)?,
    }
}

fn identity(path: &Path) -> Result<Option<(u64, u64)>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(e) if gone(&e) => Ok(None),
        Err(e) => Err(e).naming("look at", path)?,
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
