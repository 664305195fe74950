//! Data to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::Table;
use serde_json::Value;

use super::CtlError;

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document per line, for programs.
    Json,
}

/// Prints a command's data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Output {
    /// The format.
    pub format: Format,
}

impl Output {
    /// Whether data is printed as JSON.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of data.
    pub fn line(self, line: impl AsRef<str>) -> Result<(), CtlError> {
        let mut out = io::stdout().lock();
        out.write_all(line.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(writing)
    }

    /// Prints a table.
    pub fn table(self, table: &Table) -> Result<(), CtlError> {
        self.line(table.trim_fmt())
    }

    /// Prints one JSON document, on one line.
    pub fn json(self, value: &Value) -> Result<(), CtlError> {
        self.line(value.to_string())
    }
}

/// Prints a message that is not data. A closed standard error does not stop the command.
pub fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}", text.as_ref());
}

/// Whether standard error is a terminal.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Classifies a failed write to standard output.
pub fn writing(error: io::Error) -> CtlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::ReaderGone,
        _ => CtlError::Io { what: "writing to standard output".to_owned(), source: error },
    }
}
