//! URLs of a keyspace.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The port of a server without another one in the URL.
pub const DEFAULT_PORT: u16 = 9042;

/// Longest name of a keyspace, as Cassandra has it.
const MAX_KEYSPACE: usize = 48;

/// Why a text is not a [`CassandraUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Cassandra URL {url}: {problem}; write cassandra://HOST[:PORT][,HOST[:PORT]...]/KEYSPACE")]
pub struct CassandraUrlError {
    /// The text, without a user and a password.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A keyspace and some servers of its cluster: `cassandra://HOST[:PORT][,HOST[:PORT]...]/KEYSPACE`.
///
/// The other servers are found through those that are named. The URL contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraUrl {
    servers: Vec<(String, u16)>,
    keyspace: String,
}

impl CassandraUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// It is invalid.
    pub fn parse(text: &str) -> Result<Self, CassandraUrlError> {
        let text = text.trim();
        Self::read(text).map_err(|problem| CassandraUrlError { url: hide_login(text), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("cassandra") => rest,
            Some(_) => return Err("its scheme is not cassandra"),
            None => return Err("it has no scheme"),
        };
        if rest.contains('@') {
            return Err("it takes no user and no password; give them in a file");
        }
        if rest.contains(['?', '#']) {
            return Err("it takes no options");
        }
        let (servers, keyspace) = rest.split_once('/').ok_or("it names no keyspace")?;
        let servers: Vec<_> = servers.split(',').map(server).collect::<Result<_, _>>()?;
        let keyspace = keyspace.strip_suffix('/').unwrap_or(keyspace);
        check_keyspace(keyspace)?;
        Ok(Self { servers, keyspace: keyspace.to_owned() })
    }

    /// The servers that are named, hosts without brackets.
    pub fn servers(&self) -> &[(String, u16)] {
        &self.servers
    }

    /// The keyspace.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }
}

fn server(text: &str) -> Result<(String, u16), &'static str> {
    let bad_port = "a port is no number from 1 to 65535";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("an IPv6 address has no closing bracket")?;
            host.parse::<Ipv6Addr>().map_err(|_| "what is in brackets is no IPv6 address")?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(bad_port)?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let in_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() {
        return Err("a host is missing");
    }
    if !host.bytes().all(in_a_name) {
        return Err("a host has characters that no host has");
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(bad_port)?,
    };
    Ok((host.to_owned(), port))
}

fn check_keyspace(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() {
        return Err("it names no keyspace");
    }
    if name.contains('/') {
        return Err("there is something behind the keyspace");
    }
    // Capital letters need quotes in every statement that a person writes.
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(allowed) {
        return Err("a keyspace is named by a-z, 0-9 and _, a letter first");
    }
    if name.len() > MAX_KEYSPACE {
        return Err("its keyspace has more than 48 characters");
    }
    if name == "system" || name.starts_with("system_") {
        return Err("this keyspace is one of Cassandra's own");
    }
    Ok(())
}

/// What stands before an @ may be a secret.
fn hide_login(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("cassandra://***@{rest}"),
        None => text.to_owned(),
    }
}

impl fmt::Display for CassandraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cassandra://")?;
        for (place, (host, port)) in self.servers.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]")?,
                false => write!(f, "{comma}{host}")?,
            }
            if *port != DEFAULT_PORT {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.keyspace)
    }
}

impl FromStr for CassandraUrl {
    type Err = CassandraUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_and_a_keyspace() {
        let url = CassandraUrl::parse(" Cassandra://a.example,10.0.0.2:9999,[::1],[::2]:7/twm_1/ ").unwrap();
        let expected = [("a.example", 9042), ("10.0.0.2", 9999), ("::1", 9042), ("::2", 7)];
        assert_eq!(url.servers(), expected.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!(url.keyspace(), "twm_1");
        assert_eq!(url.to_string(), "cassandra://a.example,10.0.0.2:9999,[::1],[::2]:7/twm_1");
        assert_eq!(url.to_string().parse(), Ok(url));
    }

    #[test]
    fn a_url_that_is_wrong_in_any_part_says_in_which() {
        for (url, problem) in [
            ("", "it has no scheme"),
            ("s3://a/b", "its scheme is not"),
            ("cassandra://", "it names no keyspace"),
            ("cassandra://a", "it names no keyspace"),
            ("cassandra://a/", "it names no keyspace"),
            ("cassandra:///b", "a host is missing"),
            ("cassandra://a,,b/c", "a host is missing"),
            ("cassandra://a b/c", "characters that no host"),
            ("cassandra://a:0/c", "a port is no number"),
            ("cassandra://a:x/c", "a port is no number"),
            ("cassandra://[::1/c", "no closing bracket"),
            ("cassandra://[x]/c", "no IPv6 address"),
            ("cassandra://[::1]9/c", "a port is no number"),
            ("cassandra://a/b/c", "something behind"),
            ("cassandra://a/Twm", "is named by a-z"),
            ("cassandra://a/7", "is named by a-z"),
            ("cassandra://a/system_auth", "Cassandra's own"),
            (&format!("cassandra://a/{}", "k".repeat(49)), "more than 48"),
            ("cassandra://a/b?c", "takes no options"),
            ("cassandra://me:s3cret@a/b", "takes no user"),
        ] {
            let error = CassandraUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("cassandra://HOST"), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
