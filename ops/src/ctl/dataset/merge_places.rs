//! `dataset merge` with remote datasets.

use std::fs;
use std::path::{Path, PathBuf};

use storage::dataset::FileKey;
use storage::dataset::rewrite::{Target, Written, merge};
use storage::dataset::store::{Folder, Store, StoredFile};

use super::files::{failure, is_folder, kind};
use super::goal::put;
use super::merge::{Merge, SHOW_EVERY, Tally, is_same, tell};
use super::place::{Fetched, Named, Remote, connect, dataset, scratch, url};
use crate::ctl::output::note;
use crate::ctl::progress::Spinner;
use crate::ctl::render::count;
use crate::ctl::{CtlError, Output};

/// A dataset.
enum Place {
    Folder(Folder),
    Remote(Remote),
}

/// A copy of a file, on this machine.
enum Copy {
    Local(PathBuf),
    Fetched(Fetched),
}

/// Where a merged file goes.
enum Goal<'a> {
    /// A path on this machine.
    Local(PathBuf),
    Remote(&'a Remote),
}

impl Place {
    fn of(argument: &Path) -> Result<Self, CtlError> {
        match url(argument) {
            Some(url) => Ok(Self::Remote(dataset(url)?)),
            None => Ok(Self::Folder(Folder::new(argument))),
        }
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(folder) => folder,
            Self::Remote(remote) => remote,
        }
    }

    fn copy(&self, file: StoredFile) -> Result<Copy, CtlError> {
        match self {
            Self::Folder(folder) => Ok(Copy::Local(folder.path().join(file.name))),
            Self::Remote(remote) => Ok(Copy::Fetched(Fetched::new(remote, file)?)),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(a), Self::Folder(b)) => is_same(a.path(), b.path()),
            (Self::Remote(a), Self::Remote(b)) => a.to_string() == b.to_string(),
            _ => false,
        }
    }
}

impl Copy {
    fn path(&self) -> PathBuf {
        match self {
            Self::Local(path) => path.clone(),
            Self::Fetched(fetched) => fetched.path(),
        }
    }

    /// A failure whose text names the copy's place.
    fn failure(&self, error: CtlError) -> CtlError {
        match self {
            Self::Local(_) => error,
            Self::Fetched(fetched) => fetched.failure(error),
        }
    }
}

impl Merge {
    /// Merges files or datasets of which some are remote.
    pub(super) fn merge_places(&self, output: Output) -> Result<(), CtlError> {
        let named: Vec<Option<Named>> =
            self.paths.iter().map(|path| url(path).map(connect).transpose()).collect::<Result<_, _>>()?;
        let is_file = |(path, named): (&PathBuf, &Option<Named>)| match named {
            Some(named) => named.file.is_some(),
            None => !is_folder(path),
        };
        match self.paths.iter().zip(&named).filter(|found| is_file(*found)).count() {
            0 => self.merge_remote_datasets(output),
            files if files == self.paths.len() => self.merge_remote_files(named, output),
            _ => Err(CtlError::Usage("name datasets, or copies of one file, not both".to_owned())),
        }
    }

    fn merge_remote_files(&self, named: Vec<Option<Named>>, output: Output) -> Result<(), CtlError> {
        let shown = self.to.display().to_string();
        let usage = || CtlError::Usage(format!("--to: {shown} must be a file here, like ID.twt or ID.fws"));
        let remote = url(&self.to).map(connect).transpose()?;
        let (key, goal) = match &remote {
            Some(Named { place, file: Some(name) }) => {
                let file = StoredFile::of_name(name, 0, String::new()).filter(|file| !file.set_aside);
                (file.ok_or_else(usage)?.key, Goal::Remote(place))
            }
            Some(_) => return Err(usage()),
            None => (FileKey::of_path(&self.to).ok_or_else(usage)?, Goal::Local(self.to.clone())),
        };
        let mut copies = Vec::new();
        for (path, named) in self.paths.iter().zip(named) {
            let (copy, found) = match named {
                Some(Named { place, file: Some(name) }) => {
                    let file = place.lookup(&name).map_err(failure)?;
                    let file = file.ok_or_else(|| missing(path))?;
                    let found = file.key.kind;
                    (Copy::Fetched(Fetched::new(&place, file)?), found)
                }
                _ if !path.exists() => return Err(missing(path)),
                _ => (Copy::Local(path.clone()), kind(path)?),
            };
            if found != key.kind {
                let (path, suffix) = (path.display(), key.kind.suffix());
                return Err(CtlError::Usage(format!("{path} does not hold what a .{suffix} file holds")));
            }
            copies.push(copy);
        }
        let written = self.merge_into(key, &copies, &goal)?;
        tell(&shown, &written, output)
    }

