//! A user and a password.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most bytes read from a file.
const MAX_FILE: u64 = 64 << 10;

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file cannot be read.
    #[error("the file {} with the login of Cassandra cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is incomplete. The message has nothing of its contents.
    #[error("the file {} with the login of Cassandra is unusable: {problem}; write the lines user = NAME and password = SECRET", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A user and a password. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    /// A login.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// The login in a file of the lines `user = NAME` and `password = SECRET`. Lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// The file cannot be read or is incomplete.
    pub fn from_file(path: &Path) -> Result<Self, LoginError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|source| LoginError::Unreadable { path: path.to_owned(), source })?;
        Self::read(&text).map_err(|problem| LoginError::Incomplete { path: path.to_owned(), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let (mut user, mut password) = ("", "");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once('=').ok_or("a line is not NAME = VALUE")?;
            match name.trim() {
                "user" => user = value.trim(),
                "password" => password = value.trim(),
                _ => return Err("a line is neither the user nor the password"),
            }
        }
        match (user, password) {
            ("", _) => Err("the user is missing"),
            (_, "") => Err("the password is missing"),
            (user, password) => Ok(Self::new(user, password)),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_two_lines_and_its_password_is_never_shown() {
        let login = Login::read("# of the crawler\nuser = twm\n\n password=a=b c \n").unwrap();
        assert_eq!(login, Login::new("twm", "a=b c"));
        assert_eq!(format!("{login:?}"), "Login(twm)");
        for (text, problem) in [
            ("", "the user is missing"),
            ("user = twm", "the password is missing"),
            ("twm\ns3cret", "not NAME = VALUE"),
            ("user = a\npasword = s3cret", "neither the user"),
        ] {
            assert!(Login::read(text).unwrap_err().contains(problem), "{text}");
        }
        let missing = Login::from_file(Path::new("/nowhere/login")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/login"), "{missing}");
    }
}
