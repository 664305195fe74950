//! The programs under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

/// A program under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `twm-node`.
    Node,
    /// `twm-ctl`.
    Ctl,
    /// `twm-stats`.
    Stats,
    /// `twm-lookup`.
    Lookup,
    /// `twm-indexer`.
    Indexer,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Node => "twm-node",
            Self::Ctl => "twm-ctl",
            Self::Stats => "twm-stats",
            Self::Lookup => "twm-lookup",
            Self::Indexer => "twm-indexer",
        }
    }

    /// Path of the program: in the folder of the running program, or the folder above.
    ///
    /// # Errors
    /// The program has not been built.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        let running = env::current_exe().context("looking for the running program")?;
        let folder = running.parent().context("the running program lies in no folder")?;
        let above = folder.parent().unwrap_or(folder);
        self.path_in(folder).or_else(|_| self.path_in(above))
    }

    fn path_in(self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join(self.name());
        if !path.is_file() {
            bail!("{} is not there; run `cargo build --workspace` first", path.display());
        }
        Ok(path)
    }

    /// A command for the program that inherits neither the settings nor the input of this process.
    ///
    /// # Errors
    /// The program has not been built.
    pub fn command(self) -> anyhow::Result<Command> {
        Ok(quiet(Command::new(self.path()?)))
    }

    /// The same for another build, whose programs are in `folder`.
    ///
    /// # Errors
    /// The program is not there.
    pub fn command_in(self, folder: &Path) -> anyhow::Result<Command> {
        Ok(quiet(Command::new(self.path_in(folder)?)))
    }

    /// Runs the program until it exits. Returns its exit code and standard error.
    ///
    /// # Errors
    /// The program has not been built, or does not exit before the deadline.
    pub async fn run(self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let mut command = self.command()?;
        let output = super::ended(command.args(arguments)).await?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Removes the settings and input of this process from the command, except for a planted bug.
pub(super) fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let settings = env::vars_os().map(|(name, _)| name);
    let settings =
        settings.filter(|name| name.as_encoded_bytes().starts_with(b"TWM_") && name != "TWM_PLANT");
    for name in settings {
        command.env_remove(name);
    }
    command
}
