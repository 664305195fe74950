//! URLs of a bucket.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ::url::Url;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What stands for something else in a URL.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

/// Longest prefix, in bytes: a key has at most 1,024, and the rest of it needs some.
const MAX_PREFIX: usize = 512;

/// Why a text is not an [`S3Url`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the S3 URL {url}: {problem}; write s3://BUCKET[/PREFIX]")]
pub struct S3UrlError {
    /// The text, without a user and a password.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A bucket, or the part of it below a prefix: `s3://BUCKET[/PREFIX]`.
///
/// The prefix is a folder: `s3://b/x` holds `x/KEY`, not `xy`. It is percent-decoded, so `%23` stands for `#`
/// and `%25` for `%`. The URL names no server and contains no secret: see [`S3Options`](super::S3Options).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    bucket: String,
    prefix: String,
}

impl S3Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// It is invalid.
    pub fn parse(text: &str) -> Result<Self, S3UrlError> {
        let text = text.trim();
        Self::read(text).map_err(|problem| S3UrlError { url: hide_login(text), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => rest,
            Some(_) => return Err("its scheme is not s3"),
            None => return Err("it has no scheme"),
        };
        // The parser resolves these without a word.
        if rest.split(['/', '\\']).skip(1).any(|part| matches!(decoded(part).as_deref(), Ok("." | ".."))) {
            return Err("its prefix has a part that is . or ..");
        }
        if rest.is_empty() || rest.starts_with('/') {
            return Err("it names no bucket");
        }
        let url = Url::parse(text).map_err(|error| match error {
            ::url::ParseError::EmptyHost => "it names no bucket",
            ::url::ParseError::InvalidPort => "it takes no port; the server is named by the endpoint",
            _ => "its bucket has characters that no bucket has",
        })?;
        if !url.username().is_empty()
            || url.password().is_some()
            || rest.split('/').next().is_some_and(|host| host.contains('@'))
        {
            return Err(
                "it takes no user and no password; give the credentials in a file or in the environment",
            );
        }
        if url.port().is_some() {
            return Err("it takes no port; the server is named by the endpoint");
        }
        if url.query().is_some() {
            return Err("it takes no options; write %3F for a question mark in the prefix");
        }
        if url.fragment().is_some() {
            return Err("it takes no fragment; write %23 for a number sign in the prefix");
        }
        let bucket = url.host_str().unwrap_or_default();
        check_bucket(bucket)?;
        let prefix = decoded(url.path())?;
        let prefix = prefix.trim_start_matches('/');
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        check_prefix(prefix)?;
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix, decoded and without slashes at its ends; empty for the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn check_bucket(name: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    if name.is_empty() {
        return Err("it names no bucket");
    }
    if !(3..=63).contains(&bytes.len()) {
        return Err("a bucket's name has 3 to 63 characters");
    }
    if !bytes.iter().all(|&byte| plain(byte) || byte == b'-' || byte == b'.') {
        return Err("a bucket's name has only lower-case letters, digits, hyphens and dots");
    }
    if !bytes.first().zip(bytes.last()).is_some_and(|(&first, &last)| plain(first) && plain(last)) {
        return Err("a bucket's name begins and ends with a letter or a digit");
    }
    if name.contains("..") {
        return Err("a bucket's name has no two dots in a row");
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err("a bucket's name is not an IP address; the server is named by the endpoint");
    }
    Ok(())
}

fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.len() > MAX_PREFIX {
        return Err("its prefix has more than 512 bytes");
    }
    if prefix.chars().any(char::is_control) {
        return Err("its prefix has control characters");
    }
    if !prefix.is_empty() && prefix.split('/').any(str::is_empty) {
        return Err("its prefix has an empty part");
    }
    Ok(())
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "its prefix is not UTF-8")?;
    Ok(decoded.into_owned())
}

/// A text that may contain a password, for display.
fn hide_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let colon = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}{colon}***@{rest}"),
        None => text.to_owned(),
    }
}

impl FromStr for S3Url {
    type Err = S3UrlError;

    fn from_str(text: &str) -> Result<Self, S3UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", utf8_percent_encode(&self.prefix, ENCODED))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_a_prefix_and_is_shown_as_it_is_read() {
        for (text, bucket, prefix, shown) in [
            ("s3://twm", "twm", "", "s3://twm"),
            (" S3://twm/ ", "twm", "", "s3://twm"),
            ("s3://a.b-c/x/y/", "a.b-c", "x/y", "s3://a.b-c/x/y"),
            ("s3://twm//x", "twm", "x", "s3://twm/x"),
            ("s3://twm/a b/%23%25", "twm", "a b/#%", "s3://twm/a%20b/%23%25"),
            ("s3://twm/d\u{e9}j\u{e0}", "twm", "d\u{e9}j\u{e0}", "s3://twm/d%C3%A9j%C3%A0"),
        ] {
            let url = S3Url::parse(text).unwrap();
            assert_eq!((url.bucket(), url.prefix()), (bucket, prefix), "{text}");
            assert_eq!(url.to_string(), shown);
            assert_eq!(S3Url::parse(shown).unwrap(), url, "{shown}");
        }
    }

    #[test]
    fn each_wrong_part_is_named_and_no_password_is_shown() {
        for (text, problem) in [
            ("twm/x", "it has no scheme"),
            ("http://twm", "its scheme is not s3"),
            ("s3://", "it names no bucket"),
            ("s3:///x", "it names no bucket"),
            ("s3://ab", "a bucket's name has 3 to 63 characters"),
            ("s3://Twm", "a bucket's name has only lower-case letters, digits, hyphens and dots"),
            ("s3://t_m", "a bucket's name has only lower-case letters, digits, hyphens and dots"),
            ("s3://-twm", "a bucket's name begins and ends with a letter or a digit"),
            ("s3://t..m", "a bucket's name has no two dots in a row"),
            ("s3://10.0.0.1/x", "a bucket's name is not an IP address; the server is named by the endpoint"),
            ("s3://t m", "its bucket has characters that no bucket has"),
            (
                "s3://key:secret@twm/x",
                "it takes no user and no password; give the credentials in a file or in the environment",
            ),
            ("s3://twm:9000/x", "it takes no port; the server is named by the endpoint"),
            ("s3://twm:x/x", "it takes no port; the server is named by the endpoint"),
            ("s3://twm/x?y=1", "it takes no options; write %3F for a question mark in the prefix"),
            ("s3://twm/x#y", "it takes no fragment; write %23 for a number sign in the prefix"),
            ("s3://twm/x/../y", "its prefix has a part that is . or .."),
            ("s3://twm/%2e%2e/y", "its prefix has a part that is . or .."),
            ("s3://twm/x//y", "its prefix has an empty part"),
            ("s3://twm/x%0Ay", "its prefix has control characters"),
            ("s3://twm/%ff", "its prefix is not UTF-8"),
        ] {
            let error = S3Url::parse(text).unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for login in ["key@", ":secret@", "@"] {
            let error = S3Url::parse(&format!("s3://{login}twm/x")).unwrap_err();
            assert!(error.problem.starts_with("it takes no user and no password"), "{login}: {error}");
            assert!(error.to_string().contains("s3://***@twm/x"), "{error}");
        }
        assert!(S3Url::parse("twm/x").unwrap_err().to_string().contains("twm/x"));
        assert!(S3Url::parse(&format!("s3://twm/{}", "x".repeat(512))).is_ok());
        let long = format!("s3://twm/{}", "x".repeat(513));
        assert_eq!(S3Url::parse(&long).unwrap_err().problem, "its prefix has more than 512 bytes");
    }
}
