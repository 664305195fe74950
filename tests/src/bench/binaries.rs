//! Paths of the measured programs.

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// A program from the same build as this one.
pub(super) fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let own = this()?;
    let path = own.with_file_name(name);
    ensure!(path.is_file(), "{} is missing; ops/bench builds all that is measured", path.display());
    Ok(path)
}

/// This program.
pub(super) fn this() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("find this program's own file")
}
