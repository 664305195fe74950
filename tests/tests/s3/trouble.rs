//! Servers that are away, frozen, strangers, or unwilling.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use storage::net::s3::{Bucket, Condition, Credentials, S3Error, S3Options, S3Problem, S3Url};
use tokio::time::Instant;
use twm_tests::certificates::certificates;
use twm_tests::s3_server::S3Server;
use twm_tests::server_process::free_port;

use crate::{blocking, noise, read, write};

async fn refused(url: &str, options: S3Options) -> anyhow::Result<S3Error> {
    let url = S3Url::parse(url)?;
    blocking(move || Bucket::open(&url, &options).err().context("it was opened")).await
}

#[tokio::test]
async fn each_reason_not_to_open_a_bucket_is_named_with_its_remedy() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let options = server.options()?;
    let with = |key: &str, secret: &str| -> anyhow::Result<S3Options> {
        let credentials = Credentials::new(key, secret, None).map_err(anyhow::Error::msg)?;
        Ok(S3Options { credentials, ..options.clone() })
    };
    let at = |endpoint: String| S3Options {
        endpoint: Some(endpoint),
        timeout: Duration::from_secs(1),
        retry_for: Duration::ZERO,
        ..options.clone()
    };

    let error = refused("s3://twm/x", with(server.login().0, "wrong-secret")?).await?;
    assert!(matches!(error.problem, S3Problem::Credentials(_)), "{error}");
    assert!(error.to_string().starts_with("s3://twm/x at http://127.0.0.1:"), "{error}");
    assert!(!error.to_string().contains("wrong-secret"), "{error}");
    let error = refused("s3://twm", with("stranger", "secret")?).await?;
    assert!(matches!(error.problem, S3Problem::Credentials(_)), "{error}");
    let error = refused("s3://other-bucket", options.clone()).await?;
    assert!(matches!(error.problem, S3Problem::NoBucket(_)), "{error}");
    let error = refused("s3://twm", S3Options { region: "eu-west-1".to_owned(), ..options.clone() }).await?;
    assert!(matches!(error.problem, S3Problem::Region(_)), "{error}");

    let error = refused("s3://twm", at(format!("http://127.0.0.1:{}", free_port()?))).await?;
    assert!(matches!(error.problem, S3Problem::Unreachable(_)) && error.is_temporary(), "{error}");
    let error = refused("s3://twm", at("http://no-such-host.localhost.invalid".to_owned())).await?;
    assert!(matches!(error.problem, S3Problem::Setting(_)), "http to another machine: {error}");
    let error = refused("s3://twm", at("https://no-such-host.invalid".to_owned())).await?;
    assert!(matches!(error.problem, S3Problem::Unreachable(_)), "{error}");

    // The system accepts the connection, but no process answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let error = refused("s3://twm", at(format!("http://{}", silent.local_addr()?))).await?;
    assert_eq!(error.problem, S3Problem::Silent(Duration::from_secs(1)));

    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n<html>It works</html>", "it is html"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot here\n", "it answered 404 not here"),
        ("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 5\r\n\r\nlogin", "it answered 302 login"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "it is no XML"),
    ] {
        let error = refused("s3://twm", at(stranger(answer)?)).await?;
        assert!(matches!(error.problem, S3Problem::NotS3(_)), "{answer}: {error}");
        assert!(
            error.to_string().contains(expected) && error.to_string().contains("check the endpoint"),
            "{error}"
        );
    }
    let error = refused("s3://twm", at(stranger("")?)).await?;
    assert!(matches!(error.problem, S3Problem::Broken(_)), "{error}");
    Ok(())
}

