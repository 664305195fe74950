//! Secrets in files, which appear neither on the command line nor in the environment.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes read from such a file.
const MAX_FILE: u64 = 64 << 10;

/// Why a file contains no secret. The messages include neither its name nor its contents.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read, or is not text.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is empty, or its first line is.
    #[error("its first line is empty; write the secret there")]
    Empty,
}

/// The secret in a file: its first line, trimmed.
///
/// # Errors
/// The file cannot be read, or its first line is empty.
pub fn first_line(path: &Path) -> Result<String, SecretError> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or(SecretError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_and_a_file_without_one_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(first_line(&path), Err(SecretError::Unreadable(_))));
        for (text, secret) in
            [("open sesame \nand more\n", Some("open sesame")), ("", None), ("\nlate\n", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(first_line(&path).ok().as_deref(), secret, "{text:?}");
        }
    }
}
