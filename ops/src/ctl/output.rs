//! Data to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::Table;
use serde_json::Value;

use super::CtlError;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document a line, for programs.
    Json,
}

/// Where a command's data goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Output {
    /// How it is printed.
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

/// Tells the operator something that is no data. A closed standard error is no reason to stop.
pub fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}", text.as_ref());
}

/// Whether somebody watches standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// What a failed write to standard output means.
pub fn writing(error: io::Error) -> CtlError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CtlError::ReaderGone,
        _ => CtlError::Io { what: "writing to standard output".to_owned(), source: error },
    }
}
