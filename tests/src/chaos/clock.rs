//! Wall clocks that can be moved.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The variables that give a process the wall clock of this file.
///
/// # Errors
/// `faketime` is not installed.
pub(super) fn variables(file: &Path) -> anyhow::Result<Vec<String>> {
    let library = library()?;
    Ok(vec![
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        // A monotonic clock does not move with the other.
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ])
}

fn library() -> anyhow::Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("listing /usr/lib")?;
    let libraries = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.into_iter().find(|library| library.is_file());
    found.context("libfaketimeMT.so.1 is in no folder of /usr/lib; install faketime (ops/chaos does)")
}

/// From now on, and within a second, the clock of this file is so many seconds ahead of the system's.
///
/// # Errors
/// It cannot be written.
pub(super) fn set(file: &Path, seconds: i64) -> anyhow::Result<()> {
    // Readers see the old file or the new one.
    let new = file.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n")).and_then(|()| fs::rename(&new, file))?;
    Ok(())
}
