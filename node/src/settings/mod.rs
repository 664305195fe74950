//! Settings of a node: flags override `TWM_*` variables, which override a TOML file, which overrides the
//! defaults.
//!
//! All errors are reported at once, and each names the setting, its origin, what is wrong and what is
//! allowed.

mod layers;
mod place;
mod problems;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod urls;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use storage::dataset::{Compression, FollowersFormat};
use storage::net::http_port::{PublicUrl, is_loopback};
use storage::net::redis::RedisUrl;

use layers::Layers;
pub use layers::Origin;
pub use place::{CassandraSettings, OutputPlace, S3Settings};
pub use problems::{LoadError, Problem, Problems};
pub use sources::{Bluesky, SourceSettings, Sources, user_agent};
use storage::net::trust::TrustFiles;
use table::{DefaultValue, SETTINGS};
pub use urls::{GraphiteUrl, IndexerUrl};

use crate::address::AddressList;

/// The settings of a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node.
    pub id: u64,
    /// The nodes that form the cluster with their addresses, including this one; empty for one that joins.
    pub peers: BTreeMap<u64, String>,
    /// Members of the cluster that this node joins.
    pub join: Vec<String>,
    /// Whether to form a new cluster from this node's data and exit.
    pub force_new_cluster: bool,
    /// How many of the first nodes vote.
    pub voters: Option<usize>,
    /// The cluster's name.
    pub cluster: String,
    /// Folder of the log and the state.
    pub data_dir: PathBuf,
    /// The address to listen on, unless it is the one in `peers`.
    pub listen: Option<String>,
    /// The certificates of this node and its callers; absent: none.
    pub tls: Option<TrustFiles>,
    /// The address of the HTTP port.
    pub http: String,
    /// The token that permits actions through the monitor.
    pub monitor_token: Option<String>,
    /// Whether the HTTP port speaks TLS, with the node's certificate.
    pub http_tls: bool,
    /// The URL of the monitor behind a proxy.
    pub public_url: Option<PublicUrl>,
    /// The Graphite with the history for the monitor, if any.
    pub graphite: Option<GraphiteUrl>,
    /// The URL of a `twm-indexer` for the monitor.
    pub indexer: Option<IndexerUrl>,
    /// Addresses to crawl from.
    pub ips: AddressList,
    /// The outside address that all of them share, if they do.
    pub nat: Option<String>,
    /// Jobs that run at once; absent: chosen by the number of addresses.
    pub workers: Option<u32>,
    /// Base URL of the API.
    pub api_url: String,
    /// Bearer token of the API.
    pub api_token: Option<String>,
    /// The sources besides the default one.
    pub sources: Sources,
    /// Timeout of a request to the API.
    pub request_timeout: Duration,
    /// Folder of the dataset.
    pub output: OutputPlace,
    /// Folder of drafts, unless it is below `output`.
    pub temporary_dir: Option<PathBuf>,
    /// Whether this cluster and node take `output` over from whatever cluster owned it.
    pub adopt_output: bool,
    /// How an S3-compatible store is reached.
    pub s3: S3Settings,
    /// How a Cassandra cluster is reached.
    pub cassandra: CassandraSettings,
    /// Whether all nodes write to one `output`.
    pub shared_output: bool,
    /// How the dataset's files are compressed.
    pub compression: Compression,
    /// Format of followers files.
    pub followers_format: FollowersFormat,
    /// Shortest election timeout; the longest is half as long again.
    pub election_timeout: Duration,
    /// Entries kept in the log for followers that lag.
    pub log_kept: u64,
    /// How long an ended crawl is kept; absent: until an operator deletes it.
    pub keep_ended: Option<Duration>,
    /// Whether the invariants are checked after commands.
    pub check_invariants: bool,
    /// A session that is silent for this long ends.
    pub session_ttl: Duration,
    /// How long the files of an absent node are waited for.
    pub storage_grace: Duration,
    /// Attempts after which a job goes to the error list.
    pub max_attempts: u32,
    /// Added to reset times of rate budgets.
    pub margin: Duration,
    /// Where events are mirrored, if anywhere.
    pub redis: Option<MirrorSettings>,
    /// Settings of the log.
    pub logs: LogSettings,
}

