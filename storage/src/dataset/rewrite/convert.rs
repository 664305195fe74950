//! A file in another form, or under the name that this program gives it.

use std::fs;
use std::path::Path;

use super::contents::Contents;
use super::new_file::{NewFile, existing, is_same};
use super::source::Source;
use super::{Form, Target, Written};
use crate::dataset::Result;
use crate::durable::{self, Naming};

/// What a conversion came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Converted {
    /// The file is as it shall be.
    AsWanted,
    /// It has no items, and so makes no file.
    Empty,
    /// Only its name was changed.
    Renamed,
    /// A new file was written.
    Written(Written),
}

/// Writes a file in another form. In the file's own folder the new file takes its place, also where the old one
/// has the original program's name; elsewhere the old one stays.
///
/// # Errors
/// A file that is unreadable; a target that is there already, unless it is forced. Nothing is changed then.
pub fn convert(path: &Path, target: &Target, form: Form) -> Result<Converted> {
    let source = Source::strict(path)?;
    let seen = source.seen.clone();
    let replaces = existing(&target.path)?.filter(|found| target.force || is_same(found, &seen));
    NewFile::prepare(&target.path, replaces.as_ref())?;
    let contents = Contents::read(&target.key, vec![source], &target.path)?;
    if contents.items() == 0 {
        return Ok(Converted::Empty);
    }
    let in_place = path.parent() == target.path.parent();
    if in_place && contents.in_order() && form.is_met(contents.found()) {
        if path == target.path {
            return Ok(Converted::AsWanted);
        }
        NewFile::prepare(&target.path, replaces.as_ref())?;
        fs::rename(path, &target.path).naming("rename", path)?;
        durable::sync_parent(path)?;
        return Ok(Converted::Renamed);
    }
    let new = NewFile::create(&target.path, replaces.as_ref(), &seen, form.level(contents.found()))?;
    let written = contents.write(new, form)?;
    if in_place && path != target.path && existing(path)?.is_some_and(|found| is_same(&found, &seen)) {
        durable::remove_file(path)?;
        durable::sync_parent(path)?;
    }
    Ok(Converted::Written(written))
}
