//! Who asks.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most bytes read from a file.
const MAX_FILE: u64 = 64 << 10;

/// Most bytes of one value: session tokens have up to about 4 KiB.
const MAX_VALUE: usize = 16 << 10;

/// Why there are no credentials. The messages contain no secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read, or is not text.
    #[error("cannot read the S3 credentials in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file has no usable credentials.
    #[error(
        "the S3 credentials in {}: {problem}; write the lines [{profile}], aws_access_key_id = KEY and aws_secret_access_key = SECRET", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The section that was looked for.
        profile: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The environment has no usable credentials.
    #[error("the S3 credentials in the environment: {0}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Environment(&'static str),
}

/// An access key with its secret. Shown, also for debugging, the secrets are hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
}

impl Credentials {
    /// Credentials from their parts. A session token belongs to temporary credentials.
    ///
    /// # Errors
    /// A part is empty, too long, or has characters that no credentials have; the text says which.
    pub fn new(
        access_key: &str,
        secret_key: &str,
        session_token: Option<&str>,
    ) -> Result<Self, &'static str> {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= MAX_VALUE;
        if access_key.is_empty() {
            return Err("the access key is missing");
        }
        if secret_key.is_empty() {
            return Err("the secret key is missing");
        }
        if !plain(access_key) || access_key.contains(['/', ',']) {
            return Err("the access key has characters that no access key has");
        }
        if !plain(secret_key) {
            return Err("the secret key has characters that no secret key has");
        }
        let session_token = session_token.filter(|token| !token.is_empty());
        if !session_token.is_none_or(plain) {
            return Err("the session token has characters that no session token has");
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: session_token.map(str::to_owned),
        })
    }

    /// Credentials from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if it is set, `AWS_SESSION_TOKEN`;
    /// `None` if neither of the first two is set. `variable` returns the value of a variable, such as `|name|
    /// std::env::var(name).ok()`.
    ///
    /// # Errors
    /// Only one of them is set, or one cannot be used.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        let read = |name: &str| variable(name).map(|value| value.trim().to_owned()).unwrap_or_default();
        let (access_key, secret_key) = (read("AWS_ACCESS_KEY_ID"), read("AWS_SECRET_ACCESS_KEY"));
        if access_key.is_empty() && secret_key.is_empty() {
            return Ok(None);
        }
        let token = read("AWS_SESSION_TOKEN");
        Self::new(&access_key, &secret_key, Some(&token)).map(Some).map_err(CredentialsError::Environment)
    }

    /// Credentials from a file in the format of `~/.aws/credentials`, which `aws configure` writes:
    ///
    /// ```text
    /// [default]
    /// aws_access_key_id = KEY
    /// aws_secret_access_key = SECRET
    /// ```
    ///
    /// `aws_session_token` may follow. Other sections, other keys, and lines that begin with `#` or `;` are
    /// skipped. Lines before the first section belong to `default`, so that a file may do without it.
    /// `profile` is the section, by custom `default`.
    ///
    /// The file is read once: new credentials in it count for the next [`Bucket`](super::Bucket) that is
    /// opened.
    ///
    /// # Errors
    /// The file cannot be read, or the section is missing or incomplete.
    pub fn from_file(path: &Path, profile: &str) -> Result<Self, CredentialsError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })?;
        Self::read(&text, profile).map_err(|problem| CredentialsError::File {
            path: path.to_owned(),
            profile: profile.to_owned(),
            problem,
        })
    }

    fn read(text: &str, profile: &str) -> Result<Self, &'static str> {
        let (mut access_key, mut secret_key, mut token) = ("", "", "");
        let (mut here, mut found) = (profile == "default", false);
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[') {
                here = section.strip_suffix(']').is_some_and(|name| name.trim() == profile);
                found |= here;
                continue;
            }
            if !here {
                continue;
            }
            found = true;
            let (name, value) = line.split_once('=').ok_or("a line is not NAME = VALUE")?;
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" => access_key = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
        if !found {
            return Err("this section is missing");
        }
        Self::new(access_key, secret_key, Some(token))
    }

    /// The same text without the parts that are secret, in case a server repeats them.
    pub(super) fn hide_in(&self, text: &mut String) {
        for secret in [Some(&self.secret_key), self.session_token.as_ref()].into_iter().flatten() {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), "***");
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(credentials: &Credentials) -> (&str, &str, Option<&str>) {
        (&credentials.access_key, &credentials.secret_key, credentials.session_token.as_deref())
    }

    #[test]
    fn credentials_are_read_from_the_environment() {
        let of = |values: &[(&str, &str)]| {
            let values: Vec<_> =
                values.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            Credentials::from_environment(|name| {
                values.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SESSION_TOKEN", "t")]).unwrap(), None);
        let both = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", " s3cr+t/ ")];
        assert_eq!(parts(&of(&both).unwrap().unwrap()), ("key", "s3cr+t/", None));
        let all = [both[0], both[1], ("AWS_SESSION_TOKEN", "t")];
        assert_eq!(parts(&of(&all).unwrap().unwrap()), ("key", "s3cr+t/", Some("t")));
        assert!(of(&both[..1]).unwrap_err().to_string().contains("the secret key is missing"));
        assert!(of(&both[1..]).unwrap_err().to_string().contains("the access key is missing"));
        let error = of(&[("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "two words")]).unwrap_err();
        assert!(error.to_string().contains("the secret key has characters"), "{error}");
        assert!(!error.to_string().contains("two words"), "{error}");
    }

    #[test]
    fn credentials_are_read_from_the_file_that_aws_configure_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let of = |text: &str, profile: &str| {
            std::fs::write(&path, text).unwrap();
            Credentials::from_file(&path, profile)
        };
        let file = "# mine\n[default]\naws_access_key_id = key\naws_secret_access_key=se=cret\nregion = x\n\n[ other ]\r\nAWS_ACCESS_KEY_ID=k2\r\naws_secret_access_key = s2\r\naws_session_token = t2\r\n";
        assert_eq!(parts(&of(file, "default").unwrap()), ("key", "se=cret", None));
        assert_eq!(parts(&of(file, "other").unwrap()), ("k2", "s2", Some("t2")));
        let bare = "aws_access_key_id=key\naws_secret_access_key=secret";
        assert_eq!(parts(&of(bare, "default").unwrap()), ("key", "secret", None));
        for (text, profile, problem) in [
            (file, "third", "this section is missing"),
            (bare, "other", "this section is missing"),
            ("", "default", "this section is missing"),
            ("[default]\naws_access_key_id=key", "default", "the secret key is missing"),
            ("[default]\naws_secret_access_key=secret", "default", "the access key is missing"),
            ("key\nsecret", "default", "a line is not NAME = VALUE"),
        ] {
            let error = of(text, profile).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("credentials"), "{error}");
            assert!(!error.contains("se=cret"), "{error}");
        }
        let missing = Credentials::from_file(&folder.path().join("no"), "default").unwrap_err();
        assert!(matches!(missing, CredentialsError::Unreadable { .. }), "{missing}");
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let credentials = Credentials::new("key", "sesame", Some("token")).unwrap();
        let shown = format!("{credentials:?}");
        assert!(shown.contains("key") && !shown.contains("sesame") && !shown.contains("token"), "{shown}");
        let mut text = "you sent token and sesame".to_owned();
        credentials.hide_in(&mut text);
        assert_eq!(text, "you sent *** and ***");
    }
}
