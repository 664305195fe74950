//! Callers that the services accept.

use tempfile::TempDir;
use twm_tests::cluster::{Page, Program, eventually};
use twm_tests::redis_server::RedisServer;

use super::lookup_service::Lookup;

#[tokio::test]
async fn a_foreign_name_leads_nowhere_and_a_token_is_asked_for() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut open = Lookup::start(&redis.url()).await?;
    let status = async |lookup: &Lookup, headers: &str| {
        let head = format!("GET /lookup/status HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        lookup.exchange(head.as_bytes()).await
    };
    let foreign = status(&open, "Host: evil.example\r\n").await?;
    assert!(foreign.0 == 421 && foreign.1.contains("--public-url"), "{foreign:?}");
    assert_eq!(status(&open, "Host: localhost\r\n").await?.0, 200);
    open.consumer.stop().await?;

    let folder = TempDir::with_prefix("twm-token-")?;
    let token = folder.path().join("token");
    std::fs::write(&token, "correct-horse\n")?;
    let further = ["--public-url=https://lookup.example.org/", "--token-file", &token.display().to_string()];
    let mut closed = Lookup::start_with(&redis.url(), &further)?;
    let named = "Host: lookup.example.org\r\n";
    eventually("it answers", async || Ok(status(&closed, named).await.ok())).await?;
    let without = status(&closed, named).await?;
    assert!(without.0 == 401 && without.1.contains("--token-file"), "{without:?}");
    for (token, expected) in [("wrong-horse", 401), ("correct-horse", 200)] {
        let answer = status(&closed, &format!("{named}Authorization: Bearer {token}\r\n")).await?;
        assert_eq!(answer.0, expected, "{token}: {answer:?}");
    }
    closed.consumer.stop().await
}

#[tokio::test]
async fn over_tls_a_certificate_of_the_cluster_is_asked_for() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("twm-certs-")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let dir = folder.path().display().to_string();
    for words in [
        "certs init --cluster twm",
        "certs issue --viewer lookup --host 127.0.0.1",
        "certs issue --viewer ada",
        "certs issue --operator eve",
    ] {
        let words = words.split(' ').chain(["--dir", &dir]).collect::<Vec<_>>();
        let (code, said) = Program::Ctl.run(&words).await?;
        assert_eq!(code, Some(0), "{said}");
    }
    let redis = RedisServer::start().await?;
    let (ca, cert, key) = (path("ca.crt"), path("viewer-lookup.crt"), path("viewer-lookup.key"));
    let flags = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    let mut lookup = Lookup::start_with(&redis.url(), &flags)?;
    lookup.consumer.says("answering at https://").await?;

    let ask = async |name: &str, what: (&str, &str)| {
        let (cert, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        let shown = if name.is_empty() { vec![] } else { vec!["-cert", &cert, "-key", &key] };
        let headers = ["Content-Type: application/json", "Content-Length: 0"];
        Page::ask_over_tls(lookup.address(), &folder.path().join("ca.crt"), &shown, what, &headers).await
    };
    let status = ("GET", "/lookup/status");
    assert_eq!(ask("viewer-ada", status).await?.status, 200);
    let nobody = ask("", status).await?;
    assert_eq!(nobody.status, 401);
    assert!(nobody.body.contains("twm-ctl certs issue"), "{}", nobody.body);
    let add = ("POST", "/lookup/add");
    assert_eq!(ask("viewer-ada", add).await?.status, 403);
    // An operator is admitted; the request itself is bad.
    assert_eq!(ask("operator-eve", add).await?.status, 400);
    lookup.consumer.stop().await
}
