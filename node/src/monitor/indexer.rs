//! What the crawled tweets look like, as a `twm-indexer` tells it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use storage::tls::ClientTls;
use tokio::sync::Semaphore;

use super::Monitor;
use super::problem::Problem;

/// How long connecting may take, and an answer: a little longer than the indexer gives itself.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(18);
/// Largest answer, in bytes.
const LARGEST: usize = 4 << 20;
/// Questions at once. More of them wait.
const AT_ONCE: usize = 4;

/// The way to a `twm-indexer`. Clones share it.
#[derive(Debug, Clone)]
pub struct Indexer {
    client: Client,
    inspect: Url,
    turns: Arc<Semaphore>,
}

/// Why no indexer can be asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    /// Its URL is none.
    #[error("the indexer's URL: {0}")]
    Url(String),
    /// No certificate can be checked.
    #[error("no TLS for the indexer (--indexer): {0}")]
    Tls(#[from] rustls::Error),
    /// The client's parts do not fit together.
    #[error("no HTTP client for the indexer (--indexer): {0}")]
    Client(#[from] reqwest::Error),
}

impl Indexer {
    /// The indexer at this URL. Nothing is asked yet.
    ///
    /// # Errors
    /// The URL is none, or no client can be made.
    pub fn new(url: &str) -> Result<Self, IndexerError> {
        let inspect = Self::check_url(url).map_err(IndexerError::Url)?;
        let client = Client::builder()
            .tls_backend_preconfigured(ClientTls::new()?.config())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, inspect, turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Where it answers inspections.
    ///
    /// # Errors
    /// The URL is none of an indexer, with what is allowed.
    pub fn check_url(text: &str) -> Result<Url, String> {
        let expected = "expected a URL such as http://127.0.0.1:9700";
        let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
            return Err(expected.to_owned());
        }
        let base = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
        Url::parse(&base)
            .and_then(|base| base.join("inspect"))
            .map_err(|error| format!("{error}; {expected}"))
    }

    async fn ask(&self, asked: &Asked) -> Result<Bytes, Problem> {
        let _turn = self.turns.acquire().await;
        let mut url = self.inspect.clone();
        let given = [("from", &asked.from), ("to", &asked.to), ("query", &asked.query)];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        url.query_pairs_mut().extend_pairs(given);
        let mut response = self.client.get(url).send().await.map_err(|error| self.away(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.away(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(self.strange("it answers more than any inspection has"));
            }
            body.extend_from_slice(&chunk);
        }
        let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let json: Value =
            serde_json::from_slice(&body).map_err(|_| self.strange("it does not answer JSON"))?;
        match (status, json["error"].as_str()) {
            (StatusCode::OK, _) => Ok(body.into()),
            (StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE, Some(why)) => {
                Err(Problem::new(status, why))
            }
            _ => Err(self.strange(&format!("it answers HTTP {status}"))),
        }
    }

    fn away(&self, error: &reqwest::Error) -> Problem {
        let what = if error.is_timeout() { "does not answer in time" } else { "does not answer" };
        let text = format!(
            "the indexer at {} {what}; look whether twm-indexer runs there (--indexer)",
            self.inspect
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn strange(&self, what: &str) -> Problem {
        let text = format!("{} is no twm-indexer: {what}; check --indexer", self.inspect);
        Problem::new(StatusCode::BAD_GATEWAY, text)
    }
}

/// The parameters of a question.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
    query: Option<String>,
}

pub(super) async fn inspect(
    State(monitor): State<Monitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let Some(indexer) = &monitor.inner.indexer else {
        let text = "this node knows no indexer: run twm-indexer, and start the node with --indexer URL (TWM_INDEXER)";
        return Err(Problem::new(StatusCode::NOT_FOUND, text));
    };
    let document = indexer.ask(&asked).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], document).into_response())
}
