use std::collections::HashMap;
use std::ffi::OsString;

use super::*;

fn load_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    // These hosts do not exist and are not on loopback.
    let insecure = arguments.contains(&"--peers").then_some("--insecure");
    let arguments = std::iter::once("twm-node").chain(arguments.iter().copied()).chain(insecure);
    let arguments = arguments.map(OsString::from);
    Loaded::from(arguments, &|name| environment.get(name).map(OsString::from))
}

fn load(arguments: &[&str]) -> Loaded {
    load_with(arguments, &[]).unwrap()
}

fn errors(arguments: &[&str]) -> String {
    load_with(arguments, &[]).unwrap_err().to_string()
}

#[test]
fn a_node_alone_needs_no_settings() {
    let settings = load(&[]).settings;
    assert_eq!((settings.id, settings.cluster.as_str()), (1, "twm"));
    assert_eq!(settings.peers[&1], "127.0.0.1:8000");
    assert_eq!(settings.data_dir, PathBuf::from("./twm-data-1"));
    assert_eq!(settings.output, OutputPlace::Folder("./twm-dataset".into()));
    assert_eq!((settings.ips, settings.compression), (AddressList::None, Compression::Gzip(6)));
    assert_eq!(settings.session_ttl, Duration::from_secs(3));
    assert_eq!(settings.http, "127.0.0.1:9898");
    assert_eq!(
        (settings.keep_ended, settings.check_invariants),
        (Some(Duration::from_secs(30 * 86_400)), false)
    );
    let settings = load(&["--id", "7", "--listen", "127.0.0.1:7777"]).settings;
    assert_eq!(settings.peers[&7], "127.0.0.1:7777");
    assert_eq!(settings.data_dir, PathBuf::from("./twm-data-7"));
}

#[test]
fn ended_crawls_are_kept_for_ever_with_a_time_of_zero_and_checks_are_for_tests() {
    assert_eq!(load(&["--keep-ended", "0s"]).settings.keep_ended, None);
    assert_eq!(load(&["--keep-ended", "2d"]).settings.keep_ended, Some(Duration::from_secs(2 * 86_400)));
    assert!(errors(&["--keep-ended", "soon"]).contains("30d"));
    let checked = load_with(&[], &[("TWM_CHECK_INVARIANTS", "true")]).unwrap();
    assert!(checked.settings.check_invariants);
}

#[test]
fn a_flag_counts_more_than_the_environment_and_that_more_than_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("twm.toml");
    std::fs::write(
        &path,
        "workers = 1\ncluster = \"file\"\noutput = \"file\"\nshared-output = true\nips = [\"127.0.0.1\", \"127.0.0.2\"]",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let environment = [("TWM_CLUSTER", "environment"), ("TWM_OUTPUT", "environment"), ("TWM_CONFIG", path)];
    let loaded = load_with(&["--output", "flag"], &environment).unwrap();
    let settings = &loaded.settings;
    assert_eq!((settings.workers, settings.cluster.as_str()), (Some(1), "environment"));
    assert_eq!((settings.output.to_string().as_str(), settings.shared_output), ("flag", true));
    assert!(matches!(&settings.ips, AddressList::These(ips) if ips.len() == 2));

    let shown = loaded.to_string();
    for line in [
        format!("workers = \"1\" # file {path}"),
        "cluster = \"environment\" # environment TWM_CLUSTER".to_owned(),
        "output = \"flag\" # flag --output".to_owned(),
        "compression = \"gzip\" # default".to_owned(),
        "# temporary-dir is not set".to_owned(),
    ] {
        let squeezed: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(squeezed.contains(&line), "{line:?} is not in\n{shown}");
    }
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("twm.toml");
    let first = load(&["--peers", "2=b:2,1=a:1", "--id", "2", "--session-ttl", "2m", "--shared-output"]);
    std::fs::write(&path, first.to_string()).unwrap();
    let second = load(&["--config", path.to_str().unwrap()]);
    assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings));
}

#[test]
fn a_secret_is_not_shown() {
    let loaded = load_with(&[], &[("TWM_API_TOKEN", "hunter2")]).unwrap();
    assert_eq!(loaded.settings.api_token.as_deref(), Some("hunter2"));
    assert!(!loaded.to_string().contains("hunter2"));
}

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let (token, config) = (temp.path().join("token"), temp.path().join("twm.toml"));
    std::fs::write(&token, "hunter2 \nnot this\n").unwrap();
    std::fs::write(&config, "api-token-file = \"token\"\n").unwrap();
    let (token, config) = (token.to_str().unwrap(), config.to_str().unwrap());
    let (by_flag, by_file) = (load(&["--api-token-file", token]), load(&["--config", config]));
    let by_variable = load_with(&[], &[("TWM_API_TOKEN_FILE", token)]).unwrap();
    for loaded in [by_flag, by_file, by_variable] {
        assert_eq!(loaded.settings.api_token.as_deref(), Some("hunter2"));
        assert!(!loaded.to_string().contains("hunter2"));
    }
    let missing = errors(&["--api-token-file", "/nowhere/token"]);
    assert!(missing.contains("--api-token-file") && missing.contains("/nowhere/token"), "{missing}");
    std::fs::write(token, "\n").unwrap();
    assert!(errors(&["--api-token-file", token]).contains("its first line is empty"));
}

