//! A good file from what can be read of a damaged one.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::loss::Loss;
use super::new_file::{NewFile, existing, is_same};
use super::source::Source;
use super::{Form, Target, Written};
use crate::dataset::{Result, layout};
use crate::durable::{self, Naming};

/// What a recovery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// There was nothing to recover: the file is sound, and left as it is.
    Sound,
    /// What could be read is in a good file.
    Written(Recovery),
    /// Nothing could be read; the file is out of the way.
    Nothing {
        /// What is known of what was lost.
        loss: Loss,
        /// Its new name, if it had the name of a good file.
        aside: Option<PathBuf>,
    },
}

/// A file that was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The good file, and where the damaged one is.
    pub written: Written,
    /// Whether the items had to be put in order.
    pub reordered: bool,
    /// What could not be read.
    pub loss: Loss,
}

/// Writes what can be read of a file to a good one: each item that is whole, newest first and each once. Where the
/// good file takes the name of the damaged one, the latter is kept beside it under a name of its own.
///
/// # Errors
/// A disk that fails; a target that is there already, unless it is forced. Nothing is changed then.
pub fn recover(path: &Path, target: &Target, form: Form) -> Result<Recovered> {
    let source = Source::lenient(path)?;
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
    let mut new = NewFile::create(&target.path, replaces.as_ref(), &seen, form.level(contents.found()))?;
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
