//! Errors in settings.

use std::fmt;

use super::Origin;

/// Why settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An unknown flag, or a request for help.
    #[error(transparent)]
    Command(#[from] clap::Error),
    /// Invalid values.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// All errors in the settings.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// One error.
#[derive(Debug)]
pub struct Problem {
    /// The setting; `None` for a file as a whole.
    pub setting: Option<&'static str>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting {
            Some(key) => write!(f, "{key} ({}): {}", self.origin, self.what),
            None => write!(f, "{}: {}", self.origin, self.what),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(super) fn add(&mut self, key: &'static str, origin: &Origin, what: String) {
        self.push(Problem { setting: Some(key), origin: origin.clone(), what });
    }

    pub(super) fn none(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}
