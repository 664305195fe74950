//! The patterns of `matches`, compiled once per rule.
//!
//! CEL's own `matches` compiles its pattern at each call, and thus for each profile; the interpreter is built without
//! it.

use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, DeclarationError, ExecutionError};
use regex::{Regex, RegexBuilder};

/// Most patterns of a rule.
const MOST: usize = 8;

/// Most memory of a compiled pattern, bytes: some twenty times that of `\w`.
const COMPILED: usize = 1 << 20;

/// Most memory of a search's automaton, bytes. Beyond it a search is slower, but still linear.
const SEARCHING: usize = 256 << 10;

/// Compiled patterns by their text.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    compiled: Arc<HashMap<String, Regex>>,
}

impl Patterns {
    /// Compiles a pattern of the rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), String> {
        if self.compiled.contains_key(pattern) {
            return Ok(());
        }
        if self.compiled.len() == MOST {
            return Err(format!("it is one of more than {MOST}; join patterns with |"));
        }
        let built = RegexBuilder::new(pattern).size_limit(COMPILED).dfa_size_limit(SEARCHING).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("it takes more than {COMPILED} bytes when compiled"),
            // The last line names the error; those before it show the pattern.
            other => {
                other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })?;
        Arc::make_mut(&mut self.compiled).insert(pattern.to_owned(), regex);
        Ok(())
    }

    /// Adds the function `matches` to an evaluation.
    pub(super) fn offer_to(&self, context: &mut Context<'_, '_>) -> Result<(), DeclarationError> {
        let compiled = Arc::clone(&self.compiled);
        context.add_function("matches", move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let regex = compiled.get(pattern.as_str());
            regex
                .map(|regex| regex.is_match(&text))
                .ok_or_else(|| ExecutionError::function_error("matches", "the pattern was not compiled"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_and_the_size_of_patterns_are_bounded() {
        let mut patterns = Patterns::default();
        let error = patterns.add(r"(\w{50}){50}").unwrap_err();
        assert!(error.contains("bytes when compiled"), "{error}");
        assert_eq!(patterns.add("(").unwrap_err(), "unclosed group");
        for pattern in 0..MOST {
            patterns.add(&format!("^{pattern}$")).unwrap();
        }
        patterns.add("^0$").unwrap();
        let error = patterns.add("one more").unwrap_err();
        assert!(error.contains("join patterns"), "{error}");
    }
}
