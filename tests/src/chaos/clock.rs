//! Wall clocks that can be changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The environment variables with which a process uses the wall clock of this file.
///
/// # Errors
/// `faketime` is not installed.
pub(super) fn variables(file: &Path) -> anyhow::Result<Vec<String>> {
    let library = library()?;
    Ok(vec![
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        // The monotonic clock must not change with the wall clock.
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

/// Sets the clock of this file to `seconds` ahead of the system's. Takes effect within a second.
///
/// # Errors
/// The file cannot be written.
pub(super) fn set(file: &Path, seconds: i64) -> anyhow::Result<()> {
    // Atomic: readers see the old or the new file.
    let new = file.with_extension("new");
    fs::write(&new, format!("{seconds:+}\n")).and_then(|()| fs::rename(&new, file))?;
    Ok(())
}
