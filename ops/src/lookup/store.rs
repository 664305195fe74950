//! The profiles on disk.
//!
//! | key | value |
//! |---|---|
//! | `m/format` | the version of this layout |
//! | `m/profiles` | how many there are |
//! | `m/source` | the name of their source, if it is not the default one |
//! | `m/stream` | the [`Position`] |
//! | `n/NAME` | the id of the profile that has this name, in lower case |
//! | `p/ID` | its stamp, then its JSON as it came |

mod draft;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use storage::dataset::SourceName;
use storage::state::{StateError, StateStore, WriteBatch};

use super::profile::{Profile, fold_name};
use crate::stream::{Position, Stamp};
use draft::Draft;

const FORMAT: u64 = 1;
const FORMAT_KEY: &[u8] = b"m/format";
const COUNT_KEY: &[u8] = b"m/profiles";
const STREAM_KEY: &[u8] = b"m/stream";
const SOURCE_KEY: &[u8] = b"m/source";

/// Why profiles cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("the profiles: {0}")]
    State(#[from] StateError),
    #[error(
        "the profiles have format {found}, this program knows {FORMAT}; start the newer twm-lookup again"
    )]
    NewerFormat { found: u64 },
    #[error(
        "the profiles are those of the source {found}, not of {wanted}; start with --source {found}, or give --source {wanted} a --data-dir of its own"
    )]
    OtherSource { found: String, wanted: String },
    #[error(
        "the profiles' entry {key} is damaged; move the data folder away and start again: profiles come back from the stream"
    )]
    Damaged { key: String },
}

/// The results of offering profiles.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) stored: u64,
    /// Skipped because a newer one exists.
    pub(super) older: u64,
}

/// All profiles. Every call may block on the disk.
pub(super) struct Profiles {
    store: Arc<dyn StateStore>,
    /// Held from reading what a change depends on until it is written.
    writer: Mutex<()>,
}

impl Profiles {
    /// The profiles of a source in a store, which is marked with its name.
    ///
    /// # Errors
    /// It cannot be read, was written by a newer program, or holds profiles of another source.
    pub(super) fn open(store: Arc<dyn StateStore>, source: &SourceName) -> Result<Self, StoreError> {
        let format = number(&*store, FORMAT_KEY)?;
        if let Some(found) = format.filter(|found| *found != FORMAT) {
            return Err(StoreError::NewerFormat { found });
        }
        let wanted = source.to_string();
        let mark = store.get(SOURCE_KEY)?.map(|mark| String::from_utf8_lossy(&mark).into_owned());
        match mark.or_else(|| format.map(|_| SourceName::default().to_string())) {
            Some(found) if found != wanted => return Err(StoreError::OtherSource { found, wanted }),
            None if !source.is_default() => {
                let mut batch = WriteBatch::new();
                batch.put(FORMAT_KEY, FORMAT.to_string());
                batch.put(SOURCE_KEY, wanted);
                store.write(batch)?;
            }
            Some(_) | None => {}
        }
        Ok(Self { store, writer: Mutex::new(()) })
    }

    /// The JSON of a profile, as it came.
    pub(super) fn by_id(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.store.get(&profile_key(id))?;
        Ok(value.and_then(|value| Some(value.get(Stamp::BYTES..)?.to_vec())))
    }

    /// The same by its current name, in upper or lower case.
    pub(super) fn by_name(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let id = self.store.get(&name_key(&fold_name(name)))?;
        id.map_or(Ok(None), |id| self.by_id(&String::from_utf8_lossy(&id)))
    }

    /// Number of profiles.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        Ok(number(&*self.store, COUNT_KEY)?.unwrap_or(0))
    }

    /// The position in the stream.
    pub(super) fn position(&self) -> Result<Position, StoreError> {
        let Some(bytes) = self.store.get(STREAM_KEY)? else { return Ok(Position::START) };
        serde_json::from_slice(&bytes).map_err(|_| damaged(STREAM_KEY))
    }

    /// Stores the profiles that are the newest of their account, and the position in the stream, all or nothing;
    /// durable on return.
    pub(super) fn offer(
        &self,
        profiles: &[(Profile, Stamp)],
        position: Option<Position>,
    ) -> Result<Offered, StoreError> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut draft = Draft::new(&*self.store);
        let mut offered = Offered::default();
        for (profile, stamp) in profiles {
            match draft.offer(profile, *stamp)? {
                true => offered.stored += 1,
                false => offered.older += 1,
            }
        }
        if let Some(position) = position {
            let json = serde_json::to_vec(&position).map_err(|_| damaged(STREAM_KEY))?;
            draft.put(STREAM_KEY, json);
        }
        let (batch, new) = draft.finish();
        if !batch.is_empty() {
            let mut batch = batch;
            batch.put(FORMAT_KEY, FORMAT.to_string());
            batch.put(COUNT_KEY, (self.count()? + new).to_string());
            self.store.write(batch)?;
        }
        Ok(offered)
    }
}

fn profile_key(id: &str) -> Vec<u8> {
    format!("p/{id}").into_bytes()
}

fn name_key(folded: &str) -> Vec<u8> {
    format!("n/{folded}").into_bytes()
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Damaged { key: String::from_utf8_lossy(key).into_owned() }
}

fn number(store: &dyn StateStore, key: &[u8]) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = store.get(key)? else { return Ok(None) };
    let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| damaged(key))
}
