//! Hosts that behave badly, each in its way.

use std::time::Duration;

use node::source::mastodon::HostState;
use node::source::{HostReport, Source as _, SourceError};
use tokio::time::{Instant, timeout};
use twm_tests::emulator::mastodon::{FediverseOptions, HostKind};

use super::crawl::{Crawl, REQUEST_TIMEOUT, host_of};

fn every_kind() -> FediverseOptions {
    FediverseOptions::new(9, 12, 3)
        .with(2, HostKind::Old)
        .with(3, HostKind::Token)
        .with(4, HostKind::Limited)
        .with(5, HostKind::GoToSocial)
        .with(6, HostKind::Other)
        .with(7, HostKind::Web)
        .with(8, HostKind::Gone)
        .with(9, HostKind::Hang)
}

#[tokio::test]
async fn a_host_is_named_with_what_is_wrong_and_the_others_go_on() {
    let crawl = Crawl::start(every_kind(), &[]).await;
    let walk = async |acct: String| {
        let begun = Instant::now();
        let outcome = timeout(Duration::from_secs(30), crawl.timeline(&acct, None)).await.unwrap();
        let host = host_of(&acct).to_owned();
        let (said, final_) = match host.as_str() {
            "h1.test" | "h2.test" => {
                assert_eq!(outcome.unwrap().items, crawl.fediverse.expected_timeline(&acct));
                return;
            }
            "h3.test" | "h4.test" | "h5.test" => ("answers only with a token", true),
            "h6.test" => ("no API of Mastodon there, it answers with application/json", true),
            "h7.test" => ("no API of Mastodon there, it answers with a web page", true),
            "h8.test" => ("no answer", false),
            _ => ("timed out", false),
        };
        let error = outcome.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said) && text.contains(&host), "{text}");
        assert_eq!(error.is_retryable(), !final_, "{text}");
        assert!(begun.elapsed() < REQUEST_TIMEOUT * 3, "{host}: {:?}", begun.elapsed());
    };
    let walks = crawl.fediverse.accounts().into_iter().map(walk);
    futures::future::join_all(walks).await;
}

#[tokio::test]
async fn a_token_that_the_host_does_not_know_is_named() {
    // The token of host 1 is that of another one.
    let crawl = Crawl::start(FediverseOptions::new(1, 3, 3), &[]).await;
    let settings = node::source::mastodon::MastodonSettings {
        tokens: [("h1.test".to_owned(), "s3cret".to_owned())].into(),
        gateway: Some(crawl.fediverse.url()),
        ..Default::default()
    };
    let source = node::source::mastodon::MastodonSource::new(&settings).unwrap();
    let crawl = Crawl { source, ..crawl };
    let error = crawl.timeline(&crawl.fediverse.accounts()[0], None).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SourceError::Refused { status: Some(401), .. }), "{text}");
    assert!(text.contains("does not accept the token: The access token is invalid"), "{text}");
    assert!(!text.contains("s3cret"));
}

#[tokio::test]
async fn a_check_says_what_each_host_is() {
    let crawl = Crawl::start(every_kind(), &[]).await;
    let api = |version: &str| Some(HostState::Api { version: version.to_owned() });
    for (host, state, software) in [
        (1, api("4.7.3"), Some("mastodon")),
        (2, api("3.5.19"), Some("mastodon")),
        (3, api("4.7.3"), Some("mastodon")),
        (4, Some(HostState::Limited), Some("mastodon")),
        (5, api("0.20.2"), Some("gotosocial")),
        (6, Some(HostState::NoApi), Some("misskey")),
        (7, Some(HostState::NoApi), None),
        (8, None, None),
        (9, None, None),
    ] {
        let host = format!("h{host}.test");
        let found = crawl.source.check_api(&crawl.client, &host).await.outcome.ok();
        assert_eq!(found, state, "{host}");
        let found = crawl.source.check_software(&crawl.client, &host).await.outcome.ok().flatten();
        assert_eq!(found.as_ref().map(|software| software.name.as_str()), software, "{host}");
    }
    // As `source check` asks: the hosts that were asked before, those that failed first, a question at a time.
    let source = &crawl.source;
    let checks = source.host_checks();
    let hosts: Vec<&str> = checks.iter().map(|check| check.host.as_str()).collect();
    assert_eq!(hosts.len(), 9);
    assert!(
        hosts.iter().position(|host| *host == "h8.test") < hosts.iter().position(|host| *host == "h1.test")
    );
    let mut said = std::collections::BTreeMap::new();
    for mut check in checks {
        let host = check.host.clone();
        let told = loop {
            match source.check_host(&crawl.client, &check).await.outcome {
                Ok(HostReport::Next(next)) => check = next,
                Ok(HostReport::Fine(about)) => break about.unwrap_or_default(),
                Ok(HostReport::Wrong(what)) => break what,
                Err(error) => break error.to_string(),
            }
        };
        said.insert(host, told);
    }
    assert_eq!(said["h2.test"], "3.5.19");
    assert!(said["h6.test"].contains("misskey") && said["h6.test"].contains("no such API"), "{said:?}");
    assert!(
        said["h4.test"].contains("limited federation mode") && said["h4.test"].contains("token-files"),
        "{said:?}"
    );
    assert!(said["h8.test"].contains("host h8.test"), "{said:?}");
    assert!(said["h7.test"].starts_with("it has no such API"), "{said:?}");
    for wrong in ["localhost", "10.0.0.1", "h1.test:80", "H1.test", "h1.test/x"] {
        assert!(crawl.source.check_api(&crawl.client, wrong).await.outcome.is_err(), "{wrong}");
    }
}
