//! Inspection of the crawled tweets through a `twm-indexer`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use storage::env::Clock;
use storage::net::trust::Trust;
use tokio::sync::Semaphore;

use super::Monitor;
use super::problem::Problem;
use crate::http_client::{ClientTls, HttpClient, HttpError, HttpSettings};
use crate::settings::IndexerUrl;

/// Timeouts of a connection and of an answer: a little longer than the indexer's own.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(18);
/// Largest answer, in bytes.
const LARGEST: usize = 4 << 20;
/// Most concurrent queries. Further ones wait.
const AT_ONCE: usize = 4;

/// A client of a `twm-indexer`. Clones share it.
#[derive(Debug, Clone)]
pub struct Indexer {
    client: Arc<HttpClient>,
    url: IndexerUrl,
    turns: Arc<Semaphore>,
}

/// Why an indexer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    /// There is no TLS.
    #[error("--indexer: no TLS on this machine: {0}")]
    Tls(#[from] rustls::Error),
    /// An HTTP client could not be created.
    #[error("--indexer: {0}")]
    Http(#[from] HttpError),
}

impl Indexer {
    /// A client of the indexer at this URL; with TLS, the indexer needs a certificate of the same authority. It does
    /// not connect yet.
    ///
    /// # Errors
    /// An HTTP client could not be created.
    pub fn new(url: IndexerUrl, trust: Option<&Trust>, clock: Arc<dyn Clock>) -> Result<Self, IndexerError> {
        let settings = HttpSettings {
            connect_timeout: CONNECT,
            request_timeout: ANSWER,
            idle_timeout: ANSWER,
            body_limit: LARGEST,
            ..HttpSettings::default()
        };
        let tls = trust.map_or_else(ClientTls::new, |trust| Ok(ClientTls::trusting(trust)))?;
        let client = HttpClient::new(None, &settings, &tls, clock)?;
        Ok(Self { client: Arc::new(client), url, turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    async fn ask(&self, asked: &Asked) -> Result<Bytes, Problem> {
        let _turn = self.turns.acquire().await;
        let mut url = self.url.inspection();
        let given = [("from", &asked.from), ("to", &asked.to), ("query", &asked.query)];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        url.query_pairs_mut().extend_pairs(given);
        let request = self.client.get(url).map_err(|error| self.away(&error.to_string()))?;
        let answer = self.client.exchange(request).await.map_err(|none| self.away(&none.what))?;
        let body = answer.body.map_err(|error| self.strange(&error.to_string()))?;
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
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

    fn away(&self, what: &str) -> Problem {
        let text = format!(
            "the indexer at {} does not answer ({what}); look whether twm-indexer runs there (--indexer)",
            self.url
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn strange(&self, what: &str) -> Problem {
        let text = format!("{} is no twm-indexer: {what}; check --indexer", self.url);
        Problem::new(StatusCode::BAD_GATEWAY, text)
    }
}

/// The parameters of a query.
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