/// A mirror in Redis. Must be the same on all nodes: the leader's setting applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Where Redis is.
    pub url: RedisUrl,
    /// Most bytes of events that wait for it in every node's memory.
    pub outbox: u64,
    /// Approximate number of entries at which the stream of events is trimmed.
    pub events_length: u64,
    /// Approximate number of entries at which the streams of tweets and of profiles are trimmed.
    pub tweets_length: u64,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Format of the lines.
    pub format: LogFormat,
    /// Filter of the lines, as `tracing_subscriber::EnvFilter` reads it.
    pub level: String,
    /// Folder of daily files.
    pub dir: Option<PathBuf>,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings with the origin of each.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Whether only to print them.
    pub check_config: bool,
    /// Whether only to print the addresses to crawl from.
    pub print_ips: bool,
    effective: Vec<Effective>,
}

#[derive(Debug)]
struct Effective {
    key: &'static str,
    shown: Shown,
    origin: Origin,
}

#[derive(Debug)]
enum Shown {
    /// As a value in the file.
    Value(String),
    Secret,
    Unset,
}

/// The settings as a file, with the origin of each.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.effective.iter().try_for_each(|Effective { key, shown, origin }| match shown {
            Shown::Value(value) => writeln!(f, "{:<40} # {origin}", format!("{key} = {value}")),
            Shown::Secret => writeln!(f, "# {key} is set, and not shown ({origin})"),
            Shown::Unset => writeln!(f, "# {key} is not set"),
        })?;
        self.settings.sources.iter().try_for_each(|(name, source)| write!(f, "\n[source.{name}]\n{source}"))
    }
}

impl Loaded {
    /// Reads the settings of this process.
    pub fn from_process() -> Result<Self, LoadError> {
        Self::from(std::env::args_os(), &|name| std::env::var_os(name))
    }

    /// Reads settings from these arguments (the program's name first) and this environment.
    pub fn from(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, LoadError> {
        let layers = Layers::collect(arguments, environment)?;
        let mut reader = Reader { layers: &layers, problems: Problems::default(), effective: Vec::new() };
        let settings = reader.settings();
        reader.problems.none()?;
        let mut effective = reader.effective;
        effective.sort_by_key(|e| SETTINGS.iter().position(|setting| setting.key == e.key));
        // Without a problem every setting was read.
        let settings = settings.ok_or_else(Problems::default)?;
        Ok(Self { settings, check_config: layers.check_config, print_ips: layers.print_ips, effective })
    }
}

/// Reads one setting after the other and records every error.
struct Reader<'a> {
    layers: &'a Layers,
    problems: Problems,
    effective: Vec<Effective>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Option<Settings> {
        let seconds = Duration::from_secs;
        let millis = Duration::from_millis;
        let (id, peers, join) = self.membership();
        let force_new_cluster = self.read("force-new-cluster", values::switch);
        let voters = self.optional("voters", None, values::voters);
        let default_dir = id.map(|id| format!("./twm-data-{id}"));
        let cluster = self.read("cluster", values::text);
        let data_dir = self.optional("data-dir", default_dir.as_deref(), values::text);
        let listen = self.optional("listen", None, values::host_port);
        let tls = self.tls();
        let insecure = self.read("insecure", values::switch) == Some(true);
        self.not_open_to_all(id, peers.as_ref(), tls.is_some() || insecure);
        let http = self.read("http", values::host_port);
        let http_tls = self.http_tls(http.as_deref(), tls.is_some(), insecure);
        let public_url = self.optional("public-url", None, str::parse);
        let monitor_token = self.optional("monitor-token", None, values::monitor_token);
        let graphite = self.optional("graphite-url", None, GraphiteUrl::parse);
        let indexer = self.optional("indexer", None, IndexerUrl::parse);
        let ips = self.read("ips", values::ips);
        let nat = self.optional("nat", None, values::nat);
        let workers = self.optional("workers", None, values::number(1..=10_000));
        let api_url = self.read("api-url", values::api_url);
        let api_token = self.optional("api-token", None, values::token);
        let request_timeout = self.read("request-timeout", values::time(millis(100)..=seconds(3600)));
        let output = self.read("output", OutputPlace::parse);
        let s3 = self.s3();
        let cassandra = self.cassandra();
        let temporary_dir = self.optional("temporary-dir", None, values::text);
        let adopt_output = self.read("adopt-output", values::switch);
        let shared_output = self.read("shared-output", values::switch);
        let compression = self.read("compression", values::compression);
        let followers_format = self.read("followers-format", values::followers_format);
        let election_timeout = self.read("election-timeout", values::time(millis(50)..=seconds(60)));
        let log_kept = self.read("log-kept", values::number(100..=100_000_000));
        let keep_ended = self.read("keep-ended", values::time(seconds(0)..=seconds(100 * 365 * 86_400)));
        let check_invariants = self.read("check-invariants", values::switch);
        let session_ttl = self.read("session-ttl", values::time(millis(500)..=seconds(600)));
        let storage_grace = self.read("storage-grace", values::time(seconds(0)..=seconds(86_400)));
        let max_attempts = self.read("max-attempts", values::number(1..=1000));
        let margin = self.read("margin", values::time(seconds(0)..=seconds(3600)));
        let redis = self.optional("redis", None, values::redis_url);
        let outbox = self.read("redis-outbox", values::number(1..=1024));
        let events_length = self.read("redis-events", values::number(1000..=u64::MAX));
        let tweets_length = self.read("redis-tweets", values::number(1000..=u64::MAX));
        let format = self.read("log-format", values::log_format);
        let level = self.read("log-level", values::log_level);
        let log_dir = self.optional("log-dir", None, values::text);
        Some(Settings {
            id: id?,
            peers: peers?,
            join,
            force_new_cluster: force_new_cluster?,
            voters,
            cluster: cluster?,
            data_dir: data_dir?.into(),
            listen,
            tls,
            http: http?,
            monitor_token,
            http_tls: http_tls?,
            public_url,
            graphite,
            indexer,
            ips: ips?,
            nat,
            workers: workers.map(|n| n as u32),
            api_url: api_url?,
            api_token,
            sources: self.layers.sources.clone(),
            request_timeout: request_timeout?,
            s3: s3?,
            cassandra: cassandra?,
            shared_output: shared_output? || output.as_ref().is_some_and(OutputPlace::is_shared),
            output: output?,
            temporary_dir: temporary_dir.map(PathBuf::from),
            adopt_output: adopt_output?,
            compression: compression?,
            followers_format: followers_format?,
            election_timeout: election_timeout?,
            log_kept: log_kept?,
            keep_ended: keep_ended.map(|kept| Some(kept).filter(|kept| !kept.is_zero()))?,
            check_invariants: check_invariants?,
            session_ttl: session_ttl?,
            storage_grace: storage_grace?,
            max_attempts: max_attempts? as u32,
            margin: margin?,
            redis: match redis {
                Some(url) => Some(MirrorSettings {
                    url,
                    outbox: outbox? << 20,
                    events_length: events_length?,
                    tweets_length: tweets_length?,
                }),
                None => None,
            },
            logs: LogSettings { format: format?, level: level?, dir: log_dir.map(PathBuf::from) },
        })
    }

