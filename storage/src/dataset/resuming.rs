//! Whether an old draft can be continued.

use super::{DatasetError, FileKey, Result, SavePoint};

pub(super) fn missing(key: &FileKey, lease: u64, why: impl Into<String>) -> DatasetError {
    DatasetError::DraftMissing { key: key.clone(), lease, why: why.into() }
}

/// Why a copied draft cannot be used.
pub(super) enum Unfit {
    Content(String),
    Other(DatasetError),
}

impl Unfit {
    pub(super) fn into_error(self, key: &FileKey, lease: u64) -> DatasetError {
        match self {
            Self::Content(why) => missing(key, lease, why),
            Self::Other(error) => error,
        }
    }
}

/// A draft that contains what its save point promised.
pub(super) fn verified<D>(draft: Result<D>, saved: SavePoint, items: impl Fn(&D) -> u64) -> Result<D, Unfit> {
    match draft {
        Ok(draft) if items(&draft) == saved.items => Ok(draft),
        Ok(draft) => {
            let found = items(&draft);
            Err(Unfit::Content(format!("it has {found} items up to its save point, not {}", saved.items)))
        }
        Err(DatasetError::Unreadable { why, .. }) => Err(Unfit::Content(why)),
        Err(other) => Err(Unfit::Other(other)),
    }
}
