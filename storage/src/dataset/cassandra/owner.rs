//! The marker of a keyspace's owner.

use std::path::PathBuf;
use std::time::SystemTime;

use super::super::{DatasetError, Marker, OutputState, Result};
use super::CassandraStore;
use crate::net::cassandra::Transaction;

/// Row of the table `settings`.
const OWNER: &str = "owner";

/// A keyspace as the output of a cluster: [`Marker`] does the same for a folder. Its marker is the text that a folder has
/// in a file, and changes by light transactions alone.
#[derive(Debug, Clone, Copy)]
pub struct KeyspaceOutput<'a> {
    store: &'a CassandraStore,
}

impl<'a> KeyspaceOutput<'a> {
    /// The output in a keyspace.
    pub fn new(store: &'a CassandraStore) -> Self {
        Self { store }
    }

    /// Examines the output. Writes nothing.
    ///
    /// # Errors
    /// The keyspace cannot be read, or its marker is damaged or of a newer program.
    pub fn look(&self) -> Result<OutputState> {
        if let Some(marker) = self.read()? {
            return Ok(OutputState::Marked(marker));
        }
        let (keyspace, statements) = (&self.store.keyspace, &self.store.statements);
        for statement in [&statements.any_file, &statements.any_draft] {
            let found: Vec<(String,)> = keyspace.rows("look for files", statement, ())?;
            if !found.is_empty() {
                return Ok(OutputState::Unmarked);
            }
        }
        Ok(OutputState::Empty)
    }

    /// The marker, if there is one.
    ///
    /// # Errors
    /// It cannot be read, is damaged or of a newer program.
    pub fn read(&self) -> Result<Option<Marker>> {
        self.store.setting(OWNER)?.map(|text| self.parse(&text)).transpose()
    }

    /// Marks an output that has no marker. Of several nodes that do so, the first one marks it. Returns the effective
    /// marker.
    ///
    /// # Errors
    /// The keyspace cannot be written.
    pub fn claim(&self, marker: Marker) -> Result<Marker> {
        match self.store.swap_setting(OWNER, None, &marker.text())? {
            Transaction::Applied => Ok(marker),
            Transaction::Refused => self.read()?.ok_or_else(|| self.bad("it vanished".to_owned())),
        }
    }

    /// Takes the output over from its owner, in a higher epoch. Drafts of the former owner stay in its own epoch.
    ///
    /// # Errors
    /// The keyspace cannot be written, or another node takes it over as well.
    pub fn replace(&self, marker: Marker) -> Result<Marker> {
        let text = self.store.setting(OWNER)?;
        // Of a marker that is damaged or was lost, the epoch is not known.
        let before = text.as_deref().and_then(|text| Marker::parse(text).ok());
        let epoch = before.map_or_else(unknown_epoch, |before| before.epoch + 1);
        let replaced = Marker { epoch, ..marker };
        match self.store.swap_setting(OWNER, text, &replaced.text())? {
            Transaction::Applied => Ok(replaced),
            Transaction::Refused => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    /// Replaces the marker, and leaves everything else as it is: drafts and leases go on in their epoch.
    ///
    /// # Errors
    /// The keyspace cannot be written, or another node replaces the marker as well.
    pub fn put(&self, marker: Marker) -> Result<()> {
        let before = self.store.setting(OWNER)?;
        match self.store.swap_setting(OWNER, before, &marker.text())? {
            Transaction::Applied => Ok(()),
            Transaction::Refused => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    fn parse(&self, text: &str) -> Result<Marker> {
        Marker::parse(text).map_err(|why| self.bad(why))
    }

    fn bad(&self, why: String) -> DatasetError {
        DatasetError::BadMarker { path: self.path(), why }
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("{}.settings/{OWNER}", self.store.place()))
    }
}

/// The epoch of an output whose marker is damaged or was lost: the seconds since 1970 are more than any count.
fn unknown_epoch() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
