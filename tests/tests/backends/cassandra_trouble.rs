//! Clusters and keyspaces that cannot be used, and what the errors say.

use std::process::Command;
use std::time::Duration;

use storage::dataset::Marker;
use storage::dataset::cassandra::{CassandraStore, Initialized, KeyspaceOutput};
use storage::env::{Clock, SystemClock};
use storage::net::cassandra::{
    CassandraOptions, CassandraProblem as Problem, CassandraUrl, Keyspace, Login, Trust,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use twm_tests::cassandra_server::{CassandraServer, CassandraSettings, SharedCassandra};
use twm_tests::certificates::certificates;

fn refused(url: &CassandraUrl, options: &CassandraOptions) -> Problem {
    let error = CassandraStore::connect(url, options).map(drop).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&url.to_string()) && !text.contains('\n') && !text.contains("s3cret"), "{text}");
    error.problem
}

#[test]
fn a_cluster_is_used_only_with_its_login_over_a_trusted_connection() {
    let (runtime, folder) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    runtime.block_on(certificates(folder.path())).unwrap();
    let keystore = folder.path().join("server.p12");
    let made = Command::new("openssl")
        .current_dir(folder.path())
        .args([
            "pkcs12",
            "-export",
            "-in",
            "server.pem",
            "-inkey",
            "server.key",
            "-passout",
            "pass:keystore",
            "-out",
        ])
        .arg(&keystore)
        .status();
    assert!(made.unwrap().success());
    let further = format!(
        "authenticator: PasswordAuthenticator\nauthorizer: CassandraAuthorizer\nrole_manager: CassandraRoleManager\n\
         client_encryption_options:\n  enabled: true\n  optional: false\n  keystore: {}\n  \
         keystore_password: keystore\n  store_type: PKCS12\n",
        keystore.display()
    );
    let settings = CassandraSettings { commitlog_sync: "periodic", further };
    let server = runtime.block_on(CassandraServer::start_with(&settings)).unwrap();
    let (url, clock) = (server.url("twm").unwrap(), SystemClock::new());
    let ca = folder.path().join("ca.pem");
    let options = |tls, login: Option<(&str, &str)>| {
        let login = login.map(|(user, password)| Login::new(user, password));
        CassandraOptions { login, tls, retry_for: Duration::from_secs(2), ..server.options() }
    };
    let trusted = || Some(Trust::File(ca.clone()));
    // The default user is made in the first moments.
    let deadline = Instant::now() + Duration::from_secs(60);
    let right = options(trusted(), Some(("cassandra", "cassandra")));
    while matches!(refused(&url, &right), Problem::Login(_)) {
        assert!(Instant::now() < deadline);
    }
    for (options, expected) in [
        (options(None, None), "Broken"),
        (options(Some(Trust::System), None), "Certificate"),
        (options(Some(Trust::File(folder.path().join("none.pem"))), None), "Setting"),
        (options(trusted(), None), "Login"),
        (options(trusted(), Some(("cassandra", "s3cret"))), "Login"),
        (options(trusted(), Some(("nobody", "s3cret"))), "Login"),
        (right.clone(), "NoKeyspace"),
    ] {
        let problem = format!("{:?}", refused(&url, &options));
        assert!(problem.starts_with(expected), "{expected}: {problem}");
    }
    CassandraStore::init(&url, &right, Some(1)).unwrap();
    let store = CassandraStore::connect(&url, &right).unwrap();
    let unsafe_one = store.check_safety(false, &clock).unwrap_err().to_string();
    for part in ["commitlog_sync: periodic", "1 replicas", "--cassandra-accept-periodic", "cassandra.yaml"] {
        assert!(unsafe_one.contains(part), "{unsafe_one}");
    }
    store.check_safety(true, &clock).unwrap();
    // A user with the rights that are needed, and no others.
    let cql = Keyspace::connect(&url, &right).unwrap();
    for statement in [
        "CREATE ROLE crawler WITH PASSWORD = 's3cret' AND LOGIN = true",
        "GRANT SELECT ON KEYSPACE twm TO crawler",
    ] {
        cql.change_schema("make a user", statement).unwrap();
    }
    let crawler = options(trusted(), Some(("crawler", "s3cret")));
    let least = CassandraStore::connect(&url, &crawler).unwrap();
    let unknown = least.check_safety(false, &clock).unwrap_err().to_string();
    assert!(unknown.contains("GRANT SELECT ON system_views.settings"), "{unknown}");
    let marker = Marker { cluster: 1, storage: 2, epoch: 0 };
    let denied = KeyspaceOutput::new(&least).claim(marker).unwrap_err();
    assert!(denied.to_string().contains("no MODIFY permission") && denied.is_of_the_place(), "{denied}");
    let skewed = store.check_safety(true, &Fast(clock)).unwrap_err();
    assert!(matches!(skewed.problem, Problem::ClockSkew(by) if by > Duration::from_secs(7_000)), "{skewed}");
}

/// A clock that is two hours ahead.
struct Fast(SystemClock);

impl Clock for Fast {
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn wall(&self) -> Duration {
        self.0.wall() + Duration::from_secs(2 * 3600)
    }
}

#[test]
fn a_server_that_syncs_what_it_acknowledges_is_safe() {
    let shared = SharedCassandra::get().unwrap();
    let store = shared.server().create(&shared.free_keyspace()).unwrap();
    store.check_safety(false, &SystemClock::new()).unwrap();
}