    fn merge_remote_datasets(&self, output: Output) -> Result<(), CtlError> {
        let places: Vec<Place> = self.paths.iter().map(|path| Place::of(path)).collect::<Result<_, _>>()?;
        let to = Place::of(&self.to)?;
        let (mut tally, spinner) = (Tally::default(), Spinner::new());
        for (n, place) in places.iter().enumerate() {
            for file in place.store().files().map_err(failure)? {
                let file = file.map_err(failure)?;
                if file.set_aside || is_in(&places[..n], &file.key)? {
                    continue;
                }
                match self.merge_key(&file.key, &places, &to, &mut tally) {
                    Err(CtlError::Failed(why)) => {
                        note(format!("twm-ctl: {why}"));
                        tally.failed += 1;
                    }
                    other => other?,
                }
                tally.files += 1;
                if tally.files % SHOW_EVERY == 0 {
                    spinner.show(format!("{} files merged", count(tally.files)));
                }
            }
        }
        drop(spinner);
        if tally.files == 0 {
            return Err(CtlError::Failed(
                "there are no files of a dataset, DD/ID.twt and DD/ID.fws".to_owned(),
            ));
        }
        for from in places.iter().filter(|place| !place.is(&to)) {
            tally.provenance(from.store(), to.store())?;
        }
        tally.tell(output)
    }

    fn merge_key(
        &self,
        key: &FileKey,
        places: &[Place],
        to: &Place,
        tally: &mut Tally,
    ) -> Result<(), CtlError> {
        let mut copies = Vec::new();
        let mut only_there = true;
        for place in places {
            let Some(file) = place.store().find(key).map_err(failure)? else { continue };
            only_there &= place.is(to);
            copies.push(place.copy(file)?);
        }
        if only_there && copies.len() == 1 {
            tally.unchanged += 1;
            return Ok(());
        }
        let goal = match to {
            Place::Folder(folder) => Goal::Local(key.path_under(folder.path()).map_err(failure)?),
            Place::Remote(remote) => Goal::Remote(remote),
        };
        let written = self.merge_into(key.clone(), &copies, &goal)?;
        tally.items += written.items;
        tally.duplicates += written.duplicates;
        let Goal::Local(target) = &goal else { return Ok(()) };
        // A copy under another name in the destination itself is part of the new file now.
        for copy in copies.iter().filter(|_| written.items > 0) {
            if let Copy::Local(path) = copy {
                if path.parent() == target.parent() && !is_same(path, target) {
                    fs::remove_file(path).map_err(|error| {
                        CtlError::Failed(format!("cannot remove {}: {error}", path.display()))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Merges copies, the newest last. A copy that is at the goal is replaced.
    fn merge_into(&self, key: FileKey, copies: &[Copy], goal: &Goal) -> Result<Written, CtlError> {
        let folder = scratch()?;
        let path = match goal {
            Goal::Local(path) => path.clone(),
            Goal::Remote(_) => folder.path().join("merged"),
        };
        let paths: Vec<PathBuf> = copies.iter().map(Copy::path).collect();
        let target = Target { key: key.clone(), path: path.clone(), force: self.force };
        let shown = |error| copies.iter().fold(failure(error), |error, copy| copy.failure(error));
        let written = merge(&paths, &target, self.form.form()).map_err(shown)?;
        let Goal::Remote(place) = goal else { return Ok(written) };
        if written.items == 0 {
            return Ok(written);
        }
        let there = copies.iter().find_map(|copy| match copy {
            Copy::Fetched(fetched) if fetched.is_at(&***place, &key) => Some(fetched),
            _ => None,
        });
        match there {
            Some(fetched) => fetched.replace(&path)?,
            None => put(place, &key, &path, self.force)?,
        }
        Ok(written)
    }
}

fn is_in(places: &[Place], key: &FileKey) -> Result<bool, CtlError> {
    for place in places {
        if place.store().find(key).map_err(failure)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn missing(path: &Path) -> CtlError {
    CtlError::Failed(format!("{} is not there", path.display()))
}
