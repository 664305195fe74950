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

    /// Where it was built: beside the running program, or beside the folder of the running test.
    ///
    /// # Errors
    /// It was not built.
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

    /// A call of it that sees nothing of this process's settings and input.
    ///
    /// # Errors
    /// It was not built.
    pub fn command(self) -> anyhow::Result<Command> {
        Ok(quiet(Command::new(self.path()?)))
    }

    /// The same of another build, whose programs are in this folder.
    ///
    /// # Errors
    /// It is not there.
    pub fn command_in(self, folder: &Path) -> anyhow::Result<Command> {
        Ok(quiet(Command::new(self.path_in(folder)?)))
    }

    /// Runs it to its end. Gives the exit code and what it said.
    ///
    /// # Errors
    /// It was not built, or does not end.
    pub async fn run(self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
        let mut command = self.command()?;
        let output = super::ended(command.args(arguments)).await?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Sees nothing of this process's settings and input, but for a bug that is planted.
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
