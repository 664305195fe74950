//! Converts a file to another format or name.

use std::fs;
use std::path::Path;

use super::contents::Contents;
use super::new_file::{NewFile, existing, is_same};
use super::source::Source;
use super::{Form, Target, Written};
use crate::dataset::Result;
use crate::durable::{self, Naming};

/// The result of a conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Converted {
    /// The file has the wanted format already.
    AsWanted,
    /// It has no items, and thus becomes no file.
    Empty,
    /// It was only renamed.
    Renamed,
    /// A new file was written.
    Written(Written),
}

/// Writes a file in another format. In the file's own folder the new file replaces it, even if the old one
/// has the original program's name; elsewhere the old one stays.
///
/// # Errors
/// The file is unreadable, or the target exists and is not forced. Nothing is changed then.
pub fn convert(path: &Path, target: &Target, form: Form) -> Result<Converted> {
    let source = Source::strict(path, target.key.kind)?;
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
    let new = NewFile::create(&target.path, replaces.as_ref(), &seen, form.compression(contents.found()))?;
    let written = contents.write(new, form)?;
    if in_place && path != target.path && existing(path)?.is_some_and(|found| is_same(&found, &seen)) {
        durable::remove_file(path)?;
        durable::sync_parent(path)?;
    }
    Ok(Converted::Written(written))
}
