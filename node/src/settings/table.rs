//! Table of all settings, from which flags, environment variables and keys of the file are derived.

/// One setting.
pub(super) struct Setting {
    /// Its key in the file; `--key` as a flag and `TWM_KEY` in the environment.
    pub(super) key: &'static str,
    /// Placeholder of its value in the help. `None`: a switch.
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
    /// What applies if no value is given.
    pub(super) default: DefaultValue,
    /// Never shown.
    pub(super) secret: bool,
    /// The setting that names a file containing the value instead; secrets have one.
    pub(super) file: Option<&'static str>,
    /// Hidden from the help, because it is not for operators.
    pub(super) hidden: bool,
}

/// What applies if a setting has no value.
#[derive(Debug, Clone, Copy)]
pub(super) enum DefaultValue {
    /// Nothing.
    Absent,
    /// The switch is off.
    Switch,
    /// This value, as a user would give it.
    Value(&'static str),
    /// Something that depends on other settings.
    Described(&'static str),
}

impl Setting {
    /// The help text, including the default.
    pub(super) fn help(&self) -> String {
        match self.default {
            DefaultValue::Absent | DefaultValue::Switch => self.help.to_owned(),
            DefaultValue::Value(default) | DefaultValue::Described(default) => {
                format!("{} [default: {default}]", self.help)
            }
        }
    }

    /// Its variable in the environment.
    pub(super) fn variable(&self) -> String {
        variable(self.key)
    }
}

/// The variable of the environment for a key.
pub(super) fn variable(key: &str) -> String {
    format!("TWM_{}", key.replace('-', "_").to_ascii_uppercase())
}

const fn setting(key: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting {
        key,
        value: Some(value),
        help,
        default: DefaultValue::Absent,
        secret: false,
        file: None,
        hidden: false,
    }
}

const fn switch(key: &'static str, help: &'static str) -> Setting {
    Setting { value: None, default: DefaultValue::Switch, ..setting(key, "", help) }
}

const fn secret(key: &'static str, file: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { secret: true, file: Some(file), ..setting(key, value, help) }
}

impl Setting {
    /// The value that applies if none is given.
    const fn or(self, default: &'static str) -> Self {
        Self { default: DefaultValue::Value(default), ..self }
    }

    /// A description of what applies if no value is given.
    const fn otherwise(self, description: &'static str) -> Self {
        Self { default: DefaultValue::Described(description), ..self }
    }

    const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }
}

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    setting("id", "N", "This node's number, positive and unique in the cluster").otherwise("1 for a single node"),
    setting(
        "peers",
        "1=HOST:PORT,...",
        "The nodes that form the cluster with their addresses, including this one; later only compared with its members",
    )
    .otherwise("a single node on 127.0.0.1:8000"),
    setting(
        "join",
        "HOST:PORT,...",
        "Members of the cluster that this node joins, instead of --peers; requires --listen, and `twm-ctl member add` before",
    ),
    setting("voters", "3|5", "How many of the first nodes vote; the others hold a replica and run workers")
        .otherwise("3 of up to four nodes, otherwise 5"),
    switch(
        "force-new-cluster",
        "If a majority of the voters is lost for good: form a new cluster from this node's data, and exit",
    ),
    setting("cluster", "NAME", "Name of the cluster; nodes of another one are refused").or("twm"),
    setting("data-dir", "DIR", "Folder of the replicated log and state").otherwise("./twm-data-ID"),
    setting("listen", "HOST:PORT", "Address for peers and twm-ctl").otherwise("the own address in --peers"),
    setting(
        "tls-ca",
        "FILE",
        "Certificate of the cluster's authority, created by `twm-ctl certs init`: peers and twm-ctl then need certificates",
    ),
    setting("tls-cert", "FILE", "This node's certificate, from `twm-ctl certs issue --node N`"),
    setting("tls-key", "FILE", "The key of --tls-cert"),
    switch("insecure", "Listen beyond loopback without TLS: anyone who reaches the port may do everything"),
    setting("http", "HOST:PORT", "Address of the monitor, metrics and health; port 0 takes a free one")
        .or("127.0.0.1:9898"),
    switch(
        "http-tls",
        "Serve --http over TLS with --tls-cert: callers need a certificate of the same authority, or \
         --monitor-token. Required beyond loopback, unless --insecure",
    ),
    setting("public-url", "URL", "URL of the monitor behind a proxy, such as https://crawl.example.org/"),
    secret(
        "monitor-token",
        "monitor-token-file",
        "TOKEN",
        "Token for pausing, resuming, cancelling and retrying in the monitor; better in a file than in a flag",
    )
    .otherwise("these actions are disabled"),
    secret(
        "graphite-url",
        "graphite-url-file",
        "URL",
        "graphite-web to which twm-stats sends, for a history of days in the monitor, such as http://10.0.0.8:8080/; with \
         a password better in a file",
    )
    .otherwise("the monitor itself remembers one day"),
    setting("indexer", "URL", "A twm-indexer, such as http://127.0.0.1:9700, for the monitor's page of tweets"),
    setting(
        "ips",
        "auto|none|LIST",
        "Local addresses to crawl from: a comma-separated list of addresses, ranges A-B and CIDR blocks; none: the system chooses",
    )
    .or("none"),
    setting(
        "nat",
        "NAME",
        "Name of the outside address that this node's addresses share, with all nodes of that name: they share its budgets",
    )
    .otherwise("each address has budgets of its own"),
    setting("workers", "N", "Jobs that run at once, 1 to 10000").otherwise("32, or the number of addresses if larger"),
    setting("api-url", "URL", "Base URL of the Twitter API").or("http://127.0.0.1:5000/1/"),
    secret("api-token", "api-token-file", "TOKEN", "Bearer token of the API; better in a file than in a flag"),
    setting("request-timeout", "TIME", "Timeout of a request to the API").or("30s"),
    setting("output", "DIR|URL", "Folder of the dataset; or hdfs://HOST:PORT/PATH, s3://BUCKET/PREFIX or cassandra://HOST,HOST/KEYSPACE, which all nodes share")
        .or("./twm-dataset"),
    setting(
        "temporary-dir",
        "DIR",
        "Folder of drafts, on the same volume as --output; with an output in a store, a local folder for drafts and downloads",
    )
    .otherwise("OUTPUT/.tmp, or DATA_DIR/drafts"),
    setting("s3-endpoint", "URL", "Server of an output s3://, such as https://minio.example:9000")
        .otherwise("AWS_ENDPOINT_URL, or AWS"),
    setting("s3-region", "NAME", "Its region").otherwise("AWS_REGION, or us-east-1"),
    setting("s3-credentials-file", "FILE", "Its credentials, in the format of ~/.aws/credentials, section default")
        .otherwise("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    setting("s3-ca", "FILE", "PEM file of the only authorities to trust for it")
        .otherwise("AWS_CA_BUNDLE, or the system's"),
    switch("s3-plain-http", "Allow an endpoint http:// on another machine: everyone in between can read and change it"),
    setting(
        "cassandra-credentials-file",
        "FILE",
        "Login of an output cassandra://, in the lines user = NAME and password = SECRET",
    )
    .otherwise("no login"),
    switch("cassandra-tls", "Connect to it with TLS, and trust the system's authorities"),
    setting("cassandra-ca", "FILE", "PEM file of the only authorities to trust for it; connects with TLS")
        .otherwise("the system's, with --cassandra-tls"),
    switch(
        "cassandra-accept-periodic",
        "Use it although a crash loses what it acknowledged: fewer than three replicas, and commitlog_sync: periodic",
    ),
    switch(
        "adopt-output",
        "Take --output and its files over for this cluster and node, whatever cluster owned them; for one start",
    ),
    switch("shared-output", "All nodes write to one --output, on a shared file system"),
    setting(
        "compression",
        "none|gzip|zstd",
        "How the dataset's files are compressed; with a level as in gzip:1 to gzip:9 or zstd:1 to zstd:19",
    )
    .or("gzip"),
    setting("followers-format", "text|packed", "One id per line, or eight bytes each").or("text"),
    setting(
        "election-timeout",
        "TIME",
        "How long a follower misses the leader before it stands for election; at least ten round trips of the network, \
         the same on all nodes, 50ms to 1m",
    )
    .or("120ms"),
    setting("log-kept", "N", "Log entries kept for followers that lag; one that lags further gets a snapshot").or("5000"),
    switch("check-invariants", "Check the invariants of the state after commands, and stop if one is violated").hidden(),
    setting(
        "keep-ended",
        "TIME",
        "How long an ended crawl is kept before it is deleted with its errors and its frontier, in the time that the cluster \
         runs; the leader's setting applies, 0s keeps them forever",
    )
    .or("30d"),
    setting("session-ttl", "TIME", "A node that is silent for this long loses its jobs to others, 500ms to 10m").or("3s"),
    setting(
        "storage-grace",
        "TIME",
        "How long the files of a node that is down are waited for before they are fetched again",
    )
    .or("30s"),
    setting("max-attempts", "N", "Failures after which a job goes to the error list, 1 to 1000").or("5"),
    setting("margin", "TIME", "Safety margin added to every reset time of a rate budget").or("500ms"),
    secret(
        "redis",
        "redis-file",
        "URL",
        "Redis to which events are mirrored: redis://, redis+sentinel://HOST,HOST/MASTER, or with TLS rediss:// and \
         rediss+sentinel://, the same on all nodes; with a password better in a file",
    )
    .otherwise("no mirror"),
    setting("redis-outbox", "MIB", "Most memory for events that wait for Redis, 1 to 1024").or("16"),
    setting("redis-events", "N", "Approximate number of entries at which twm:events is trimmed, from 1000").or("1000000"),
    setting(
        "redis-tweets",
        "N",
        "Approximate number of entries at which twm:tweets and twm:profiles are trimmed, from 1000",
    )
    .or("100000"),
    setting("log-format", "text|json", "Format of the log on stderr and in --log-dir").or("text"),
    // openraft logs each of its steps at level info and each message to an unreachable node at level warn; tarpc logs
    // calls whose failure the caller handles, and scylla each attempt to connect to a server that is away.
    setting("log-level", "LEVEL", "error, warn, info, debug, trace, or by module as in warn,node=debug")
        .or("info,openraft=error,tarpc=off,scylla=off"),
    setting("log-dir", "DIR", "Folder of daily log files, 14 of which are kept").otherwise("stderr only"),
];

/// The setting with this key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting whose value is in the file named by this key.
pub(super) fn find_by_file(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.file == Some(key))
}
