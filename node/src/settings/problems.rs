//! What is wrong with settings.

use std::fmt;

use super::Origin;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An unknown flag, or help was asked for.
    #[error(transparent)]
    Command(#[from] clap::Error),
    /// Values that are not allowed.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// Everything that is wrong with the settings.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// Of which setting; `None` for a file as a whole.
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
