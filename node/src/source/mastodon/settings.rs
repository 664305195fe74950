//! Settings of the source.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::HeaderValue;

/// Hosts of the Mastodon API.
#[derive(Debug, Clone, Default)]
pub struct MastodonSettings {
    /// Bearer tokens by host.
    pub tokens: BTreeMap<String, String>,
    /// Base URLs of the hosts whose API is not at `https://HOST/`, such as `https://social.example.com/` for the
    /// accounts `@user@example.com`.
    pub apis: BTreeMap<String, String>,
    /// Where all other hosts are reached, for tests: each request names its host in the `Host` header.
    pub gateway: Option<String>,
    /// The `User-Agent` of all requests, with a contact; absent: that of the client.
    pub user_agent: Option<String>,
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum MastodonSettingsError {
    /// A name that is no host's.
    #[error("{host:?} is no host of Mastodon: {what}; give its name as in @user@HOST")]
    Host {
        /// The setting's value.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// Not the base URL of an API.
    #[error("{url:?} is no base URL of an API: {what}; give one such as https://social.example.com/")]
    BaseUrl {
        /// The setting's value.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Not printable, or empty.
    #[error("the user agent {0:?} cannot be sent; give printable ASCII characters with a contact")]
    UserAgent(String),
    /// A token that does not fit into a header.
    #[error(
        "the token of {host} has characters that no token has; check for line breaks and spaces around it"
    )]
    Token {
        /// The host.
        host: String,
    },
}

/// The base of all URLs of an API: scheme and authority.
pub(super) fn base_url(text: &str) -> Result<Url, MastodonSettingsError> {
    let error = |what| MastodonSettingsError::BaseUrl { url: text.to_owned(), what };
    let url = Url::parse(text).map_err(|_| error("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("it does not begin with http:// or https:// and a host"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(error("it has a path, a query or a fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("it has a user or a password"));
    }
    Ok(url)
}

/// The header that names the crawler.
pub(super) fn agent(text: &str) -> Result<HeaderValue, MastodonSettingsError> {
    let printable = !text.trim().is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let header = HeaderValue::from_str(text).ok().filter(|_| printable);
    header.ok_or_else(|| MastodonSettingsError::UserAgent(text.to_owned()))
}

/// The header of a token.
pub(super) fn bearer(host: &str, token: &str) -> Result<HeaderValue, MastodonSettingsError> {
    let printable = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| printable);
    let mut header = header.ok_or_else(|| MastodonSettingsError::Token { host: host.to_owned() })?;
    header.set_sensitive(true);
    Ok(header)
}
