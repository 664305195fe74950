//! Sources by name: the tables `[source.NAME]` of the settings file.

mod x;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::wire::bounds::MAX_SOURCES;
use storage::dataset::SourceName;
use storage::net::secret;

use super::problems::{Problem, Problems};
use super::{Origin, values};
use crate::source::x::{FACTS, XSettings};
use crate::source::{BLUESKY_RULE_FIELDS, mastodon};

/// The sources besides the default one, by name.
pub type Sources = BTreeMap<SourceName, SourceSettings>;

/// The kinds.
const KINDS: &str = "bluesky, mastodon, twitter and x";

/// The settings of one source, by the kind of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// The API v1 and v1.1 of Twitter, or of a server that is compatible with it.
    Twitter {
        /// Base URL of the API.
        api_url: String,
        /// Bearer token of the API.
        token: Option<String>,
    },
    /// Hosts of the Mastodon API.
    Mastodon {
        /// Whom the operators of a host can ask about the crawl: a mail address or a URL.
        contact: String,
        /// Bearer tokens by host.
        tokens: BTreeMap<String, String>,
        /// Base URLs of the hosts whose API is elsewhere, by host.
        apis: BTreeMap<String, String>,
        /// Where all other hosts are reached, for tests.
        gateway: Option<String>,
        /// How long a host may be away before its accounts fail.
        host_gone_after: Option<Duration>,
    },
    /// A network of the AT Protocol.
    Bluesky(Box<Bluesky>),
    /// The API v2 of X, which costs money.
    X(Box<XSettings>),
}

/// Settings of [`SourceSettings::Bluesky`]; what is absent is that of the public network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bluesky {
    /// Whom the operators of a host can ask about the crawl: a mail address or a URL.
    pub contact: String,
    /// The AppView.
    pub appview: Option<String>,
    /// The directory of DIDs.
    pub plc: Option<String>,
    /// The collections that make up a timeline.
    pub collections: Option<Vec<String>>,
    /// Largest repository that is fetched whole, MiB.
    pub repository_limit: Option<u64>,
    /// Most disk space of all repositories that are read at once, MiB.
    pub spool_limit: Option<u64>,
    /// Whether handles are looked up at their own hosts, without the AppView.
    pub own_handles: bool,
    /// Whether accounts are crawled that ask not to be shown to those who are not signed in.
    pub signed_in_only: bool,
    /// Whether accounts may be on hosts of this machine and of private networks, for tests.
    pub private_hosts: bool,
    /// How long a server of accounts may be away before these fail.
    pub host_gone_after: Option<Duration>,
}

impl SourceSettings {
    /// The kind, as in the settings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Twitter { .. } => "twitter",
            Self::Mastodon { .. } => "mastodon",
            Self::Bluesky(_) => "bluesky",
            Self::X(_) => "x",
        }
    }

    /// The names of profiles that follow rules can read, besides `raw`; `None` if they read whatever the network's own
    /// objects have.
    pub fn rule_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Twitter { .. } => None,
            Self::Mastodon { .. } => Some(&mastodon::RULE_FIELDS),
            Self::Bluesky(_) => Some(&BLUESKY_RULE_FIELDS),
            Self::X(_) => Some(&FACTS),
        }
    }

    /// How long a host may be away before its accounts fail, for a source of many hosts; absent: as long as by default.
    pub fn host_gone_after(&self) -> Option<Duration> {
        match self {
            Self::Twitter { .. } | Self::X(_) => None,
            Self::Mastodon { host_gone_after, .. } => *host_gone_after,
            Self::Bluesky(bluesky) => bluesky.host_gone_after,
        }
    }
}