    /// The node and its cluster; a single node needs neither setting.
    fn membership(&mut self) -> (Option<u64>, Option<BTreeMap<u64, String>>, Vec<String>) {
        let (told, joins) = (self.layers.value("peers").is_some(), self.layers.value("join").is_some());
        let alone = !told && !joins;
        let id = self.optional("id", alone.then_some("1"), values::number(1..=u64::MAX));
        if id.is_none() && self.layers.value("id").is_none() {
            let what = "it is missing; give this node's number, unlike that of any other node".to_owned();
            self.problems.add("id", &Origin::Default, what);
        }
        let join = self.optional("join", None, values::endpoints);
        if let Some((_, origin)) = self.layers.value("join") {
            if told {
                let what = "--peers is given too; nodes of --peers form a cluster together, a node with --join comes to one \
                            that is there: give one of the two";
                self.problems.add("join", origin, what.to_owned());
            } else if self.layers.value("listen").is_none() {
                let what = "give --listen HOST:PORT too, where the others reach this node";
                self.problems.add("join", origin, what.to_owned());
            }
        }
        let own = self.layers.value("listen").map_or("127.0.0.1:8000", |(address, _)| address);
        let default = id.filter(|_| alone).map(|id| format!("{id}={own}"));
        let peers = self.optional("peers", default.as_deref(), values::peers);
        if let (Some(id), Some(peers), Some((_, origin))) = (id, &peers, self.layers.value("peers")) {
            if !peers.contains_key(&id) {
                let known: Vec<_> = peers.keys().map(u64::to_string).collect();
                let what =
                    format!("node {id} (--id) is not among them ({}); add {id}=HOST:PORT", known.join(", "));
                self.problems.add("peers", origin, what);
            }
        }
        let peers = if joins && !told { Some(BTreeMap::new()) } else { peers };
        (id, peers, join.unwrap_or_default())
    }

