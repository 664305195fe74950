//! Merges several copies of a file.

use std::path::PathBuf;

use super::contents::Contents;
use super::new_file::{NewFile, existing, is_same};
use super::source::Source;
use super::{Form, Target, Written};
use crate::dataset::Result;

/// Merges copies of a file, the newest last: a timeline has each tweet once, newest first, in the version of the last
/// copy that has it; a follower list starts with the last copy and continues with those that only earlier ones have.
/// The format is that of the last copy. The target may be one of the copies. Copies without items become no file.
///
/// # Errors
/// A copy is unreadable, or the target exists, is not a copy and is not forced. Nothing is changed then.
pub fn merge(copies: &[PathBuf], target: &Target, form: Form) -> Result<Written> {
    let sources: Vec<Source> =
        copies.iter().map(|path| Source::strict(path, target.key.kind)).collect::<Result<_>>()?;
    let found = existing(&target.path)?;
    let replaces = found.filter(|found| target.force || sources.iter().any(|s| is_same(&s.seen, found)));
    NewFile::prepare(&target.path, replaces.as_ref())?;
    let Some(owner) = sources.last().map(|source| source.seen.clone()) else {
        return Ok(Written::default());
    };
    let contents = Contents::read(&target.key, sources, &target.path)?;
    if contents.items() == 0 {
        return Ok(Written::default());
    }
    let new = NewFile::create(&target.path, replaces.as_ref(), &owner, form.compression(contents.found()))?;
    contents.write(new, form)
}
