//! Recovers the intact part of a damaged file.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::loss::Loss;
use super::new_file::{NewFile, existing, is_same};
use super::source::Source;
use super::{Form, Target, Written};
use crate::dataset::{Result, layout};
use crate::durable::{self, Naming};

/// The result of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// There was nothing to recover: the file is sound and unchanged.
    Sound,
    /// What could be read was written to a sound file.
    Written(Recovery),
    /// Nothing could be read; the file was set aside.
    Nothing {
        /// What is known of the loss.
        loss: Loss,
        /// Its new name, if it had the name of a good file.
        aside: Option<PathBuf>,
    },
}

/// A recovered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The new file, and where the damaged one is.
    pub written: Written,
    /// Whether the items had to be sorted.
    pub reordered: bool,
    /// What could not be read.
    pub loss: Loss,
}

/// Writes what can be read of a file to a sound one: each intact item, newest first and each once. If the new file
/// takes the name of the damaged one, the latter is kept under another name.
///
/// # Errors
/// The disk fails, or the target exists and is not forced. Nothing is changed then.
pub fn recover(path: &Path, target: &Target, form: Form) -> Result<Recovered> {
    let source = Source::lenient(path, target.key.kind)?;
    let seen = source.seen.clone();
    let in_place = existing(&target.path)?.is_some_and(|found| is_same(&found, &seen));
    let replaces = existing(&target.path)?.filter(|_| target.force || in_place);
    NewFile::prepare(&target.path, replaces.as_ref())?;
    let contents = Contents::read(&target.key, vec![source], &target.path)?;
    let (loss, reordered) = (contents.loss(), !contents.in_order());
    if in_place && loss.is_none() && !reordered {
        return Ok(Recovered::Sound);
    }
    if contents.items() == 0 {
        let aside = if in_place { Some(set_aside(path)?) } else { None };
        return Ok(Recovered::Nothing { loss, aside });
    }
    let mut new =
        NewFile::create(&target.path, replaces.as_ref(), &seen, form.compression(contents.found()))?;
    new.keep_replaced();
    let written = contents.write(new, form)?;
    Ok(Recovered::Written(Recovery { written, reordered, loss }))
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = layout::free_name(path)?;
    fs::rename(path, &aside).naming("set aside", path)?;
    durable::sync_parent(path)?;
    Ok(aside)
}
