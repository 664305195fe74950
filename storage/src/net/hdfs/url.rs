//! URLs of a folder of an HDFS.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What stands for something else in a URL.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');

/// Longest path, in bytes: a name node takes 8,000, and the names of files need some.
const MAX_PATH: usize = 4_000;

/// Why a text is not an [`HdfsUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the HDFS URL {url}: {problem}; write hdfs://HOST:PORT[,HOST:PORT]/PATH, or hdfs://NAMESERVICE/PATH")]
pub struct HdfsUrlError {
    /// The text, without a user and a password.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A folder of an HDFS: `hdfs://HOST:PORT[,HOST:PORT]/PATH` with the name nodes of one file system, or
/// `hdfs://NAMESERVICE/PATH` with a name that Hadoop's settings explain (`HADOOP_CONF_DIR`).
///
/// The path is percent-decoded, so `%23` stands for `#` and `%25` for `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HdfsUrl {
    servers: Servers,
    path: String,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Servers {
    /// `HOST:PORT` of each name node.
    Addresses(Vec<String>),
    /// A name service.
    Named(String),
}

impl HdfsUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// It is invalid.
    pub fn parse(text: &str) -> Result<Self, HdfsUrlError> {
        let text = text.trim();
        Self::read(text).map_err(|problem| HdfsUrlError { url: hide_login(text), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("hdfs") => rest,
            Some(_) => return Err("its scheme is not hdfs"),
            None => return Err("it has no scheme"),
        };
        if rest.contains('?') {
            return Err("it takes no options; write %3F for a question mark in the path");
        }
        if rest.contains('#') {
            return Err("it takes no fragment; write %23 for a number sign in the path");
        }
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        if servers.contains('@') {
            return Err("it takes no user; set HADOOP_USER_NAME");
        }
        Ok(Self { servers: read_servers(servers)?, path: read_path(path)? })
    }

    /// The folder's absolute path, decoded; `/` for the whole file system.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }
}

fn read_servers(text: &str) -> Result<Servers, &'static str> {
    if text.is_empty() {
        return Err("it names no name node");
    }
    if !text.contains(':') && !text.contains(',') {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        return match text.chars().all(plain) {
            true => Ok(Servers::Named(text.to_owned())),
            false => Err("its name service has characters that no name has"),
        };
    }
    let mut addresses = Vec::new();
    for address in text.split(',') {
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err("each of several name nodes needs a port");
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match bracketed {
            Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
        };
        if !good {
            return Err("a host has characters that no host has; an IPv6 address stands in brackets");
        }
        if !port.parse().is_ok_and(|port: u16| port > 0) {
            return Err("a port is not a number from 1 to 65535");
        }
        addresses.push(address.to_owned());
    }
    Ok(Servers::Addresses(addresses))
}

fn read_path(text: &str) -> Result<String, &'static str> {
    let path = percent_decode_str(text).decode_utf8().map_err(|_| "its path is not UTF-8")?;
    let path = path.trim_start_matches('/').trim_end_matches('/');
    if path.len() > MAX_PATH {
        return Err("its path has more than 4000 bytes");
    }
    if path.chars().any(char::is_control) {
        return Err("its path has control characters");
    }
    if path.contains(':') {
        return Err("its path has a colon, which no name in HDFS has");
    }
    if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("its path has a part that is empty, . or ..");
    }
    Ok(format!("/{path}"))
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

impl FromStr for HdfsUrl {
    type Err = HdfsUrlError;

    fn from_str(text: &str) -> Result<Self, HdfsUrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for HdfsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::Addresses(addresses) => write!(f, "hdfs://{}", addresses.join(","))?,
            Servers::Named(name) => write!(f, "hdfs://{name}")?,
        }
        match self.path.as_str() {
            "/" => Ok(()),
            path => write!(f, "{}", utf8_percent_encode(path, ENCODED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_name_nodes_and_a_path_and_is_shown_as_it_is_read() {
        for (text, path, shown) in [
            ("hdfs://a:8020", "/", "hdfs://a:8020"),
            (" HDFS://a:8020/ ", "/", "hdfs://a:8020"),
            ("hdfs://a:8020,b.c:9000/x/y/", "/x/y", "hdfs://a:8020,b.c:9000/x/y"),
            ("hdfs://[::1]:8020/x", "/x", "hdfs://[::1]:8020/x"),
            ("hdfs://prod/data/set", "/data/set", "hdfs://prod/data/set"),
            ("hdfs://a:1/a b/%23%25", "/a b/#%", "hdfs://a:1/a%20b/%23%25"),
        ] {
            let url = HdfsUrl::parse(text).unwrap();
            assert_eq!((url.path(), url.to_string().as_str()), (path, shown), "{text}");
            assert_eq!(HdfsUrl::parse(shown).unwrap(), url, "{shown}");
        }
    }

    #[test]
    fn each_wrong_part_is_named_and_no_password_is_shown() {
        for (text, problem) in [
            ("a:8020/x", "it has no scheme"),
            ("s3://a/x", "its scheme is not hdfs"),
            ("hdfs://", "it names no name node"),
            ("hdfs:///x", "it names no name node"),
            ("hdfs://a,b/x", "each of several name nodes needs a port"),
            ("hdfs://a:1,b/x", "each of several name nodes needs a port"),
            ("hdfs://a:x/x", "a port is not a number from 1 to 65535"),
            ("hdfs://a:0/x", "a port is not a number from 1 to 65535"),
            ("hdfs://:1/x", "a host has characters that no host has; an IPv6 address stands in brackets"),
            ("hdfs://::1:80/x", "a host has characters that no host has; an IPv6 address stands in brackets"),
            ("hdfs://a b/x", "its name service has characters that no name has"),
            ("hdfs://me:secret@a:1/x", "it takes no user; set HADOOP_USER_NAME"),
            ("hdfs://a:1/x?y", "it takes no options; write %3F for a question mark in the path"),
            ("hdfs://a:1/x#y", "it takes no fragment; write %23 for a number sign in the path"),
            ("hdfs://a:1/x//y", "its path has a part that is empty, . or .."),
            ("hdfs://a:1/x/%2e%2e/y", "its path has a part that is empty, . or .."),
            ("hdfs://a:1/x:y", "its path has a colon, which no name in HDFS has"),
            ("hdfs://a:1/x%0Ay", "its path has control characters"),
            ("hdfs://a:1/%ff", "its path is not UTF-8"),
        ] {
            let error = HdfsUrl::parse(text).unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
