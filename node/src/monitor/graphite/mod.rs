//! History from Graphite, to which `twm-stats` sends the counters; it goes back further than a node's own.

mod series;

use std::sync::Arc;
use std::time::Duration;

use storage::env::Clock;
use tokio::sync::Mutex;

use super::history::Range;
use crate::http_client::{ClientTls, HttpClient, HttpError, HttpSettings};
use crate::settings::GraphiteUrl;

pub(super) use series::Series;

/// Timeout of Graphite, which reads a week of seconds from its disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer, bytes; one with all series has some 500 kB.
const LARGEST: usize = 4 << 20;
/// Longest age of an answer: a hundred browsers must not cost Graphite more than one.
const FRESH: Duration = Duration::from_secs(10);

/// Why there are no series. The messages are shown with the history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GraphiteError {
    #[error(
        "Graphite at {url} does not answer ({what}); look whether graphite-web runs, or correct --graphite-url"
    )]
    Silent { url: String, what: String },
    #[error("Graphite at {url} answers with HTTP {status}; look into its log, or correct --graphite-url")]
    Refused { url: String, status: u16 },
    #[error("what answers at {url} is no Graphite ({what}); correct --graphite-url")]
    Odd { url: String, what: String },
    #[error(
        "Graphite at {url} has nothing of this time; look whether twm-stats runs with the --carbon of this Graphite"
    )]
    Empty { url: String },
}

/// Why Graphite cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum GraphiteClientError {
    /// There is no HTTP client.
    #[error("--graphite-url: {0}")]
    Http(#[from] HttpError),
    /// There is no TLS.
    #[error("--graphite-url: no TLS on this machine: {0}")]
    Tls(#[from] rustls::Error),
}

/// An answer, and when it arrived.
type Kept = Option<(Duration, Result<Arc<Series>, GraphiteError>)>;

/// A client of Graphite.
pub struct Graphite {
    url: GraphiteUrl,
    client: HttpClient,
    clock: Arc<dyn Clock>,
    /// By range; the task that makes a query holds its lock, and others wait for the result.
    kept: [Mutex<Kept>; Range::ALL.len()],
}

impl Graphite {
    /// A client of the Graphite at this URL. It does not connect yet.
    ///
    /// # Errors
    /// An HTTP client could not be created.
    pub fn new(url: GraphiteUrl, clock: Arc<dyn Clock>) -> Result<Self, GraphiteClientError> {
        let settings =
            HttpSettings { request_timeout: PATIENCE, body_limit: LARGEST, ..HttpSettings::default() };
        let client = HttpClient::new(None, &settings, &ClientTls::new()?, clock.clone())?;
        Ok(Self { url, client, clock, kept: Default::default() })
    }

    /// The series of a range up to now.
    pub(super) async fn series(&self, range: Range) -> Result<Arc<Series>, GraphiteError> {
        let mut kept = self.kept[range as usize].lock().await;
        if let Some((at, series)) = &*kept {
            if self.clock.monotonic().saturating_sub(*at) < FRESH {
                return series.clone();
            }
        }
        let series = self.ask(range).await.map(Arc::new);
        *kept = Some((self.clock.monotonic(), series.clone()));
        series
    }

    async fn ask(&self, range: Range) -> Result<Series, GraphiteError> {
        let url = || self.url.to_string();
        let odd = |what: String| GraphiteError::Odd { url: url(), what };
        let span = series::Span::of(range, self.clock.wall());
        let request = self.client.get(self.url.render(&span.query())).map_err(|e| odd(e.to_string()))?;
        let answer = self.client.exchange(request).await;
        let answer = answer.map_err(|error| GraphiteError::Silent { url: url(), what: error.what })?;
        if answer.status != 200 {
            return Err(GraphiteError::Refused { url: url(), status: answer.status });
        }
        let body = answer.body.map_err(|error| odd(error.to_string()))?;
        // Parsing megabytes of JSON would block a thread that serves others.
        let series = tokio::task::spawn_blocking(move || span.read(&body)).await;
        let series = series.map_err(|e| odd(e.to_string()))?.map_err(|e| odd(e.to_string()))?;
        if series.points.is_empty() { Err(GraphiteError::Empty { url: url() }) } else { Ok(series) }
    }
}
