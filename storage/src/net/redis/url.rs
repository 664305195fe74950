//! URLs of a Redis.
//!
//! They are read by hand: the `url` crate accepts neither a list of sentinels nor a password with an unencoded `/` or `@`.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::RedisUrlError;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where a Redis is: `redis://[:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` likewise for TLS, or
/// `redis+sentinel://[:PASSWORD@]HOST[:PORT],.../MASTER[/DB]`, `rediss+sentinel://` likewise for TLS to the sentinels and to
/// their master.
///
/// A user name may stand before the password. Both are percent-decoded. Shown, also for debugging, the password is
/// hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Server { address: Address, tls: bool },
    Sentinels { sentinels: Vec<Address>, master: String, tls: bool },
}

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// It is invalid; the error shows it without its password.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        Self::read(text.trim()).map_err(|problem| RedisUrlError { url: hide_password(text.trim()), problem })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        // The last one: a password with an unencoded `@` works too.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        if rest.contains(['?', '#']) {
            return Err("it takes no options");
        }
        let (user, password) = login.map_or((None, None), read_login);
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (place, db) = match scheme {
            "redis" | "rediss" => {
                let address = Address::parse(hosts, REDIS_PORT)?;
                (Place::Server { address, tls: scheme == "rediss" }, path)
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let sentinels = hosts.split(',').map(|host| Address::parse(host, SENTINEL_PORT));
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err("it names no master");
                }
                (
                    Place::Sentinels {
                        sentinels: sentinels.collect::<Result<_, _>>()?,
                        master: decoded(master),
                        tls: scheme == "rediss+sentinel",
                    },
                    db,
                )
            }
            _ => return Err("its scheme is not known"),
        };
        Ok(Self { place, user, password, db: read_db(db)? })
    }
}

/// `user:password`, `:password`, or a password alone.
fn read_login(login: &str) -> (Option<String>, Option<String>) {
    let some = |text: &str| (!text.is_empty()).then(|| decoded(text));
    match login.split_once(':') {
        Some((user, password)) => (some(user), some(password)),
        None => (None, some(login)),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn read_db(text: &str) -> Result<i64, &'static str> {
    match text {
        "" => Ok(0),
        digits => digits.parse().ok().filter(|db| *db >= 0).ok_or("its database is no number"),
    }
}

impl Address {
    fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, port) =
                    inner.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => text.rsplit_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some("") => Some(default_port),
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => None,
        };
        let port = port.ok_or("a port is no number from 1 to 65535")?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("a host is missing");
        }
        if host.contains(':') && !text.starts_with('[') {
            return Err("an IPv6 address needs brackets, like [::1]:6379");
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.place {
            Place::Server { tls: false, .. } => "redis://",
            Place::Server { tls: true, .. } => "rediss://",
            Place::Sentinels { tls: false, .. } => "redis+sentinel://",
            Place::Sentinels { tls: true, .. } => "rediss+sentinel://",
        })?;
        f.write_str(self.user.as_deref().unwrap_or_default())?;
        f.write_str(match (&self.user, &self.password) {
            (_, Some(_)) => ":***@",
            (Some(_), None) => "@",
            (None, None) => "",
        })?;
        match &self.place {
            Place::Server { address, .. } => write!(f, "{address}")?,
            Place::Sentinels { sentinels, master, .. } => {
                let all: Vec<_> = sentinels.iter().map(Address::to_string).collect();
                write!(f, "{}/{master}", all.join(","))?;
            }
        }
        write!(f, "/{}", self.db)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// A text that may contain a password, for display.
fn hide_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let colon = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}{colon}***@{rest}"),
        // A colon without digits behind it may be a password whose `@HOST` was forgotten.
        None if rest.split(['/', ',']).all(|part| !part.contains(':') || is_address(part)) => text.to_owned(),
        None => format!("{scheme}{colon}***"),
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16, tls: bool) -> Place {
        Place::Server { address: Address { host: host.to_owned(), port }, tls }
    }

    #[test]
    fn urls_of_servers_are_read() {
        let url = RedisUrl::parse("redis://127.0.0.1:7000/3").unwrap();
        assert_eq!(
            (url.place, url.user, url.password, url.db),
            (server("127.0.0.1", 7000, false), None, None, 3)
        );
        let url = RedisUrl::parse(" rediss://:p%40ss/w@rd@[::1] ").unwrap();
        assert_eq!((url.place, url.password.as_deref()), (server("::1", 6379, true), Some("p@ss/w@rd")));
        let url = RedisUrl::parse("redis://alice:secret@redis.example").unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("alice"), Some("secret")));
        assert_eq!(RedisUrl::parse("redis://secret@a").unwrap().password.as_deref(), Some("secret"));
    }

    #[test]
    fn urls_of_sentinels_are_read() {
        let url = RedisUrl::parse("redis+sentinel://:x@a:1,b,[::1]:3/mymaster/2").unwrap();
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let sentinels = vec![address("a", 1), address("b", 26379), address("::1", 3)];
        assert_eq!(url.place, Place::Sentinels { sentinels, master: "mymaster".to_owned(), tls: false });
        assert_eq!(url.db, 2);
        assert_eq!(url.to_string(), "redis+sentinel://:***@a:1,b:26379,[::1]:3/mymaster/2");
        let url = RedisUrl::parse("rediss+sentinel://a/m").unwrap();
        assert!(matches!(url.place, Place::Sentinels { tls: true, .. }));
        assert_eq!(url.to_string(), "rediss+sentinel://a:26379/m/0");
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_reason_and_never_shows_its_password() {
        for (text, shown, problem) in [
            ("127.0.0.1:6379", "127.0.0.1:6379", "it has no scheme"),
            (":secret@127.0.0.1", "***@127.0.0.1", "it has no scheme"),
            ("http://:secret@a/", "http://***@a/", "its scheme is not known"),
            ("redis://", "redis://", "a host is missing"),
            ("redis://:secret@", "redis://***@", "a host is missing"),
            ("redis://:secret", "redis://***", "a port is no number from 1 to 65535"),
            ("redis://a:0", "redis://a:0", "a port is no number from 1 to 65535"),
            ("redis://:secret@a:70000", "redis://***@a:70000", "a port is no number from 1 to 65535"),
            ("redis://::1", "redis://::1", "an IPv6 address needs brackets, like [::1]:6379"),
            ("redis://[::1", "redis://[::1", "the bracket of an IPv6 address is not closed"),
            ("redis://a/x", "redis://a/x", "its database is no number"),
            ("redis://a/-1", "redis://a/-1", "its database is no number"),
            ("redis://a/0?protocol=3", "redis://a/0?protocol=3", "it takes no options"),
            ("redis+sentinel://a,b", "redis+sentinel://a,b", "it names no master"),
            ("redis+sentinel://a,/m", "redis+sentinel://a,/m", "a host is missing"),
        ] {
            let error = RedisUrl::parse(text).unwrap_err();
            assert_eq!((error.url.as_str(), error.problem), (shown, problem), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_url_never_shows_its_password() {
        let url = RedisUrl::parse("redis://alice:secret@a:1").unwrap();
        assert_eq!(url.to_string(), "redis://alice:***@a:1/0");
        assert_eq!(format!("{url:?}"), "RedisUrl(redis://alice:***@a:1/0)");
        assert_eq!(RedisUrl::parse("redis://a").unwrap().to_string(), "redis://a:6379/0");
    }
}
