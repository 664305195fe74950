//! Redis over TLS, with a certificate signed by a test authority.

use anyhow::ensure;
use tempfile::TempDir;
use twm_tests::certificates::certificates;
use twm_tests::cluster::Program;
use twm_tests::redis_server::{RedisSentinel, RedisServer};
use twm_tests::server_process::free_port;

use twm_tests::consumer::Consumer;

#[tokio::test]
async fn over_tls_a_known_authority_is_trusted_and_an_unknown_one_is_not() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("twm-tls-")?;
    certificates(folder.path()).await?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port()?.to_string();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let tls = ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file", &certificate];
    let tls = [&tls[..], &["--tls-key-file", &key, "--tls-ca-cert-file", &authority]].concat();
    let _redis = RedisServer::start_with(Some("s3cret"), &tls).await?;
    let url = format!("rediss://:s3cret@127.0.0.1:{port}");
    let arguments = ["--redis".to_owned(), url, "--file".to_owned(), path("stats.gz")];
    for (variable, words) in [
        ("SSL_CERT_FILE", "connected to rediss://:***@"),
        ("TWM_NONE", "name the authority's file in SSL_CERT_FILE"),
    ] {
        let mut consumer = Consumer::start_in(
            Program::Stats,
            folder.path(),
            arguments.clone(),
            &[(variable, authority.as_str())],
        )?;
        consumer.says(words).await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn sentinels_and_their_master_are_reached_over_tls_alone() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("twm-tls-")?;
    certificates(folder.path()).await?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (port, sentinel_port) = (free_port()?, free_port()?);
    let tls = |port: u16, dashes: &str| {
        [
            ("tls-port", port.to_string()),
            ("tls-auth-clients", "no".to_owned()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cert-file", path("server.pem")),
            ("tls-key-file", path("server.key")),
            ("tls-ca-cert-file", path("ca.pem")),
        ]
        .map(|(key, value)| (format!("{dashes}{key}"), value))
    };
    let flags: Vec<String> = tls(port, "--").into_iter().flat_map(|(key, value)| [key, value]).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let redis = RedisServer::start_with(Some("s3cret"), &flags).await?;
    let lines = tls(sentinel_port, "").map(|(key, value)| format!("{key} {value}"));
    let sentinel = RedisSentinel::watching_at(&redis, port, "crawl", &lines).await?;
    let url = |scheme: &str, port: u16| format!("{scheme}://:s3cret@127.0.0.1:{port}/crawl");
    for (url, words) in [
        (url("rediss+sentinel", sentinel_port), "connected to rediss+sentinel://:***@"),
        // Over plain connections, the sentinel returns the master's port, which accepts TLS only.
        (url("redis+sentinel", sentinel.port()), "redis+sentinel://:***@"),
    ] {
        let arguments = ["--redis".to_owned(), url.clone(), "--file".to_owned(), path("stats.gz")];
        let authority = path("ca.pem");
        let environment = [("SSL_CERT_FILE", authority.as_str())];
        let mut consumer = Consumer::start_in(Program::Stats, folder.path(), arguments, &environment)?;
        consumer.says(words).await?;
        consumer.stop().await?;
        let connected = consumer.log().contains("connected to redis+sentinel");
        ensure!(!connected, "without TLS it reached a port of TLS: {}", consumer.log());
    }
    Ok(())
}