/// A server that answers anything with this text.
fn stranger(answer: &'static str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            if stream.read(&mut [0; 4096]).is_ok_and(|asked| asked > 0) {
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    Ok(endpoint)
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    certificates(folder.path()).await?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let server = S3Server::start_with(&["--cert", &cert, "--key", &key]).await?;
    let plain = S3Options { retry_for: Duration::ZERO, ..server.options()? };
    let tls = S3Options { endpoint: Some(server.endpoint().replace("http", "https")), ..plain.clone() };

    let error = refused("s3://twm", tls.clone()).await?;
    assert!(matches!(error.problem, S3Problem::Certificate(_)), "{error}");
    let error = refused("s3://twm", plain).await?;
    assert!(matches!(error.problem, S3Problem::NotS3(_) | S3Problem::Broken(_)), "without TLS: {error}");
    let error = refused("s3://twm", S3Options { ca: Some(key.into()), ..tls.clone() }).await?;
    assert!(error.to_string().contains("the CA file") && error.to_string().contains("server.key"), "{error}");

    let other = S3Server::start().await?;
    let wrong = S3Options { endpoint: Some(other.endpoint().replace("http", "https")), ..tls.clone() };
    let error = refused("s3://twm", wrong).await?;
    assert!(matches!(error.problem, S3Problem::NotS3(_) | S3Problem::Broken(_)), "TLS to none: {error}");

    let trusting = S3Options { ca: Some(ca.into()), ..tls };
    blocking(move || {
        let bucket = Bucket::open(&S3Url::parse("s3://twm")?, &trusting)?;
        write(&bucket, "k", b"1", &Condition::Absent)?;
        assert_eq!(read(&bucket, "k")?, b"1");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn calls_outlast_a_server_that_is_killed_and_comes_back() -> anyhow::Result<()> {
    let mut server = S3Server::start().await?;
    let bucket = server.open("").await?;
    let writing = {
        let bucket = bucket.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<u32> {
            let mut written = 0;
            // Each number is written once, whatever the answers; a refusal is decided by what is there.
            while written < 300 {
                let key = format!("{written:04}");
                if write(&bucket, &key, key.as_bytes(), &Condition::Absent)?.is_none() {
                    assert_eq!(read(&bucket, &key)?, key.as_bytes());
                }
                written += 1;
            }
            Ok(written)
        })
    };
    for at in [20, 120] {
        twm_tests::cluster::eventually("some are written", async || {
            Ok((bucket.requests().put > at).then_some(()))
        })
        .await?;
        server.kill().await?;
        server.restart().await?;
    }
    assert_eq!(writing.await??, 300);
    blocking(move || {
        assert_eq!(bucket.list("", None).count(), 300);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_object_is_read_on_after_its_server_was_killed() -> anyhow::Result<()> {
    let mut server = S3Server::start().await?;
    let bucket = server.open("").await?;
    let contents = noise(32 << 20);
    let (mut object, mut bytes) = {
        let (bucket, contents) = (bucket.clone(), contents.clone());
        blocking(move || {
            write(&bucket, "k", &contents, &Condition::Any)?;
            let mut object = bucket.get("k")?.context("it is there")?;
            let mut bytes = vec![0; 100_000];
            object.read_exact(&mut bytes)?;
            Ok((object, bytes))
        })
        .await?
    };
    // More is on its way than the connection holds.
    server.kill().await?;
    server.restart().await?;
    let read = blocking(move || {
        object.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    assert!(read.await? == contents);
    assert!(bucket.requests().get >= 2);
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_holds_a_call_no_longer_than_its_deadline() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let limit = Duration::from_secs(2);
    let options = S3Options { timeout: limit, retry_for: limit, ..server.options()? };
    let patient = server.open("").await?;
    let (server, mut object, bucket, patient) = blocking(move || {
        let bucket = Bucket::open(&S3Url::parse("s3://twm")?, &options)?;
        write(&patient, "k", &noise(32 << 20), &Condition::Any)?;
        let mut object = bucket.get("k")?.context("it is there")?;
        object.read_exact(&mut [0; 1000])?;
        Ok((server, object, bucket, patient))
    })
    .await?;
    server.process().freeze()?;
    let server = blocking(move || {
        let begun = Instant::now();
        let silent = |error: S3Error| assert!(matches!(error.problem, S3Problem::Silent(_)), "{error}");
        // The signal takes effect a moment later.
        let error = (0..10_000).find_map(|_| bucket.head("k").err());
        silent(error.context("nobody answers")?);
        silent(bucket.list("", None).next().context("it has no end")?.err().context("nobody answers")?);
        let put = write(&bucket, "k2", b"1", &Condition::Absent).err().context("nobody answers")?;
        silent(put.downcast()?);
        let read = object.read_to_end(&mut Vec::new()).err().context("nobody answers")?;
        let read = read.into_inner().and_then(|inner| inner.downcast::<S3Error>().ok());
        silent(*read.context("no error of S3")?);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        server.process().thaw()?;
        assert!(patient.head("k")?.is_some());
        Ok(server)
    })
    .await?;
    drop(server);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_within_a_task_waits_and_does_not_panic() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = Bucket::open(&S3Url::parse("s3://twm")?, &server.options()?)?;
    write(&bucket, "k", b"1", &Condition::Absent)?;
    assert_eq!(read(&bucket, "k")?, b"1");
    drop(bucket);
    Ok(())
}