/// As a table of the settings file, without secrets.
impl fmt::Display for SourceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kind = {:?}", self.kind())?;
        if let Some(time) = self.host_gone_after() {
            writeln!(f, "host-gone-after = \"{}\"", humantime::format_duration(time))?;
        }
        match self {
            Self::Twitter { api_url, token } => {
                writeln!(f, "api-url = {:?}", values::without_password(api_url))?;
                match token {
                    Some(_) => writeln!(f, "# api-token-file is set, and not shown"),
                    None => writeln!(f, "# api-token-file is not set"),
                }
            }
            Self::Mastodon { contact, tokens, apis, gateway, host_gone_after: _ } => {
                writeln!(f, "contact = {contact:?}")?;
                gateway.iter().try_for_each(|url| writeln!(f, "gateway = {url:?}"))?;
                for host in tokens.keys() {
                    writeln!(f, "# token-files.{host:?} is set, and not shown")?;
                }
                apis.iter().try_for_each(|(host, url)| writeln!(f, "api-urls.{host:?} = {url:?}"))
            }
            Self::Bluesky(bluesky) => {
                let Bluesky { contact, appview, plc, collections, repository_limit, .. } = &**bluesky;
                writeln!(f, "contact = {contact:?}")?;
                appview.iter().try_for_each(|url| writeln!(f, "appview = {url:?}"))?;
                plc.iter().try_for_each(|url| writeln!(f, "plc = {url:?}"))?;
                collections.iter().try_for_each(|names| writeln!(f, "collections = {names:?}"))?;
                repository_limit.iter().try_for_each(|mib| writeln!(f, "repository-limit-mib = {mib}"))?;
                bluesky.spool_limit.iter().try_for_each(|mib| writeln!(f, "spool-limit-mib = {mib}"))?;
                writeln!(f, "own-handles = {}", bluesky.own_handles)?;
                writeln!(f, "signed-in-only = {}", bluesky.signed_in_only)?;
                writeln!(f, "private-hosts = {}", bluesky.private_hosts)
            }
            Self::X(settings) => x::show(settings, f),
        }
    }
}

/// Names the crawler and whom to ask about it.
pub fn user_agent(contact: &str) -> String {
    format!("twm/{} ({contact})", env!("CARGO_PKG_VERSION"))
}

/// Whom to ask about the crawl: it is sent to public hosts.
fn contact(text: &str) -> Result<String, String> {
    let text = values::text(text)?;
    let sendable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match sendable && (text.contains('@') || text.contains("://")) {
        true => Ok(text),
        false => Err(format!("{text:?} is no mail address and no URL; give one by which you can be reached")),
    }
}

/// Reads the value of the key `source` of a settings file.
pub(super) fn read(value: toml::Value, file: &Path, problems: &mut Problems) -> Sources {
    let origin = Origin::File(file.to_owned());
    let mut found = Sources::new();
    let toml::Value::Table(tables) = value else {
        let what =
            "source is no table; write [source.NAME] with the settings of each source below it".to_owned();
        problems.push(Problem { setting: None, origin, what });
        return found;
    };
    for (name, value) in tables {
        let add = |problems: &mut Problems, what: String| {
            let what = format!("[source.{name}]: {what}");
            problems.push(Problem { setting: None, origin: origin.clone(), what });
        };
        let name: SourceName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                add(problems, format!("{error}"));
                continue;
            }
        };
        if name.is_default() {
            add(
                problems,
                "that is the source of --api-url and --api-token; set these, or choose another name"
                    .to_owned(),
            );
            continue;
        }
        let toml::Value::Table(table) = value else {
            add(problems, format!("a {} was given; write a table", value.type_str()));
            continue;
        };
        let mut table =
            Table { rest: table, folder: file.parent().unwrap_or(Path::new(".")), wrong: Vec::new() };
        let source = table.source();
        table.refuse_rest(source.as_ref());
        table.wrong.into_iter().for_each(|what| add(problems, what));
        found.extend(source.map(|source| (name, source)));
    }
    x::check_apps(&found).into_iter().for_each(|what| {
        problems.push(Problem { setting: None, origin: origin.clone(), what });
    });
    if found.len() > MAX_SOURCES {
        let what = format!("{} sources are named; at most {MAX_SOURCES} are allowed", found.len());
        problems.push(Problem { setting: None, origin, what });
    }
    found
}

/// One table, of which what was read is taken.
struct Table<'a> {
    rest: toml::Table,
    /// Where relative paths begin.
    folder: &'a Path,
    wrong: Vec<String>,
}

