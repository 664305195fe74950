//! Settings of the source.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::ids::is_collection;
use crate::http_client::ForeignHosts;

/// Most collections: the cursor of a walk has a place in each.
const MOST_COLLECTIONS: usize = 8;

/// Where Bluesky is, and what of it is crawled.
#[derive(Debug, Clone)]
pub struct BlueskySettings {
    /// The AppView: followers, profiles and handles. By default `https://public.api.bsky.app/`.
    pub appview: String,
    /// The directory of DIDs. By default `https://plc.directory/`.
    pub plc: String,
    /// The collections that make up a timeline. By default posts and reposts.
    pub collections: Vec<String>,
    /// Largest repository that is fetched whole, bytes; larger ones are read in pages. By default 256 MiB.
    pub repository_limit: u64,
    /// Longest time that a repository may take to arrive. By default 10 minutes.
    pub repository_timeout: Duration,
    /// Whether accounts are crawled that are labelled `!no-unauthenticated`. By default they are not.
    pub signed_in_only: bool,
    /// The `User-Agent` of all requests. Public hosts expect a contact in it, such as a mail address.
    pub user_agent: String,
    /// A folder for repositories while they are read. Nothing stays in it.
    pub spool: PathBuf,
    /// Most bytes in it, of all repositories that are read at once; one that finds no room is read in pages. By default 1
    /// GiB, and at least the limit of one repository.
    pub spool_limit: u64,
    /// Where hosts may be that accounts name. By default on the public internet.
    pub foreign_hosts: ForeignHosts,
    /// Whether handles are looked up at their own hosts without asking the AppView before. By default, those that it does not
    /// know are.
    pub own_handles: bool,
    /// The name servers that are asked for handles; by default those of this host.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// Where the hosts of handles are reached, for tests: each request names its host in the `Host` header.
    pub handle_gateway: Option<String>,
}

impl BlueskySettings {
    /// The public network, crawled by `user_agent`, with repositories spooled in `spool`.
    pub fn new(user_agent: impl Into<String>, spool: impl Into<PathBuf>) -> Self {
        Self {
            appview: "https://public.api.bsky.app/".to_owned(),
            plc: "https://plc.directory/".to_owned(),
            collections: ["app.bsky.feed.post", "app.bsky.feed.repost"].map(str::to_owned).to_vec(),
            repository_limit: 256 << 20,
            repository_timeout: Duration::from_secs(600),
            signed_in_only: false,
            user_agent: user_agent.into(),
            spool: spool.into(),
            spool_limit: 1 << 30,
            foreign_hosts: ForeignHosts::Public,
            own_handles: false,
            name_servers: None,
            handle_gateway: None,
        }
    }
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum BlueskySettingsError {
    /// No origin of an HTTP server.
    #[error("{url:?} is no address of {what}: give a scheme and a host, such as {example}")]
    Url {
        /// The setting's value.
        url: String,
        /// What is expected there.
        what: &'static str,
        /// A good value.
        example: &'static str,
    },
    /// Not the name of a collection, or too many or none.
    #[error("{0}; give 1 to {MOST_COLLECTIONS} names such as app.bsky.feed.post")]
    Collections(String),
    /// Not printable, or empty.
    #[error(
        "the user agent {0:?} cannot be sent; give printable ASCII with a contact, such as \"mycrawl/1 (me@example.org)\""
    )]
    UserAgent(String),
}

/// Settings that were read.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) appview: Url,
    pub(super) plc: Url,
    /// Sorted by name, each once.
    pub(super) collections: Vec<String>,
    pub(super) user_agent: HeaderValue,
}

pub(super) fn check(settings: &BlueskySettings) -> Result<Checked, BlueskySettingsError> {
    let mut collections = settings.collections.clone();
    collections.sort();
    collections.dedup();
    if let Some(bad) = collections.iter().find(|name| !is_collection(name)) {
        return Err(BlueskySettingsError::Collections(format!("{bad:?} is no name of a collection")));
    }
    if !(1..=MOST_COLLECTIONS).contains(&collections.len()) {
        return Err(BlueskySettingsError::Collections(format!("{} collections", collections.len())));
    }
    let agent = &settings.user_agent;
    let printable = !agent.trim().is_empty() && agent.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let header = HeaderValue::from_str(agent).ok().filter(|_| printable);
    Ok(Checked {
        appview: origin(&settings.appview, "an AppView", "https://public.api.bsky.app")?,
        plc: origin(&settings.plc, "a PLC directory", "https://plc.directory")?,
        collections,
        user_agent: header.ok_or_else(|| BlueskySettingsError::UserAgent(agent.clone()))?,
    })
}

fn origin(text: &str, what: &'static str, example: &'static str) -> Result<Url, BlueskySettingsError> {
    let url = Url::parse(text).ok().filter(is_origin);
    url.ok_or_else(|| BlueskySettingsError::Url { url: text.to_owned(), what, example })
}

/// Whether a URL is a scheme, a host and perhaps a port.
pub(super) fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_public_network_and_what_cannot_be_is_refused() {
        let good = BlueskySettings::new("twm (me@example.org)", "/tmp");
        let checked = check(&good).unwrap();
        assert_eq!(checked.collections, ["app.bsky.feed.post", "app.bsky.feed.repost"]);
        let agent =
            |user_agent: &str| check(&BlueskySettings { user_agent: user_agent.into(), ..good.clone() });
        for bad in ["", " ", "a\nb", "caf\u{e9}"] {
            assert!(matches!(agent(bad), Err(BlueskySettingsError::UserAgent(_))), "{bad:?}");
        }
        for bad in ["", "localhost:1", "ftp://a.b", "https://a.b/xrpc", "https://a.b/?x", "https://me:x@a.b"]
        {
            assert!(check(&BlueskySettings { plc: bad.into(), ..good.clone() }).is_err(), "{bad:?}");
        }
        for bad in [
            vec![],
            vec!["posts".to_owned()],
            vec!["a.b.c/d".to_owned()],
            (0..9).map(|n| format!("a.b.c{n}")).collect(),
        ] {
            assert!(check(&BlueskySettings { collections: bad, ..good.clone() }).is_err());
        }
    }
}
