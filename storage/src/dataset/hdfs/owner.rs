//! The marker of an output's owner, and the folder of the owner's drafts.

use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use super::super::marker::{FILE, LONGEST};
use super::super::{DatasetError, Marker, OutputState, Result};
use super::Inner;
use super::remote::{DONE, DRAFTS};
use crate::net::hdfs::{Hdfs, HdfsError, HdfsProblem, RenameOutcome};

/// Begins the names of files that nodes make for themselves.
const OWN: &str = ".twm-";
/// Folder of the drafts of former owners.
const FORMER: &str = ".tmp.of-former-owner";
/// Most names tried for a former owner's drafts.
const MAX_FORMER: u32 = 10_000;

/// A folder of an HDFS as the output of a cluster: [`Marker`] does the same for a local one.
#[derive(Debug, Clone, Copy)]
pub struct HdfsOutput<'a> {
    hdfs: &'a Hdfs,
}

impl<'a> HdfsOutput<'a> {
    /// The output in a folder.
    pub fn new(hdfs: &'a Hdfs) -> Self {
        Self { hdfs }
    }

    /// Examines the output. Writes nothing.
    ///
    /// # Errors
    /// The folder cannot be read, or its marker is damaged or of a newer program.
    pub fn look(&self) -> Result<OutputState> {
        if let Some(marker) = self.read()? {
            return Ok(OutputState::Marked(marker));
        }
        for found in self.hdfs.list("")?.into_iter().flatten() {
            // Files of nodes that were killed while they claimed the output or tried it out.
            if !found?.0.starts_with(OWN) {
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
        self.read_from(FILE)
    }

    fn read_from(&self, name: &str) -> Result<Option<Marker>> {
        let Some(file) = self.hdfs.open_file(name)? else { return Ok(None) };
        let mut text = Vec::new();
        let read = file.take(LONGEST).read_to_end(&mut text);
        read.map_err(|error| match DatasetError::of_copy(error, &self.path()) {
            // Nobody can work without it: that is no matter of one file.
            DatasetError::Hdfs(HdfsError { doing, place, problem: HdfsProblem::Lost(why) }) => {
                HdfsError { doing, place, problem: HdfsProblem::NoDatanode(why) }.into()
            }
            other => other,
        })?;
        let marker = Marker::parse(&String::from_utf8_lossy(&text));
        marker.map(Some).map_err(|why| DatasetError::BadMarker { path: self.path(), why })
    }

    /// Marks an output that has no marker. Of several nodes that do so, the first one marks it. Returns the effective
    /// marker.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn claim(&self, marker: Marker) -> Result<Marker> {
        let own = self.written(marker)?;
        // The name appears with its content, and only one of several nodes can give it.
        let outcome = self.hdfs.rename(&own, FILE, false)?;
        if outcome == RenameOutcome::Taken {
            self.hdfs.delete(&own)?;
        }
        let gone = || DatasetError::BadMarker { path: self.path(), why: "it vanished".to_owned() };
        self.read()?.ok_or_else(gone)
    }

    /// Takes the output over from its owner, in a higher epoch. The former marker is kept under another name. The drafts of the
    /// former owner are moved away when the dataset is opened.
    ///
    /// # Errors
    /// The folder cannot be written, or another node takes it over as well.
    pub fn replace(&self, marker: Marker) -> Result<Marker> {
        let before = self.found(FILE)?;
        let epoch = match before {
            Found::Good(before) => before.epoch + 1,
            Found::Nothing | Found::Damaged => unknown_epoch(),
        };
        let replaced = Marker { epoch, ..marker };
        let kept = format!("{FILE}.former-{}", self.hdfs.unique());
        // A rename has no condition: another node may have replaced the marker since it was read.
        let moved = match self.hdfs.rename(FILE, &kept, false)? {
            RenameOutcome::Renamed => self.found(&kept)?,
            _ => Found::Nothing,
        };
        if moved != before {
            self.hdfs.rename(&kept, FILE, false)?;
            return Err(DatasetError::Changed { path: self.path() });
        }
        match self.claim(replaced)? {
            effective if effective == replaced => Ok(replaced),
            _ => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    fn found(&self, name: &str) -> Result<Found> {
        match self.read_from(name) {
            Ok(marker) => Ok(marker.map_or(Found::Nothing, Found::Good)),
            Err(DatasetError::BadMarker { .. }) => Ok(Found::Damaged),
            Err(other) => Err(other),
        }
    }

    /// Replaces the marker, and leaves everything else as it is: drafts and leases go on in their epoch.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn put(&self, marker: Marker) -> Result<()> {
        let own = self.written(marker)?;
        match self.hdfs.rename(&own, FILE, true)? {
            RenameOutcome::Renamed => Ok(()),
            _ => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    /// The marker in a file of its own, complete.
    fn written(&self, marker: Marker) -> Result<String> {
        let own = format!("{FILE}.{}", self.hdfs.unique());
        let mut file = self.hdfs.create(&own)?;
        file.write(marker.text().into_bytes().into())?;
        file.close()?;
        Ok(own)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("{}/{FILE}", self.hdfs.place()))
    }
}

/// What is in the place of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Damaged,
    Good(Marker),
}

impl Inner {
    /// Makes the folder of this owner's drafts, and moves those of former owners away. In this order: see the module's
    /// documentation.
    pub(super) fn enter(&self) -> Result<()> {
        self.read_owner()?;
        let done = format!("{}/{DONE}", self.drafts_folder());
        self.hdfs.create_folder(&done)?;
        if let Err(error) = self.read_owner() {
            // Taken over since the first look.
            if matches!(error, DatasetError::NotMounted { .. }) {
                self.hdfs.delete(&done)?;
            }
            return Err(error);
        }
        for found in self.hdfs.list(DRAFTS)?.into_iter().flatten() {
            let (name, _) = found?;
            if epoch_of(&name).is_some_and(|epoch| epoch < self.owner.epoch) {
                self.move_away(&name)?;
            }
        }
        Ok(())
    }

    /// Ensures that the output belongs to this cluster now.
    pub(super) fn read_owner(&self) -> Result<()> {
        let output = PathBuf::from(self.hdfs.place());
        match HdfsOutput::new(&self.hdfs).read()? {
            Some(found) if found == self.owner => Ok(()),
            Some(_) => Err(DatasetError::NotMounted { output, why: "its marker names another owner" }),
            None => Err(DatasetError::NotMounted { output, why: "it has no marker" }),
        }
    }

    /// Ensures that the output belongs to this cluster and that the folder of finished drafts is there. Only
    /// [`enter`](Self::enter) makes it: a former owner that still runs must not get it back.
    pub(super) fn ensure_entered(&self) -> Result<()> {
        self.read_owner()?;
        if self.hdfs.status(&format!("{}/{DONE}", self.drafts_folder()))?.is_some() {
            return Ok(());
        }
        let output = self.place(DRAFTS);
        Err(DatasetError::NotMounted { output, why: "its folder of drafts was removed; restart the node" })
    }

    /// The folder of this owner's drafts.
    pub(super) fn drafts_folder(&self) -> String {
        format!("{DRAFTS}/{:016x}-{}", self.owner.storage, self.owner.epoch)
    }

    fn move_away(&self, name: &str) -> Result<()> {
        let from = format!("{DRAFTS}/{name}");
        self.hdfs.create_folder(FORMER)?;
        for number in 1..MAX_FORMER {
            let to = match number {
                1 => format!("{FORMER}/{name}"),
                number => format!("{FORMER}/{name}-{number}"),
            };
            match self.hdfs.rename(&from, &to, false)? {
                RenameOutcome::Taken => {}
                RenameOutcome::Renamed => {
                    let (path, to) = (self.place(&from), self.place(&to));
                    tracing::warn!(path = %path.display(), to = %to.display(), "drafts of the former owner set aside");
                    return Ok(());
                }
                // Another node has done it.
                RenameOutcome::Missing => return Ok(()),
            }
        }
        Err(DatasetError::Exists { path: self.place(FORMER) })
    }
}

/// The epoch in the name of an owner's folder.
fn epoch_of(name: &str) -> Option<u64> {
    let (storage, epoch) = name.split_once('-')?;
    (storage.len() == 16 && u64::from_str_radix(storage, 16).is_ok()).then(|| epoch.parse().ok())?
}

/// The epoch of an output whose marker is damaged or was lost: the seconds since 1970 are more than any count.
fn unknown_epoch() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_owners_have_an_epoch() {
        assert_eq!(epoch_of("3f2a9c01d4e5b677-12"), Some(12));
        for other in ["copies", "3f2a9c01d4e5b677", "3f2a9c01d4e5b677-", "3f2a-1", "3f2a9c01d4e5b67x-1"] {
            assert_eq!(epoch_of(other), None, "{other}");
        }
    }
}