impl Table<'_> {
    fn source(&mut self) -> Option<SourceSettings> {
        let kind = self.text("kind");
        match kind.as_deref() {
            Some("twitter") => Some(SourceSettings::Twitter {
                api_url: self.required("api-url", values::api_url)?,
                token: self.secret("api-token-file", values::token),
            }),
            Some("mastodon") => Some(SourceSettings::Mastodon {
                contact: self.required("contact", contact)?,
                tokens: self.secrets("token-files"),
                apis: self.texts("api-urls"),
                gateway: self.text("gateway"),
                host_gone_after: self.host_gone_after(),
            }),
            Some("bluesky") => Some(SourceSettings::Bluesky(Box::new(Bluesky {
                contact: self.required("contact", contact)?,
                appview: self.text("appview"),
                plc: self.text("plc"),
                collections: self.list("collections"),
                repository_limit: self.parsed_number("repository-limit-mib", 1..=65_536),
                spool_limit: self.parsed_number("spool-limit-mib", 1..=1_048_576),
                own_handles: self.switch("own-handles"),
                signed_in_only: self.switch("signed-in-only"),
                private_hosts: self.switch("private-hosts"),
                host_gone_after: self.host_gone_after(),
            }))),
            Some("x") => self.x().map(|settings| SourceSettings::X(Box::new(settings))),
            Some(other) => {
                self.wrong.push(format!("there is no kind {other:?} of sources; the kinds are {KINDS}"));
                None
            }
            None => {
                self.wrong.push(format!("kind is missing; the kinds are {KINDS}"));
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.rest.remove(key)? {
            toml::Value::String(text) => Some(text),
            other => {
                self.wrong.push(format!("{key}: a {} was given; give a text", other.type_str()));
                None
            }
        }
    }

    fn required<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let before = self.wrong.len();
        let value = self.parsed(key, parse);
        if value.is_none() && self.wrong.len() == before {
            self.wrong.push(format!("{key} is missing"));
        }
        value
    }

    fn parsed<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|what| self.wrong.push(format!("{key}: {what}"))).ok()
    }

    /// The first line of a file.
    fn secret<T>(&mut self, key: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let path: PathBuf = self.folder.join(self.text(key)?);
        let line = secret::first_line(&path).map_err(|e| e.to_string()).and_then(|line| parse(&line));
        line.map_err(|what| self.wrong.push(format!("{key}: {}: {what}", path.display()))).ok()
    }

    fn host_gone_after(&mut self) -> Option<Duration> {
        self.parsed("host-gone-after", |text| {
            values::time(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400))(text)
        })
    }

    fn switch(&mut self, key: &str) -> bool {
        match self.rest.remove(key) {
            None => false,
            Some(toml::Value::Boolean(on)) => on,
            Some(other) => {
                self.wrong.push(format!("{key}: a {} was given; give true or false", other.type_str()));
                false
            }
        }
    }

    fn parsed_number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.rest.remove(key)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong.push(format!("{key}: give a number from {} to {}", range.start(), range.end()));
        }
        number
    }

    fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.rest.remove(key)?;
        let text = |value: &toml::Value| value.as_str().map(str::to_owned);
        let texts = value.as_array().and_then(|items| items.iter().map(text).collect());
        if texts.is_none() {
            self.wrong.push(format!("{key}: a {} was given; give a list of texts", value.type_str()));
        }
        texts
    }

    /// A table of texts.
    fn texts(&mut self, key: &str) -> BTreeMap<String, String> {
        match self.rest.remove(key) {
            None => BTreeMap::new(),
            Some(toml::Value::Table(table)) => {
                let mut inner = Table { rest: table.clone(), folder: self.folder, wrong: Vec::new() };
                let texts = table.keys().filter_map(|name| Some((name.clone(), inner.text(name)?))).collect();
                self.wrong.extend(inner.wrong.into_iter().map(|what| format!("{key}.{what}")));
                texts
            }
            Some(other) => {
                self.wrong.push(format!("{key}: a {} was given; give a table", other.type_str()));
                BTreeMap::new()
            }
        }
    }

    /// The first lines of the files in a table.
    fn secrets(&mut self, key: &str) -> BTreeMap<String, String> {
        let (folder, files) = (self.folder, self.texts(key));
        let mut secrets = BTreeMap::new();
        for (name, file) in files {
            let path = folder.join(file);
            match secret::first_line(&path) {
                Ok(secret) => {
                    secrets.insert(name, secret);
                }
                Err(what) => self.wrong.push(format!("{key}.{name}: {}: {what}", path.display())),
            }
        }
        secrets
    }

    fn refuse_rest(&mut self, source: Option<&SourceSettings>) {
        // Without a source, what is wrong was said already.
        let Some(source) = source else { return };
        let unknown =
            self.rest.keys().map(|key| format!("there is no key {key:?} for the kind {}", source.kind()));
        self.wrong.extend(unknown.collect::<Vec<_>>());
    }
}