#[test]
fn the_http_port_beyond_loopback_needs_tls_or_a_word() {
    let tls = ["--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
    let open = ["--http", "0.0.0.0:9898"];
    let refused = errors(&[&tls[..], &open].concat());
    assert!(refused.contains("--http-tls") && refused.contains("--public-url"), "{refused}");
    assert!(load(&[&tls[..], &open, &["--http-tls"]].concat()).settings.http_tls);
    assert!(!load(&[&open[..], &["--insecure"]].concat()).settings.http_tls);
    assert!(errors(&["--http-tls"]).contains("--tls-cert"));
    assert!(errors(&["--public-url", "crawl.example.org"]).contains("https://HOST"));
}

#[test]
fn a_graphite_is_a_url_and_its_password_is_shown_nowhere() {
    let loaded = load_with(&[], &[("TWM_GRAPHITE_URL", "http://u:hunter2@graphite:8080/g")]).unwrap();
    assert_eq!(loaded.settings.graphite.as_ref().unwrap().to_string(), "http://graphite:8080/g/");
    assert!(!format!("{loaded} {loaded:?}").contains("hunter2"));
    let error = errors(&["--graphite-url", "graphite:hunter2"]);
    assert!(error.contains("graphite-url (flag --graphite-url): it does not begin with http://"), "{error}");
    assert!(error.contains("such as http://10.0.0.8:8080/") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_monitor_token_that_could_be_guessed_is_refused_and_never_shown() {
    let loaded = load_with(&[], &[("TWM_MONITOR_TOKEN", "correct-horse")]).unwrap();
    assert_eq!(loaded.settings.monitor_token.as_deref(), Some("correct-horse"));
    assert!(!loaded.to_string().contains("correct-horse"));
    let error = errors(&["--monitor-token", "hunter2"]);
    assert!(error.contains("--monitor-token") && error.contains("at least 8"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn peers_come_in_any_order_and_mistakes_in_them_are_named() {
    let settings = load(&["--id", "2", "--peers", " 3=c:3, 1=a:1,2=[::1]:2 "]).settings;
    assert_eq!(
        settings.peers.into_iter().collect::<Vec<_>>(),
        [(1, "a:1".to_owned()), (2, "[::1]:2".to_owned()), (3, "c:3".to_owned())]
    );
    for (peers, what) in [
        ("2=b:2,2=c:3", "node 2 is named twice"),
        ("2=b:2,3=b:2", "same address b:2"),
        ("2=b:2,c:3", "\"c:3\" names no node"),
        ("2=b:2,0=c:3", "no positive number"),
        ("2=b", "has no port"),
        ("2=b:99999", "no port"),
        ("2=b:0", "port 0"),
        ("2=::1:2", "no host"),
        ("1=a:1", "node 2 (--id) is not among them (1); add 2=HOST:PORT"),
        ("", "names no node"),
    ] {
        let error = errors(&["--id", "2", "--peers", peers]);
        assert!(error.contains(what) && error.starts_with("peers (flag --peers): "), "{peers:?}: {error}");
    }
    assert!(errors(&["--peers", "1=a:1"]).contains("id (default): it is missing"));
}

#[test]
fn all_mistakes_are_found_at_once_with_setting_origin_and_remedy() {
    let error = load_with(
        &[
            "--workers",
            "0",
            "--ips",
            "nonsense",
            "--compression",
            "11",
            "--log-level",
            "node=loud",
            "--session-ttl",
            "3",
        ],
        &[("TWM_HTTP", "9898"), ("TWM_SHARED_OUTPUT", "maybe")],
    )
    .unwrap_err()
    .to_string();
    let lines: Vec<_> = error.lines().collect();
    for (start, remedy) in [
        ("workers (flag --workers): 0 ", "1 to 10000"),
        ("ips (flag --ips): ", "`auto`, `none`"),
        ("compression (flag --compression): \"11\" ", "gzip:1 (fast)"),
        ("log-level (flag --log-level): ", "warn,node=debug"),
        ("session-ttl (flag --session-ttl): \"3\" ", "500ms, 3s, 2m or 30d"),
        ("http (environment TWM_HTTP): \"9898\" has no port", "HOST:PORT"),
        ("shared-output (environment TWM_SHARED_OUTPUT): \"maybe\" ", "true or false"),
    ] {
        assert!(
            lines.iter().any(|l| l.starts_with(start) && l.contains(remedy)),
            "{start:?} is not in\n{error}"
        );
    }
    assert_eq!(lines.len(), 7, "{error}");
}

#[test]
fn a_bad_file_is_named_with_its_keys() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("twm.toml");
    let path = path.to_str().unwrap();
    for (content, what) in [
        ("worker = 3", "there is no key \"worker\"; the keys are id, peers,"),
        ("[peers]\n1 = \"a:1\"", "peers (file "),
        ("workers = ", "it is no TOML"),
        ("workers = 1\nworkers = 2", "it is no TOML"),
    ] {
        std::fs::write(path, content).unwrap();
        let error = errors(&["--config", path]);
        assert!(error.contains(what) && error.contains(path), "{content:?}: {error}");
    }
    std::fs::remove_file(path).unwrap();
    let error = errors(&["--config", path]);
    assert!(error.contains("cannot be read") && error.contains(path), "{error}");
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let Err(LoadError::Command(error)) = load_with(&["--wrokers", "3"], &[]) else { panic!("taken") };
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("--workers"), "{error}");
}

#[test]
fn an_indexers_url_is_checked_at_the_start() {
    assert_eq!(load(&[]).settings.indexer, None);
    let url = "http://127.0.0.1:9700";
    let loaded = load_with(&[], &[("TWM_INDEXER", url)]).unwrap();
    assert_eq!(loaded.settings.indexer.unwrap().to_string(), format!("{url}/inspect"));
    let error = errors(&["--indexer", "127.0.0.1:9700"]);
    assert!(error.contains("indexer (flag --indexer)") && error.contains(url), "{error}");
}

#[test]
fn beyond_loopback_a_node_listens_with_certificates_or_because_it_is_told_to() {
    for listen in ["0.0.0.0:8000", "10.0.0.1:8000", "[::]:8000", "host.example:8000"] {
        let error = errors(&["--listen", listen]);
        assert!(
            error.contains(listen) && error.contains("--insecure") && error.contains("--tls-ca"),
            "{error}"
        );
        assert!(load(&["--listen", listen, "--insecure"]).settings.tls.is_none());
    }
    for listen in ["127.0.0.1:8000", "127.1.2.3:8000", "[::1]:8000", "localhost:8000"] {
        load(&["--listen", listen]);
    }
    let tls = ["--listen", "0.0.0.0:8000", "--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
    assert_eq!(load(&tls).settings.tls.unwrap().cert, PathBuf::from("b"));
    let error = errors(&["--tls-ca", "a"]);
    assert!(error.contains("tls-cert (default): it is missing") && error.contains("tls-key"), "{error}");
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    let loaded = load(&["--api-url", "https://ada:s3cret@api.example.org/1.1/"]);
    let shown = loaded.to_string();
    assert!(shown.contains("https://ada:***@api.example.org/1.1/") && !shown.contains("s3cret"), "{shown}");
    assert_eq!(loaded.settings.api_url, "https://ada:s3cret@api.example.org/1.1/");
}

#[test]
fn a_node_that_joins_names_members_and_where_it_listens() {
    let joins = ["--id", "4", "--join", "127.0.0.1:1,127.0.0.1:2", "--listen", "127.0.0.4:8000"];
    let settings = load(&joins).settings;
    assert_eq!((settings.join.len(), settings.peers.len()), (2, 0));
    assert!(errors(&["--id", "4", "--join", "127.0.0.1:1"]).contains("--listen"));
    assert!(errors(&["--id", "4", "--join", "a:1", "--peers", "4=a:1"]).contains("one of the two"));
    assert!(errors(&["--voters", "4"]).contains("3 or 5"));
}

#[cfg(feature = "hdfs")]
#[test]
fn an_output_on_hdfs_is_shared_and_its_url_is_checked() {
    let output = load(&["--output", "hdfs://a:8020,b:8020/crawls/"]).settings.output;
    assert!(output.is_shared());
    assert_eq!(output.to_string(), "hdfs://a:8020,b:8020/crawls");
    let error = errors(&["--output", "hdfs://me@a:8020/crawls"]);
    assert!(error.contains("set HADOOP_USER_NAME") && error.contains("hdfs://HOST:PORT"), "{error}");
    let error = errors(&["--output", "ftp://a/crawls"]);
    assert!(error.contains("or hdfs://HOST:PORT/PATH"), "{error}");
}
