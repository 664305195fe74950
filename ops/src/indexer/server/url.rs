//! URLs of a search server.

use std::fmt;

use reqwest::Url;

/// Where a search server is: `http[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX]`; the default port is 9200. Its
/// `Display` and `Debug` forms omit the password.
#[derive(Clone)]
pub(in crate::indexer) struct ServerUrl {
    /// Without user and password, ending with a slash.
    pub(super) base: Url,
    pub(super) login: Option<(String, String)>,
}

/// Why a text is not a URL of a search server.
#[derive(Debug, thiserror::Error)]
#[error("{shown} is no URL of a search server: {problem}; expected http[s]://[USER:PASSWORD@]HOST[:PORT]")]
pub(in crate::indexer) struct ServerUrlError {
    shown: String,
    problem: String,
}

const PORT: u16 = 9200;

impl ServerUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// It is invalid; the error shows it without its password.
    pub(in crate::indexer) fn parse(text: &str) -> Result<Self, ServerUrlError> {
        Self::read(text.trim()).map_err(|problem| ServerUrlError { shown: hide_login(text.trim()), problem })
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut base = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("its scheme is neither http nor https".to_owned());
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err("it takes no options".to_owned());
        }
        let decoded = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            form_urlencoded::parse(pairs.as_bytes())
                .next()
                .map(|(_, text)| text.into_owned())
                .unwrap_or_default()
        };
        let password = base.password().map(decoded);
        let login = match (base.username(), password) {
            ("", None) => None,
            (user, password) => Some((decoded(user), password.unwrap_or_default())),
        };
        let cannot = |()| "it names no host".to_owned();
        base.set_username("").map_err(cannot)?;
        base.set_password(None).map_err(cannot)?;
        // The standard ports of http and https count only if they are given explicitly, which a parsed URL
        // does not show.
        if base.port().is_none() && !says_port(text) {
            base.set_port(Some(PORT)).map_err(cannot)?;
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(Self { base, login })
    }
}

/// Whether the host is followed by a port.
fn says_port(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// A text that may contain a password, for display.
fn hide_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let colon = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}{colon}***@{rest}"),
        // A colon without digits behind it may be a password whose `@HOST` was forgotten.
        None if !rest.contains(':') || says_port(text) => text.to_owned(),
        None => format!("{scheme}{colon}***"),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.base.as_str();
        let text = text.strip_suffix('/').unwrap_or(text);
        match (&self.login, text.split_once("://")) {
            (Some((user, _)), Some((scheme, rest))) => write!(f, "{scheme}://{user}:***@{rest}"),
            _ => f.write_str(text),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_never_show_their_password() {
        for (text, base, shown) in [
            ("http://127.0.0.1:9201", "http://127.0.0.1:9201/", "http://127.0.0.1:9201"),
            ("http://a", "http://a:9200/", "http://a:9200"),
            ("https://a:443/es", "https://a/es/", "https://a/es"),
            ("https://u:s%40c+r@[::1]", "https://[::1]:9200/", "https://u:***@[::1]:9200"),
        ] {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!((url.base.as_str(), url.to_string().as_str()), (base, shown), "{text}");
            assert!(!format!("{url:?}").contains("s%40c"), "{url:?}");
        }
        let login = ServerUrl::parse("https://u:s%40c+r@a").unwrap().login;
        assert_eq!(login, Some(("u".to_owned(), "s@c+r".to_owned())));
        assert_eq!(ServerUrl::parse("http://a").unwrap().login, None);
        for text in [
            "u:secret@a:1",
            "ftp://u:secret@a",
            "http://u:secret@",
            "http://u:secret",
            "http://u:secret@a?x",
            "",
        ] {
            let error = ServerUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("http[s]://"), "{error}");
        }
    }
}
