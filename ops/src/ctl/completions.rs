//! `completions SHELL`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Cli, CtlError, output};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self) -> Result<(), CtlError> {
        // clap_complete panics if its writer fails, as standard output does when piped into `head`.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "twm-ctl", &mut script);
        io::stdout().lock().write_all(&script).map_err(output::writing)
    }
}
