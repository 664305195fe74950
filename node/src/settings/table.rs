//! Table of all settings, from which flags, environment variables and keys of the file are derived.

/// One setting.
pub(super) struct Setting {
    /// Its key in the file; `--key` as a flag and `TWM_KEY` in the environment.
    pub(super) key: &'static str,
    /// Placeholder of its value in the help. `None`: a switch.
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
    /// Never shown.
    pub(super) secret: bool,
    /// The setting that names a file containing the value instead; secrets have one.
    pub(super) file: Option<&'static str>,
    /// Hidden from the help, because it is not for operators.
    pub(super) hidden: bool,
}

impl Setting {
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
    Setting { key, value: Some(value), help, secret: false, file: None, hidden: false }
}

const fn switch(key: &'static str, help: &'static str) -> Setting {
    Setting { key, value: None, help, secret: false, file: None, hidden: false }
}

const fn secret(key: &'static str, file: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { key, value: Some(value), help, secret: true, file: Some(file), hidden: false }
}

const fn hidden(key: &'static str, help: &'static str) -> Setting {
    Setting { key, value: None, help, secret: false, file: None, hidden: true }
}

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "id",
        "N",
        "This node's number, positive and unlike any other in the cluster [default: 1 for a node alone]",
    ),
    setting(
        "peers",
        "1=HOST:PORT,...",
        "The nodes that form the cluster with their addresses, this one too; later only compared with its members \
         [default: a node alone on 127.0.0.1:8000]",
    ),
    setting(
        "join",
        "HOST:PORT,...",
        "Members of the cluster that this node joins, in place of --peers; needs --listen, and `twm-ctl member add` before",
    ),
    setting(
        "voters",
        "3|5",
        "How many of the first nodes vote; the others hold the replica and run workers [default: 3 of up to four, else 5]",
    ),
    switch(
        "force-new-cluster",
        "When a majority of the voters is lost for good: make a new cluster of what this node has, and end",
    ),
    setting("cluster", "NAME", "Name of the cluster; nodes of another one are turned away [default: twm]"),
    setting("data-dir", "DIR", "Folder of the replicated log and state [default: ./twm-data-ID]"),
    setting("listen", "HOST:PORT", "Where peers and twm-ctl connect [default: the own address in --peers]"),
    setting(
        "tls-ca",
        "FILE",
        "Certificate of the cluster's authority, which `twm-ctl certs init` makes: peers and twm-ctl then need certificates",
    ),
    setting("tls-cert", "FILE", "This node's certificate, of `twm-ctl certs issue --node N`"),
    setting("tls-key", "FILE", "The key of --tls-cert"),
    switch("insecure", "Listen beyond loopback without TLS: whoever reaches the port may do everything"),
    setting(
        "http",
        "HOST:PORT",
        "Port of the monitor, metrics and health; port 0 takes a free one [default: 127.0.0.1:9898]",
    ),
    switch(
        "http-tls",
        "Serve --http over TLS with --tls-cert: who calls shows a certificate of the same authority, or knows \
         --monitor-token. Needed beyond loopback, unless --insecure",
    ),
    setting(
        "public-url",
        "URL",
        "Where browsers find the monitor behind a proxy, such as https://crawl.example.org/ [default: there is none]",
    ),
    secret(
        "monitor-token",
        "monitor-token-file",
        "TOKEN",
        "Who knows it may pause, resume, cancel and retry in the monitor; absent: nobody. Better in a file than in a flag",
    ),
    secret(
        "graphite-url",
        "graphite-url-file",
        "URL",
        "graphite-web to which twm-stats sends, for the history of days in the monitor, such as http://10.0.0.8:8080/; with \
         a password better in a file [default: the monitor remembers a day itself]",
    ),
    setting(
        "indexer",
        "URL",
        "A twm-indexer, such as http://127.0.0.1:9700, for the monitor's page of tweets [default: none]",
    ),
    setting(
        "ips",
        "auto|none|LIST",
        "Local addresses to crawl from: single ones, ranges A-B and CIDR, by comma [default: none, the system chooses]",
    ),
    setting(
        "workers",
        "N",
        "Jobs that run at once, 1 to 10000 [default: 32, or one for each address if they are more]",
    ),
    setting("api-url", "URL", "Base URL of the Twitter API [default: http://127.0.0.1:5000/1/]"),
    secret(
        "api-token",
        "api-token-file",
        "TOKEN",
        "Bearer token of the API; better in a file than in a flag",
    ),
    setting("request-timeout", "TIME", "Longest wait for a whole answer of the API [default: 30s]"),
    setting("output", "DIR", "Folder of the dataset [default: ./twm-dataset]"),
    setting(
        "temporary-dir",
        "DIR",
        "Folder of drafts, on the same volume as --output [default: OUTPUT/.tmp]",
    ),
    switch(
        "adopt-output",
        "Make --output and its files this cluster's and this node's, whoever had it before; for one start",
    ),
    switch("shared-output", "All nodes write to one --output, on a shared file system"),
    setting("compression", "none|1..9", "gzip level of the dataset's files [default: 6]"),
    setting("followers-format", "text|packed", "One id a line, or eight bytes each [default: text]"),
    setting(
        "election-timeout",
        "TIME",
        "How long a follower misses the leader before it stands for election; at least ten round trips of the network, \
         the same on all nodes, 50ms to 1m [default: 120ms]",
    ),
    setting(
        "log-kept",
        "N",
        "Log entries kept for followers that lag; one that lags further gets a snapshot [default: 5000]",
    ),
    hidden(
        "check-invariants",
        "Check the invariants of the state after commands, and stop when one does not hold",
    ),
    setting(
        "keep-ended",
        "TIME",
        "How long an ended crawl is kept before it is deleted with its errors and its frontier, in the time that the cluster \
         runs; the leader's setting counts, 0s keeps them for ever [default: 30d]",
    ),
    setting(
        "session-ttl",
        "TIME",
        "A node silent for so long loses its jobs to others, 500ms to 10m [default: 3s]",
    ),
    setting(
        "storage-grace",
        "TIME",
        "How long the files of a node that is down are waited for before they are fetched again [default: 30s]",
    ),
    setting("max-attempts", "N", "Failures after which a job goes to the error list, 1 to 1000 [default: 5]"),
    setting("margin", "TIME", "Added to every reset time of a rate budget [default: 500ms]"),
    secret(
        "redis",
        "redis-file",
        "URL",
        "Redis to which what happens is mirrored, redis://, redis+sentinel://HOST,HOST/MASTER, or with TLS rediss:// and rediss+sentinel://, the same \
         on all nodes; with a password better in a file [default: no mirror]",
    ),
    setting("redis-outbox", "MIB", "Most memory for events that wait for Redis, 1 to 1024 [default: 16]"),
    setting(
        "redis-events",
        "N",
        "Entries at about which twm:events is trimmed, from 1000 [default: 1000000]",
    ),
    setting(
        "redis-tweets",
        "N",
        "Entries at about which twm:tweets and twm:profiles are trimmed, from 1000 [default: 100000]",
    ),
    setting("log-format", "text|json", "Form of the log on stderr and in --log-dir [default: text]"),
    setting(
        "log-level",
        "LEVEL",
        "error, warn, info, debug, trace, or by part as in warn,node=debug [default: info,openraft=error,tarpc=off]",
    ),
    setting("log-dir", "DIR", "Folder of daily log files, 14 of which are kept [default: stderr only]"),
];

/// The setting with this key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting whose value is in the file named by this key.
pub(super) fn find_by_file(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.file == Some(key))
}