#[test]
fn a_keyspace_is_made_once_and_completed_and_never_changed() {
    let shared = SharedCassandra::get().unwrap();
    let (url, options) = (shared.server().url(&shared.free_keyspace()).unwrap(), shared.server().options());
    let keyspace = url.keyspace();
    let done =
        |keyspace_created, was_complete| Initialized { keyspace_created, was_complete, replication: 1 };
    let init = |replication| CassandraStore::init(&url, &options, replication);
    assert!(matches!(refused(&url, &options), Problem::NoKeyspace(_)));
    assert_eq!(init(Some(1)).unwrap(), done(true, false));
    let store = CassandraStore::connect(&url, &options).unwrap();
    assert_eq!(init(None).unwrap(), done(false, true));
    let other = init(Some(3)).unwrap_err().to_string();
    assert!(other.contains("has 1 replicas, and not 3") && other.contains("ALTER KEYSPACE"), "{other}");
    let cql = storage::net::cassandra::Keyspace::connect(&url, &options).unwrap();
    cql.change_schema("lose a table", &format!("DROP TABLE {keyspace}.drafts")).unwrap();
    let incomplete = refused(&url, &options).to_string();
    assert!(incomplete.contains("its table drafts has no column"), "{incomplete}");
    assert!(incomplete.contains(&format!("twm-ctl dataset init {url}")), "{incomplete}");
    assert_eq!(init(Some(1)).unwrap(), done(false, false));
    CassandraStore::connect(&url, &options).unwrap();
    let newer = format!("UPDATE {keyspace}.settings SET value = '3' WHERE name = 'schema' IF value = '2'");
    cql.transact("make it newer", &cql.prepare(&newer).unwrap(), ()).unwrap();
    for error in [refused(&url, &options), init(None).unwrap_err().problem] {
        let error = error.to_string();
        assert!(error.contains("version \"3\"") && error.contains("writes version \"2\""), "{error}");
    }
    drop(store);
}

#[test]
fn tables_of_an_earlier_version_are_refused_until_they_are_completed_and_keep_their_files() {
    let shared = SharedCassandra::get().unwrap();
    let (url, options) = (shared.server().url(&shared.free_keyspace()).unwrap(), shared.server().options());
    let keyspace = url.keyspace();
    CassandraStore::init(&url, &options, Some(1)).unwrap();
    let marker = Marker { cluster: 5, storage: 6, epoch: 0 };
    KeyspaceOutput::new(&CassandraStore::connect(&url, &options).unwrap()).claim(marker).unwrap();
    let cql = storage::net::cassandra::Keyspace::connect(&url, &options).unwrap();
    cql.change_schema("go back", &format!("DROP TABLE {keyspace}.provenance")).unwrap();
    let older = format!("UPDATE {keyspace}.settings SET value = '1' WHERE name = 'schema' IF value = '2'");
    cql.transact("go back", &cql.prepare(&older).unwrap(), ()).unwrap();
    let error = refused(&url, &options).to_string();
    assert!(error.contains("version \"1\"") && error.contains("needs version \"2\""), "{error}");
    assert!(error.contains(&format!("twm-ctl dataset init {url}")), "{error}");
    let done = CassandraStore::init(&url, &options, None).unwrap();
    assert_eq!(done, Initialized { keyspace_created: false, was_complete: false, replication: 1 });
    let store = CassandraStore::connect(&url, &options).unwrap();
    assert_eq!(KeyspaceOutput::new(&store).read().unwrap(), Some(marker));
    assert!(CassandraStore::init(&url, &options, None).unwrap().was_complete);
}

#[test]
fn too_few_replicas_for_a_majority_are_counted() {
    let shared = SharedCassandra::get().unwrap();
    let url = shared.server().url(&shared.free_keyspace()).unwrap();
    let options = CassandraOptions { retry_for: Duration::from_secs(1), ..shared.server().options() };
    let error = CassandraStore::init(&url, &options, Some(3)).unwrap_err();
    assert!(
        matches!(error.problem, Problem::Replicas { required: 2, alive: 1, .. }) && error.is_temporary(),
        "{error}"
    );
}

#[test]
fn what_is_no_cassandra_is_told_from_one_that_is_away() {
    let runtime = Runtime::new().unwrap();
    let answering = |answer: &'static [u8]| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let _read = client.read(&mut [0; 64]).await;
                let _written = client.write_all(answer).await;
                // A silent server keeps its connections.
                if answer.is_empty() {
                    held.push(client);
                }
            }
        });
        port
    };
    let options = CassandraOptions {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        ..CassandraOptions::new()
    };
    for (port, expected, temporary) in [
        (answering(b"-ERR unknown command '\\x04', with args beginning with:\r\n"), "NotCassandra", false),
        (answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "NotCassandra", false),
        (answering(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), "NotCassandra", false),
        // A frame that promises more than the machine has.
        (answering(b"\x84\x00\x00\x00\x06\xff\xff\xff\xff{}"), "", true),
        (answering(b""), "", true),
        (1, "Unreachable", true),
    ] {
        let url = CassandraUrl::parse(&format!("cassandra://127.0.0.1:{port}/twm")).unwrap();
        let begun = Instant::now();
        let problem = refused(&url, &options);
        assert!(begun.elapsed() < Duration::from_secs(20), "it ends by itself");
        let shown = format!("{problem:?}");
        assert!(shown.starts_with(expected) && problem.is_temporary() == temporary, "{expected}: {shown}");
    }
    let nowhere = CassandraUrl::parse("cassandra://no-such-host.invalid/twm").unwrap();
    assert!(matches!(refused(&nowhere, &options), Problem::Unreachable(_)));
}