    /// All three files of TLS, or none.
    fn tls(&mut self) -> Option<TrustFiles> {
        let given =
            ["tls-ca", "tls-cert", "tls-key"].map(|key| (key, self.optional(key, None, values::text)));
        let any = given.iter().any(|(_, value)| value.is_some());
        for (key, _) in given.iter().filter(|(_, value)| any && value.is_none()) {
            let what = "it is missing; TLS needs --tls-ca, --tls-cert and --tls-key";
            self.problems.add(key, &Origin::Default, what.to_owned());
        }
        let [(_, Some(ca)), (_, Some(cert)), (_, Some(key))] = given else { return None };
        Some(TrustFiles { ca: ca.into(), cert: cert.into(), key: key.into() })
    }

    fn s3(&mut self) -> Option<S3Settings> {
        let endpoint = self.optional("s3-endpoint", None, values::text);
        let region = self.optional("s3-region", None, values::text);
        let credentials = self.optional("s3-credentials-file", None, values::text).map(PathBuf::from);
        let ca = self.optional("s3-ca", None, values::text).map(PathBuf::from);
        let plain_http = self.read("s3-plain-http", values::switch)?;
        Some(S3Settings { endpoint, region, credentials, ca, plain_http })
    }

    fn cassandra(&mut self) -> Option<CassandraSettings> {
        let credentials = self.optional("cassandra-credentials-file", None, values::text).map(PathBuf::from);
        let tls = self.read("cassandra-tls", values::switch);
        let ca = self.optional("cassandra-ca", None, values::text).map(PathBuf::from);
        let accept_periodic = self.read("cassandra-accept-periodic", values::switch);
        Some(CassandraSettings { credentials, tls: tls?, ca, accept_periodic: accept_periodic? })
    }

    /// Whether the HTTP port speaks TLS. Without it, anyone who reaches the port can read everything.
    fn http_tls(&mut self, http: Option<&str>, tls: bool, insecure: bool) -> Option<bool> {
        let http_tls = self.read("http-tls", values::switch)?;
        let layers = self.layers;
        let origin = |key| layers.value(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        if http_tls && !tls {
            let what = "it needs --tls-ca, --tls-cert and --tls-key; see `twm-ctl certs`".to_owned();
            self.problems.add("http-tls", &origin("http-tls"), what);
        }
        let open = http.filter(|http| !http_tls && !insecure && !is_loopback(http));
        if let Some(http) = open {
            let what = format!(
                "{http} is reached from other machines, and without TLS anyone who reaches it may read; give --http-tls, or \
                 listen on 127.0.0.1 behind a proxy with TLS (and give --public-url), or --insecure"
            );
            self.problems.add("http", &origin("http"), what);
        }
        Some(http_tls)
    }

    /// Without certificates, anyone who reaches the port is an operator, so it must be on loopback.
    fn not_open_to_all(&mut self, id: Option<u64>, peers: Option<&BTreeMap<u64, String>>, open: bool) {
        let listen =
            self.layers.value("listen").map(|(address, origin)| (address.clone(), origin.clone(), "listen"));
        let own = id.and_then(|id| peers?.get(&id).cloned());
        let own = own.map(|own| (own, Origin::Default, "peers"));
        let Some((address, origin, key)) = listen.or(own) else { return };
        if !open && !is_loopback(&address) {
            let what = format!(
                "{address} is reached from other machines, and without TLS anyone who reaches it may do everything; give \
                 --tls-ca, --tls-cert and --tls-key (see `twm-ctl certs`), or --insecure"
            );
            self.problems.add(key, &origin, what);
        }
    }

    /// Reads a setting whose default is a value in the table.
    fn read<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let default = match table::find(key).map(|setting| setting.default) {
            Some(DefaultValue::Value(default)) => Some(default),
            Some(DefaultValue::Switch) => Some("false"),
            Some(DefaultValue::Absent | DefaultValue::Described(_)) | None => None,
        };
        self.optional(key, default, parse)
    }

    fn optional<T>(
        &mut self,
        key: &'static str,
        default: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, origin) = match self.layers.value(key) {
            Some((text, origin)) => (Some(text.as_str()), origin.clone()),
            None => (default, Origin::Default),
        };
        let shown = match text {
            None => Shown::Unset,
            Some(_) if table::find(key).is_some_and(|setting| setting.secret) => Shown::Secret,
            Some(text) => Shown::Value(toml::Value::from(values::without_password(text)).to_string()),
        };
        self.effective.push(Effective { key, shown, origin: origin.clone() });
        match parse(text?) {
            Ok(value) => Some(value),
            Err(what) => {
                self.problems.add(key, &origin, what);
                None
            }
        }
    }
}
