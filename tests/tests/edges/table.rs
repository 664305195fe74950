//! Tables of input, expected words and exit codes.

use std::path::Path;

use anyhow::ensure;
use twm_tests::cluster::{Program, ended};

use crate::world::Test;

/// Maximum length of an error message, in bytes.
const MOST_WORDS: usize = 16 << 10;

/// A command, its exit code, and the words that it must print to stderr.
pub struct Row {
    program: Program,
    arguments: &'static str,
    code: i32,
    words: &'static [&'static str],
}

/// A row for `twm-ctl`. Arguments are split at spaces; `{NAME}` stands for a [`Places`] entry, and `~` within an
/// argument for a space.
pub const fn ctl(arguments: &'static str, code: i32, words: &'static [&'static str]) -> Row {
    Row { program: Program::Ctl, arguments, code, words }
}

/// A row for `twm-node`.
pub const fn node(arguments: &'static str, code: i32, words: &'static [&'static str]) -> Row {
    Row { program: Program::Node, arguments, code, words }
}

/// Values of the placeholders.
#[derive(Default)]
pub struct Places(Vec<(&'static str, String)>);

impl Places {
    /// Adds a placeholder, whose value may use earlier ones.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = self.fill(&value.into());
        self.0.push((name, value));
        self
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

/// Runs every row in `folder`, and reports all rows that differ from the table.
pub async fn holds(rows: &[Row], places: &Places, folder: &Path) -> Test {
    let mut wrong = Vec::new();
    for row in rows {
        wrong.extend(run(row, places, folder).await.err().map(|error| format!("{error:#}")));
    }
    ensure!(wrong.is_empty(), "{} of {} rows are wrong:\n\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
    Ok(())
}

async fn run(row: &Row, places: &Places, folder: &Path) -> Test {
    let mut command = row.program.command()?;
    let filled = places.fill(row.arguments);
    command.current_dir(folder).args(filled.split_whitespace().map(|argument| argument.replace('~', " ")));
    let output = ended(&mut command).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let shown: String = said.chars().take(2_000).collect();
    let code = output.status.code();
    ensure!(code == Some(row.code), "{filled}: ended with {code:?}, not with {}:\n{shown}", row.code);
    for word in row.words {
        let word = places.fill(word);
        ensure!(said.contains(&word), "{filled}: does not say {word:?}:\n{shown}");
    }
    ensure!(!said.contains("panicked at"), "{filled}: panicked:\n{shown}");
    ensure!(said.len() < MOST_WORDS, "{filled}: says {} bytes", said.len());
    Ok(())
}
